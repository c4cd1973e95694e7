from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.replay.export.images import histogram
from vla_rl_nodes.replay.export.statistics import QUANTILES, ImageStatistics, VectorStatistics


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 12), min_size=1, max_size=6))
def test_of_vectors_in_parts_they_are_those_of_the_whole(seed: int, sizes: list[int]) -> None:
    rng = np.random.default_rng(seed)
    parts = [rng.normal(5, 3, size=(n, 4)).astype(np.float32) for n in sizes]
    for part in parts:
        part[rng.random(len(part)) < 0.2, 1] = np.nan
    statistics = VectorStatistics(keeps_rows=True)
    for part in parts:
        statistics.add(part)
    whole = np.concatenate(parts).astype(np.float64)
    whole = whole[np.isfinite(whole).all(axis=1)]
    found = statistics.figures()
    if not len(whole):
        assert found is None
        return
    assert found is not None and found["count"].tolist() == [len(whole)]
    np.testing.assert_array_equal(found["min"], whole.min(axis=0))
    np.testing.assert_array_equal(found["max"], whole.max(axis=0))
    np.testing.assert_allclose(found["mean"], whole.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found["std"], whole.std(axis=0), rtol=1e-9, atol=1e-12)
    for name, share in QUANTILES.items():
        np.testing.assert_allclose(found[name], np.quantile(whole, share, axis=0), rtol=1e-12)


def test_whole_numbers_and_flags_stay_exact() -> None:
    stamps = VectorStatistics(keeps_rows=False)
    stamps.add(np.array([1_760_000_000_000_000_001, 1_760_000_000_000_000_003]))
    found = stamps.figures()
    assert found is not None and found["min"].tolist() == [1_760_000_000_000_000_001]
    assert found["max"].tolist() == [1_760_000_000_000_000_003] and "q50" not in found
    flags = VectorStatistics(keeps_rows=False)
    flags.add(np.array([True, False, False, False]))
    found = flags.figures()
    assert found is not None
    assert (found["min"].tolist(), found["max"].tolist()) == ([0], [1])
    assert found["mean"].tolist() == [0.25]


def test_of_images_they_are_exact() -> None:
    rng = np.random.default_rng(3)
    images = rng.integers(10, 90, size=(7, 6, 5, 3), dtype=np.uint8)
    images[..., 1] += 100
    statistics = ImageStatistics()
    statistics.add(4, histogram(images[:4]))
    statistics.add(3, histogram(images[4:]))
    found = statistics.figures()
    assert found is not None and found["count"].tolist() == [7]
    pixels = images.reshape(-1, 3) / 255.0
    for name, expected in (
        ("min", pixels.min(axis=0)), ("max", pixels.max(axis=0)), ("mean", pixels.mean(axis=0)),
        ("std", pixels.std(axis=0)),
    ):  # fmt: skip
        assert found[name].shape == (3, 1, 1)
        np.testing.assert_allclose(found[name].reshape(3), expected, rtol=1e-12)
    for name, share in QUANTILES.items():
        expected = np.quantile(pixels, share, axis=0, method="inverted_cdf")
        np.testing.assert_allclose(found[name].reshape(3), expected, rtol=1e-12)
    assert ImageStatistics().figures() is None
