"""Samples, assembly, hash and alignment of observations."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.contract.align import newest_at_or_before
from vla_rl_nodes.contract.decode import compressed_image_array, image_array, named_vector
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.observation import assemble, digest, sample
from vla_rl_nodes.contract.transforms import transform_image
from vla_rl_nodes.errors import InputError

CONTRACT = load_contract("franka_pick")


def _image(array: np.ndarray[Any, Any], encoding: str = "rgb8", pad: int = 0) -> Any:
    height, width, _ = array.shape
    rows = np.pad(array.reshape(height, width * 3), ((0, 0), (0, pad)), constant_values=7)
    return SimpleNamespace(
        encoding=encoding, height=height, width=width, step=width * 3 + pad, data=rows.tobytes()
    )


def _vector(names: list[str], values: list[float]) -> Any:
    return SimpleNamespace(name=names, position=values)


def _samples(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        s.key: rng.integers(0, 256, s.shape, dtype=np.uint8)
        if s.kind == "image"
        else rng.normal(size=s.shape).astype(np.float32)
        for s in CONTRACT.streams
    }


@given(
    st.lists(st.integers(0, 10_000), max_size=40).map(sorted),
    st.integers(0, 10_000),
    st.integers(0, 3_000),
)
def test_alignment_against_brute_force(stamps: list[int], at: int, age: int) -> None:
    index = newest_at_or_before(stamps, at, age)
    usable = [s for s in stamps if at - age <= s <= at]
    if index is None:
        assert not usable
    else:
        assert stamps[index] == max(usable)


def test_image_encodings_and_row_padding() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    assert (image_array(_image(pixels, pad=3)) == pixels).all()
    assert (image_array(_image(pixels, "bgr8")) == pixels[:, :, ::-1]).all()
    with pytest.raises(InputError, match="rgb8 or bgr8"):
        image_array(_image(pixels, "mono8"))
    short = _image(pixels)
    short.data = short.data[:-1]
    with pytest.raises(InputError, match="does not fit"):
        image_array(short)


def test_compressed_image_that_is_cut_is_refused() -> None:
    with pytest.raises(InputError, match="JPEG or PNG"):
        compressed_image_array(SimpleNamespace(data=b"\xff\xd8\xff\xe0 no picture"))


def test_vector_goes_by_name_not_by_order() -> None:
    state = CONTRACT.streams[2]
    values = list(np.linspace(-1, 1, len(state.names)))
    right = sample(state, _vector(list(state.names), values))
    turned = sample(state, _vector([*state.names][::-1], values[::-1]))
    assert (right == turned).all()
    assert (right == np.array(values, dtype=np.float32)).all()


@pytest.mark.parametrize(
    ("names", "values", "said"),
    [
        (["a", "b"], [1.0], "2 names but 1 positions"),
        (["a", "a"], [1.0, 2.0], "twice"),
        (["a"], [1.0], "'b' is not among"),
        (["a", "b"], [1.0, float("nan")], "'b' is not finite"),
        (["b", "a"], [float("inf"), 1.0], "'b' is not finite"),
    ],
)
def test_bad_vectors_are_refused(names: list[str], values: list[float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        named_vector(_vector(names, values), ["a", "b"])


def test_float32_overflow_is_refused() -> None:
    state = CONTRACT.streams[2]
    with pytest.raises(InputError, match="overflows"):
        sample(state, _vector(list(state.names), [1e300] * 6))


def test_assembly_refuses_what_the_contract_does_not_promise() -> None:
    samples = _samples()
    with pytest.raises(InputError, match="image_wrist"):
        assemble(CONTRACT, {k: v for k, v in samples.items() if k != "image_wrist"})
    with pytest.raises(InputError, match="state"):
        assemble(CONTRACT, {**samples, "state": samples["state"].astype(np.float64)})


def test_digest_sees_every_bit_and_no_memory_layout() -> None:
    samples = _samples(3)
    first = digest(assemble(CONTRACT, samples))
    strided = dict(samples)
    strided["image_scene"] = np.asfortranarray(samples["image_scene"])
    assert digest(assemble(CONTRACT, strided)) == first
    for key in samples:
        changed = dict(samples)
        changed[key] = samples[key].copy()
        changed[key].reshape(-1).view(np.uint8)[0] ^= 1
        assert digest(assemble(CONTRACT, changed)) != first


def test_transform_crops_then_averages() -> None:
    stream = CONTRACT.streams[0]
    # A plane in x and y: area averaging keeps it, so each output pixel tells where it came from.
    rows, columns = np.mgrid[0:96, 0:128]
    image = np.stack([columns, rows, 255 - columns], axis=2).astype(np.uint8)
    out = transform_image(stream, image)
    assert out.shape == (64, 64, 3)
    centre = (np.arange(64) + 0.5) * 1.5 - 0.5
    assert np.abs(out[:, :, 0] - (16 + centre)[None, :]).max() <= 1.0
    assert np.abs(out[:, :, 1] - centre[:, None]).max() <= 1.0
    assert np.abs(out[:, :, 2] - (255 - 16 - centre)[None, :]).max() <= 1.0
    with pytest.raises(InputError, match="the contract says 128x96"):
        transform_image(stream, image[:90])
