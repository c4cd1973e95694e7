"""Each adapter against golden bytes of its protocol, both ways.

How the bytes were made: described.py lays them down from the descriptions of the formats without
any codec; the files hold its result. The first test holds the two together, the others hold the
adapters to the files byte for byte.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vla_rl_nodes.remote.adapters.base import Sampling
from vla_rl_nodes.remote.adapters.make import make_adapter
from vla_rl_nodes.remote.adapters.octo import OctoAdapter
from vla_rl_nodes.remote.spec import ObservationMap, Octo

from .conftest import Clock, changed
from .described import (
    ACTION,
    COEFFICIENTS,
    GOAL,
    GOLDEN,
    IMAGE,
    NOISE,
    PREFIX,
    SECOND,
    STATE,
    TASK,
    TOKENS,
    described,
    golden,
)

PICTURE = np.frombuffer(IMAGE, np.uint8).reshape(2, 3, 3)
OTHER = np.frombuffer(GOAL, np.uint8).reshape(2, 3, 3)
SINGLE = np.array(STATE, np.float32)
SAMPLING = Sampling(
    np.array(PREFIX, np.float32).reshape(2, 5), 1, np.array(NOISE, np.float32).reshape(2, 5)
)
FIVE: NDArray[Any] = np.array([ACTION[:5], SECOND[:5]])


def test_files_are_what_the_descriptions_say() -> None:
    names = {path.name for path in GOLDEN.iterdir()}
    assert {name: golden(name) for name in names} == described()


def test_openvla() -> None:
    adapter = make_adapter("p", changed("openvla_bridge"))
    request = adapter.request({"image": PICTURE}, TASK, SAMPLING)
    assert request == golden("openvla_request.json")
    answer = adapter.answer("s", golden("openvla_response.json"))
    assert answer.actions.tolist() == [list(ACTION)] and answer.server_ms is None


def test_openvla_double_encoded() -> None:
    adapter = make_adapter("p", changed("openvla_bridge", protocol__double_encoded=True))
    request = adapter.request({"image": PICTURE}, TASK, SAMPLING)
    assert request == golden("openvla_request_double.json")
    answer = adapter.answer("s", golden("openvla_response_double.json"))
    assert answer.actions.tolist() == [list(ACTION)]


def test_openvla_tokens() -> None:
    """Each axis from -1 to 1 in 255 bins; token 32000 - n stands for the n-th one's centre."""
    answer = {"kind": "tokens", "vocabulary": 32000, "low": [-1.0] * 7, "high": [1.0] * 7,
              "scaled": [True] * 7}  # fmt: skip
    adapter = make_adapter("p", changed("openvla_bridge", protocol__answer=answer))
    found = adapter.answer("s", golden("openvla_response_tokens.json")).actions
    bins = [min(32000 - token, 255) for token in TOKENS]
    np.testing.assert_allclose(found, [[-1 + (2 * n - 1) / 255 for n in bins]], atol=1e-15)


def test_openvla_oft() -> None:
    spec = changed(
        "openvla_oft_libero",
        action__steps=2,
        observation__vectors=[{"key": "state", "parts": [{"constant": 0.5}]}],
    )
    adapter = make_adapter("p", spec)
    fields = {"full_image": PICTURE, "wrist_image": OTHER, "state": np.array(STATE)}
    assert adapter.request(fields, TASK, SAMPLING) == golden("openvla_oft_request.json")
    answer = adapter.answer("s", golden("openvla_oft_response.json"))
    assert answer.actions.tolist() == [list(ACTION), list(SECOND)]


def test_openpi() -> None:
    adapter = make_adapter("p", changed("openpi_pick", action__steps=2))
    fields = {"observation/image": PICTURE, "observation/state": SINGLE}
    assert adapter.request(fields, TASK, SAMPLING) == golden("openpi_request.msgpack")
    adapter.check_metadata("s", golden("openpi_metadata.msgpack"))
    answer = adapter.answer("s", golden("openpi_response.msgpack"))
    np.testing.assert_array_equal(answer.actions, FIVE)
    assert answer.server_ms == 12.5


def test_openpi_with_a_prefix() -> None:
    adapter = make_adapter("p", changed("openpi_pick", action__steps=2, protocol__prefix=True))
    fields = {"observation/image": PICTURE, "observation/state": SINGLE}
    assert adapter.request(fields, TASK, SAMPLING) == golden("openpi_request_prefix.msgpack")
    adapter.check_metadata("s", golden("openpi_metadata_prefix.msgpack"))


def test_openpi_fast_coefficients() -> None:
    """Two steps: x = (c0 + c1, c0 - c1) / sqrt 2, over the scale."""
    answer = {"kind": "coefficients", "scale": 8.0}
    adapter = make_adapter("p", changed("openpi_pick", action__steps=2, protocol__answer=answer))
    found = adapter.answer("s", golden("openpi_response_coefficients.msgpack")).actions
    c0, c1 = np.array(COEFFICIENTS, np.float64).reshape(2, 5) / 8.0
    expected = np.array([c0 + c1, c0 - c1]) / np.sqrt(2.0)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("goal", [False, True])
def test_octo(goal: bool, clock: Clock, tmp_path: Any) -> None:
    from PIL import Image

    file = tmp_path / "goal.png"
    Image.fromarray(OTHER).save(file)
    image = {"stream": "image_scene", "key": "image_primary", "width": 3, "height": 2}
    sent = ObservationMap.model_validate(
        {"images": [image | {"fit": "pad"}],
         "vectors": [{"key": "proprio", "parts": [{"constant": 1.0}]}]}
    )  # fmt: skip
    spec = Octo(
        adapter="octo", unnorm_key="bridge_dataset", window=2,
        goal_image=str(file) if goal else None,
    )  # fmt: skip
    adapter = OctoAdapter("p", spec, sent, (2, 7), 5, clock)
    fields = {"image_primary": PICTURE, "proprio": SINGLE}
    name = "octo_request_goal.json" if goal else "octo_request.json"
    assert adapter.request(fields, TASK, SAMPLING) == golden(name)
    answer = adapter.answer("s", golden("octo_response.json"))
    np.testing.assert_array_equal(answer.actions, np.array([ACTION, SECOND], np.float32))
