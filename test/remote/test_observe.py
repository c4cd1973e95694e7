"""Our observation under a server's keys."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.contract.observation import Observation
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote.observe import ServedObservation
from vla_rl_nodes.remote.spec import ObservationMap

SCENE = {"stream": "image_scene", "key": "image", "width": 64, "height": 64, "fit": "pad"}


def served(contract: Contract, **parts: Any) -> ServedObservation:
    spec = ObservationMap.model_validate({"images": [SCENE], **parts})
    return ServedObservation("p.yaml", contract, spec)


def test_an_image_of_the_same_size_goes_as_it_is(
    contract: Contract, observation: Observation
) -> None:
    fields = served(contract).fields(observation)
    assert list(fields) == ["image"]
    np.testing.assert_array_equal(fields["image"], observation["image_scene"])


def test_padding_keeps_proportions_on_black(contract: Contract) -> None:
    """A square of one colour in a box twice as wide: a square in its middle."""
    box = SCENE | {"width": 128, "height": 64}
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 200
    image = served(contract, images=[box]).fields({"image_scene": red})["image"]
    assert image.shape == (64, 128, 3) and image.dtype == np.uint8
    assert (image[:, 32:96] == [200, 0, 0]).all()
    assert (image[:, :32] == 0).all() and (image[:, 96:] == 0).all()


def test_padding_of_a_larger_box_scales_up(contract: Contract) -> None:
    box = SCENE | {"width": 100, "height": 200}
    white = np.full((64, 64, 3), 255, np.uint8)
    image = served(contract, images=[box]).fields({"image_scene": white})["image"]
    assert (image[50:150] == 255).all() and (image[:50] == 0).all() and (image[150:] == 0).all()


def test_stretching_fills_the_box(contract: Contract) -> None:
    box = SCENE | {"width": 128, "height": 32, "fit": "stretch"}
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, 32:] = 255
    image = served(contract, images=[box]).fields({"image_scene": halves})["image"]
    assert image.shape == (32, 128, 3)
    assert (image[:, :62] == 0).all() and (image[:, 66:] == 255).all()


def test_vectors_are_built_in_order_with_scale_offset_and_constants(
    contract: Contract, observation: Observation
) -> None:
    parts = [
        {"stream": "state", "name": "gripper_width", "scale": 12.5, "offset": -0.5},
        {"constant": 3.25},
        {"stream": "reference", "name": "tool_z"},
    ]
    vectors = [{"key": "s", "dtype": "float64", "parts": parts}]
    fields = served(contract, vectors=vectors).fields(observation)
    state, reference = observation["state"], observation["reference"]
    assert fields["s"].dtype == np.float64
    assert fields["s"].tolist() == [float(state[4]) * 12.5 - 0.5, 3.25, float(reference[2])]


def test_the_instruction_is_the_task_unless_said_otherwise(contract: Contract) -> None:
    assert served(contract).instruction == contract.task
    assert served(contract, instruction="lift it").instruction == "lift it"


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"images": [SCENE | {"stream": "image_left"}]}, "no stream image_left"),
        ({"images": [SCENE | {"stream": "state"}]}, "stream state is no image"),
        ({"vectors": [{"key": "s", "parts": [{"stream": "image_scene", "name": "x"}]}]},
         "image_scene is no vector"),
        ({"vectors": [{"key": "s", "parts": [{"stream": "state", "name": "tool_w"}]}]},
         "stream state has no tool_w"),
    ],
)  # fmt: skip
def test_a_map_that_does_not_fit_is_refused(
    contract: Contract, parts: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        served(contract, **parts)
