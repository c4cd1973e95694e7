"""A server's chunk as a chunk of the contract."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote.actions import ServedActions
from vla_rl_nodes.remote.spec import ActionMap

AXES: list[dict[str, Any]] = [
    {"name": "x", "to": "tool_x", "unit": "m"},
    {"name": "y", "to": "tool_y", "unit": "m"},
    {"name": "z", "to": "tool_z", "unit": "m"},
    {"name": "roll", "turn": "x"},
    {"name": "pitch", "turn": "y"},
    {"name": "yaw", "turn": "z"},
    {"name": "grip", "gripper": "gripper_width", "closed": 0.0, "open": 1.0, "binary": False},
]
TURN = {"kind": "rpy", "to": "tool_yaw", "scale": 1.0, "largest_tilt": 0.1}
STRAIGHT: list[dict[str, Any]] = [
    *AXES[:3],
    {"name": "yaw", "to": "tool_yaw", "unit": "rad"},
    {"name": "grip", "to": "gripper_width", "unit": "m"},
]


def made(contract: Contract, **parts: Any) -> ServedActions:
    data = {"frame": "fr3_link0", "rate_hz": 5, "steps": 2, "axes": AXES, "rotation": TURN}
    spec = ActionMap.model_validate(data | parts)
    return ServedActions("p.yaml", contract, spec)


def step(**values: float) -> list[float]:
    return [values.get(axis["name"], 0.0) for axis in AXES]


def test_every_axis_lands_in_its_place_and_rate(contract: Contract) -> None:
    served = np.array(
        [step(x=0.04, y=-0.02, z=0.008, yaw=0.2, grip=1.0), step(x=-0.04, grip=0.25)]
    )
    actions = made(contract)
    chunk = actions.chunk(served, "server")
    assert chunk.shape == (16, 5) and chunk.dtype == np.float32
    assert actions.rows == 8
    np.testing.assert_allclose(chunk[:4], [[0.01, -0.005, 0.002, 0.05, 0.08]] * 4, atol=1e-8)
    np.testing.assert_allclose(chunk[4:8], [[-0.01, 0.0, 0.0, 0.0, 0.02]] * 4, atol=1e-8)
    # Beyond what the server has decided the arm stands still and the gripper keeps its width.
    np.testing.assert_allclose(chunk[8:], [[0.0, 0.0, 0.0, 0.0, 0.02]] * 8, atol=1e-8)


def test_axes_may_stand_in_any_order_and_direction(contract: Contract) -> None:
    axes = [
        {"name": "left", "to": "tool_y", "unit": "m", "scale": -1.0},
        {"name": "up", "to": "tool_z", "unit": "1", "scale": 0.01},
        {"name": "wrist", "within": 0.0},
        {"name": "ahead", "to": "tool_x", "unit": "m"},
        {"name": "turn", "to": "tool_yaw", "unit": "rad", "scale": -0.5},
        {"name": "grip", "gripper": "gripper_width", "closed": 1.0, "open": -1.0, "binary": True},
    ]
    actions = made(contract, axes=axes, rotation=None, rate_hz=20, steps=2)
    served = np.array([[0.01, 1.5, 0.0, 0.002, 0.2, 0.9], [0.0, 0.0, 0.0, 0.0, 0.0, -0.1]])
    chunk = actions.chunk(served, "server")
    np.testing.assert_allclose(chunk[0], [0.002, -0.01, 0.015, -0.1, 0.0], atol=1e-8)
    np.testing.assert_allclose(chunk[1], [0.0, 0.0, 0.0, 0.0, 0.08], atol=1e-8)


def test_a_longer_chunk_is_cut_to_ours(contract: Contract) -> None:
    actions = made(contract, axes=STRAIGHT, rotation=None, rate_hz=20, steps=50)
    served = np.arange(250).reshape(50, 5) * 1e-5
    np.testing.assert_allclose(actions.chunk(served, "s"), served[:16], atol=1e-8)
    assert actions.rows == 16 and not actions.native


def test_a_rotation_vector_is_scaled_and_its_tilt_refused(contract: Contract) -> None:
    turn = TURN | {"kind": "rotation_vector", "scale": 0.5}
    actions = made(contract, rotation=turn, rate_hz=20)
    chunk = actions.chunk(np.array([step(yaw=0.2), step(yaw=-0.1)]), "s")
    np.testing.assert_allclose(chunk[:2, 3], [0.1, -0.05], atol=1e-7)
    np.testing.assert_allclose(chunk[0, :3], 0.0)
    with pytest.raises(InputError, match=r"tilts the tool by 0\.15 rad"):
        actions.chunk(np.array([step(roll=0.3), step()]), "s")


def test_a_small_tilt_is_left_out(contract: Contract) -> None:
    actions = made(contract, rate_hz=20)
    chunk = actions.chunk(np.array([step(roll=0.05, pitch=-0.05, yaw=0.1), step()]), "s")
    assert chunk[0, 3] == pytest.approx(0.1, abs=0.002)
    assert chunk[0, :3].tolist() == [0.0, 0.0, 0.0]


def test_an_unused_axis_must_stay_within(contract: Contract) -> None:
    axes = [*STRAIGHT, {"name": "elbow", "within": 0.01}]
    actions = made(contract, axes=axes, rotation=None, rate_hz=20)
    actions.chunk(np.array([[0, 0, 0, 0, 0, 0.01], [0, 0, 0, 0, 0, -0.01]]), "s")
    with pytest.raises(InputError, match=r"asks for -0\.02 on axis elbow"):
        actions.chunk(np.array([[0, 0, 0, 0, 0, 0.01], [0, 0, 0, 0, 0, -0.02]]), "s")


def test_what_leaves_the_bounds_is_refused_or_clipped(contract: Contract) -> None:
    served = np.array([step(grip=1.0), step(x=0.2, grip=1.0)])
    with pytest.raises(InputError, match=r"0\.05 on axis tool_x at tick 4, the contract allows"):
        made(contract).chunk(served, "s")
    chunk = made(contract, outside="clip").chunk(served, "s")
    np.testing.assert_array_equal(chunk[4:8, 0], np.full(4, 0.02, np.float32))
    with pytest.raises(InputError, match="gripper_width"):
        made(contract).chunk(np.array([step(grip=1.5), step()]), "s")


def test_a_bound_that_float32_rounds_up_is_inside(contract: Contract) -> None:
    actions = made(contract, axes=STRAIGHT, rotation=None, rate_hz=20, steps=1)
    bound = float(np.float32(0.15))
    assert bound > 0.15
    assert actions.chunk(np.array([[0, 0, 0, bound, 0.08]]), "s")[0, 3] == np.float32(0.15)


@given(hnp.arrays(np.float64, (2, 7), elements=st.floats(-1e6, 1e6)))
def test_nothing_outside_of_the_bounds_ever_comes_out(served: np.ndarray) -> None:  # type: ignore[type-arg]
    contract = load_contract("franka_pick")
    low, high = contract.action.minimum, contract.action.maximum
    for outside in ("refuse", "clip"):
        try:
            chunk = made(contract, outside=outside).chunk(served, "s")
        except InputError:
            continue
        assert ((chunk >= low.astype(np.float32)) & (chunk <= high.astype(np.float32))).all()


def test_our_own_axes_are_recognised_and_not_touched(contract: Contract) -> None:
    native = made(contract, axes=STRAIGHT, rotation=None, rate_hz=20, steps=16)
    assert native.native
    low, high = contract.action.minimum, contract.action.maximum
    served = np.random.default_rng(1).uniform(low, high, (16, 5)).astype(np.float32)
    np.testing.assert_array_equal(native.chunk(served.astype(np.float64), "s"), served)
    shared = [STRAIGHT[0] | {"unit": "1", "scale": 1.0}, *STRAIGHT[1:]]
    for parts in ({"rate_hz": 10}, {"steps": 15}, {"axes": STRAIGHT[::-1]}, {"axes": shared},
                  {"axes": [*STRAIGHT, {"name": "more", "within": 0.0}]}):  # fmt: skip
        assert not made(contract, **({"axes": STRAIGHT, "rotation": None, "rate_hz": 20,
                                      "steps": 16} | parts)).native  # fmt: skip


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"frame": "tool"}, "moves along tool, the contract along fr3_link0"),
        ({"rate_hz": 50, "steps": 1}, "fill no tick of 20 Hz"),
        ({"axes": AXES[1:]}, "nothing makes axis tool_x"),
        ({"axes": [*AXES, AXES[0] | {"name": "again"}]}, "axis tool_x is made twice"),
        ({"axes": [AXES[0] | {"unit": "rad"}, *AXES[1:]]}, "axis x is in rad, tool_x in m"),
        ({"axes": [AXES[0] | {"to": "elbow"}, *AXES[1:]]}, "the contract has no axis elbow"),
        ({"axes": [*AXES[:6], AXES[6] | {"gripper": "tool_x"}]}, "tool_x is no gripper"),
        ({"rotation": TURN | {"to": "tool_x"}}, "tool_x does not turn"),
        ({"axes": [*AXES, {"name": "spin", "to": "tool_yaw", "unit": "rad"}]},
         "axis tool_yaw is made twice"),
    ],
)  # fmt: skip
def test_a_map_that_does_not_fit_is_refused(
    contract: Contract, parts: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        made(contract, **parts)
