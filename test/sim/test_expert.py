"""The expert's decisions from single states: phases, symmetry, bounds and prediction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.sim.expert import (
    CLOSED,
    OPEN,
    Expert,
    ExpertState,
    cube_yaw,
    nearest_cube_yaw,
)

CUBE = np.array([0.5, 0.03, 0.02])
ACTION = load_contract("franka_pick").action


def state(
    tool: tuple[float, float, float, float],
    width: float = OPEN,
    speed: float = 0.0,
    cube_turn: float = 0.2,
) -> ExpertState:
    """The tool at rest relative to the cube: x, y, z off its centre and yaw off its own."""
    pose = np.array([*(CUBE + tool[:3]), cube_turn + tool[3]])
    return ExpertState(pose, pose.copy(), width, speed, CUBE.copy(), cube_turn)


@pytest.fixture
def expert() -> Expert:
    return Expert()


def test_far_above_it_goes_towards_the_cube_and_down_with_open_fingers(expert: Expert) -> None:
    action = expert.act(state((0.1, -0.06, 0.3, 0.4)))
    assert action[0] < -0.005 and action[1] > 0.003 and action[2] < -0.005 and action[3] < 0.0
    assert action[4] == OPEN


def test_beside_the_cube_it_rises_before_it_moves_sideways(expert: Expert) -> None:
    action = expert.act(state((0.06, 0.0, 0.0, 0.0)))
    assert action[2] > 0.005
    np.testing.assert_allclose(action[:2], 0.0, atol=1e-9)


def test_aligned_it_sinks_straight_down(expert: Expert) -> None:
    action = expert.act(state((0.0, 0.0, 0.05, 0.0)))
    np.testing.assert_allclose(action[[0, 1, 3]], 0.0, atol=1e-9)
    assert action[2] < -0.005 and action[4] == OPEN


def test_around_the_cube_it_closes_and_stands_still(expert: Expert) -> None:
    for width, speed in ((0.08, 0.0), (0.079, -0.06), (0.06, -0.1), (0.045, -0.1)):
        action = expert.act(state((0.001, 0.002, 0.003, 0.02), width, speed))
        np.testing.assert_array_equal(action, [0.0, 0.0, 0.0, 0.0, CLOSED])


def test_holding_the_cube_it_lifts(expert: Expert) -> None:
    action = expert.act(state((0.0, 0.0, 0.0, 0.0), 0.04, 0.0))
    np.testing.assert_allclose(action[[0, 1, 3]], 0.0)
    assert action[2] > 0.005 and action[4] == CLOSED


def test_a_cube_held_by_its_corners_is_lifted_too(expert: Expert) -> None:
    assert expert.act(state((0.0, 0.0, 0.0, 0.6), 0.055, 0.0))[2] > 0.005


def test_closed_on_nothing_it_opens(expert: Expert) -> None:
    for width in (0.0, 0.01, 0.03):
        action = expert.act(state((0.002, 0.0, 0.05, 0.0), width, 0.0))
        assert action[4] == OPEN


def test_half_closed_fingers_do_not_come_down_on_the_cube(expert: Expert) -> None:
    assert expert.act(state((0.0, 0.0, 0.05, 0.0), 0.05, 0.1))[2] > 0.0
    assert expert.act(state((0.0, 0.0, 0.05, 0.0), 0.08, 0.0))[2] < 0.0


def test_lost_cube_is_approached_again_with_open_fingers(expert: Expert) -> None:
    lifted = state((0.0, 0.0, 0.0, 0.0), 0.04, 0.0)
    assert expert.gripping(lifted)
    lost = replace(lifted, cube=CUBE + np.array([0.08, 0.0, 0.0]), width=0.0)
    action = expert.act(lost)
    assert not expert.gripping(lost) and action[4] == OPEN and action[2] > 0.0


def test_no_memory(expert: Expert) -> None:
    one = state((0.05, -0.02, 0.1, 0.3))
    before = expert.act(one)
    for other in ((0.0, 0.0, 0.0, 0.0), (0.1, 0.1, 0.3, -0.5), (0.03, 0.0, 0.0, 0.0)):
        expert.act(state(other, width=0.04))
        expert.branch(state(other))
    np.testing.assert_array_equal(expert.act(one), before)


@given(st.floats(-10.0, 10.0), st.floats(-3.0, 3.0))
def test_nearest_yaw_is_one_of_four_and_within_an_eighth_turn(cube: float, yaw: float) -> None:
    nearest = nearest_cube_yaw(cube, yaw)
    quarters = (nearest - cube) / (np.pi / 2.0)
    assert abs(quarters - round(quarters)) < 1e-9
    assert abs(nearest - yaw) <= np.pi / 4.0 + 1e-9


@given(st.integers(0, 3), st.floats(-0.7, 0.7))
def test_all_four_cube_yaws_give_the_same_action(quarter: int, turn: float) -> None:
    one = state((0.05, 0.02, 0.1, 0.3), cube_turn=turn)
    other = replace(one, cube_yaw=turn + quarter * np.pi / 2.0)
    np.testing.assert_allclose(Expert().act(one), Expert().act(other), atol=1e-9)


@pytest.mark.parametrize("axis", [None, "x", "y", "xy"])
def test_cube_yaw_on_every_face(axis: str | None) -> None:
    """Tipping the cube over about its own edges turns it to another face, not about z."""
    turn = 0.3
    upright = np.array([np.cos(turn / 2), 0.0, 0.0, np.sin(turn / 2)])
    half = np.sqrt(0.5)
    tip = {
        None: [1.0, 0.0, 0.0, 0.0],
        "x": [half, half, 0.0, 0.0],
        "y": [half, 0.0, half, 0.0],
        "xy": [0.5, 0.5, 0.5, -0.5],
    }[axis]
    yaw = cube_yaw(_product(upright, np.array(tip)))
    assert abs(nearest_cube_yaw(yaw, turn) - turn) < 1e-9


def _product(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    w, v = a[0], a[1:]
    return np.array([w * b[0] - v @ b[1:], *(w * b[1:] + b[0] * v + np.cross(v, b[1:]))])


@st.composite
def any_state(draw: st.DrawFn) -> ExpertState:
    def vector(low: list[float], high: list[float]) -> NDArray[np.float64]:
        pairs = zip(low, high, strict=True)
        return np.array([draw(st.floats(a, b)) for a, b in pairs])

    tool = vector([0.2, -0.4, 0.0, -3.2], [0.8, 0.4, 0.6, 3.2])
    lag = vector([-0.05] * 4, [0.05] * 4)
    cube = vector([0.2, -0.4, 0.0], [0.8, 0.4, 0.4])
    width, speed = draw(st.floats(-0.001, 0.085)), draw(st.floats(-0.15, 0.15))
    return ExpertState(tool + lag, tool, width, speed, cube, draw(st.floats(-3.2, 3.2)))


@given(any_state())
def test_actions_and_branches_stay_within_the_contract(anything: ExpertState) -> None:
    expert = Expert()
    chunk = expert.branch(anything, ACTION.chunk_length)
    assert chunk.shape == (ACTION.chunk_length, 5) and np.isfinite(chunk).all()
    assert (chunk >= ACTION.minimum - 1e-12).all() and (chunk <= ACTION.maximum + 1e-12).all()
    np.testing.assert_array_equal(chunk[0], expert.act(anything))


def test_branch_runs_through_the_whole_grasp(expert: Expert) -> None:
    chunk = expert.branch(state((0.0, 0.0, 0.03, 0.0)), 30)
    closing = chunk[:, 4] == CLOSED
    first = int(np.argmax(closing))
    assert 2 < first < 12 and closing[first:].all()
    assert (chunk[:first, 2] < 0.0).all()
    lifting = int(np.argmax(chunk[:, 2] > 0.0))
    # 4 cm at 0.1 m/s are eight ticks of 50 ms.
    assert 7 <= lifting - first <= 10
    assert chunk[lifting : lifting + 8, 2].sum() > 0.05
