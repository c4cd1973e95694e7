"""Motions inside the limits: the filter changes nothing of them and gives no reason."""

from __future__ import annotations

import numpy as np
import pytest

from vla_rl_nodes.bench.safety_physics.least_invasive import (
    Counts,
    actions_inside,
    compare_actions,
    compare_knots,
    least_invasive,
)
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.limits import Workspace, load_limits
from vla_rl_nodes.sim.actors import ExpertActor
from vla_rl_nodes.sim.rollout import Rollout

CONTRACT = load_contract("franka_pick")
LIMITS = load_limits("franka_pick")
MIDDLE = np.array([0.48, 0.0, 0.3])


def _action(x: float = 0.0, z: float = 0.0) -> np.ndarray:
    return np.array([x, 0.0, z, 0.0, 0.08])


def test_expert_episodes_are_executed_bit_for_bit_on_the_smoothed_reference() -> None:
    found = least_invasive(3, seed=20)
    assert found["episodes"] == found["successes"] == 3
    assert found["actions_inside"] > 100
    assert found["actions_inside"] / found["actions"] > 0.9
    assert found["actions_changed"] == 0
    assert found["greatest_action_difference"] == 0.0
    assert found["reasons"] == {}
    assert found["knots_changed"] == 0
    assert found["greatest_knot_difference"] <= 1e-9
    assert found["knots_inside_share"] > 0.5


def test_the_rule_knows_inside_from_outside() -> None:
    assert actions_inside(CONTRACT, LIMITS, MIDDLE, [_action(0.01)] * 3) == [True] * 3
    too_far = actions_inside(CONTRACT, LIMITS, np.array([0.69, 0.0, 0.3]), [_action(0.008)] * 3)
    assert too_far == [True, False, False]
    assert actions_inside(CONTRACT, LIMITS, MIDDLE, [_action(0.021)]) == [False]
    slow = LIMITS.model_copy(update={"tool_speed_max": 0.1})
    assert actions_inside(CONTRACT, slow, MIDDLE, [_action(0.006), _action(0.004)]) == [
        False,
        True,
    ]


def test_a_changed_action_is_counted() -> None:
    """The comparison can fail: an expert in a box that is too small for it is interfered with."""
    with Rollout(CONTRACT, cameras=False) as rollout:
        assert LIMITS.workspace is not None
        small = Workspace(x=LIMITS.workspace.x, y=LIMITS.workspace.y, z=[0.2, 0.6])
        rollout.limits = LIMITS.model_copy(update={"workspace": small})
        episode = rollout.run(3, ExpertActor(CONTRACT))
        rollout.world.reset(3)
        start = rollout.kinematics.fk(rollout.world.joint_positions).position
    counts = Counts()
    compare_actions(CONTRACT, LIMITS, start, episode, counts)
    assert counts.inside - counts.same > 0
    assert counts.reasons["workspace"] > 0
    assert counts.difference > 1e-3


def test_a_reference_outside_the_limits_is_not_counted_as_inside() -> None:
    """Back and forth at the axes' bounds asks for more acceleration than there is."""
    q = Kinematics(load_robot("fr3")).solve(
        load_robot("fr3").home, MIDDLE, np.diag([1.0, -1.0, -1.0]), iterations=100
    ).q  # fmt: skip
    counts = Counts()
    compare_knots(CONTRACT, q, [_action(0.02 * (-1) ** k) for k in range(10)], counts)
    assert counts.knots == 50
    assert counts.knots_inside < 25
    assert counts.knots_same == counts.knots_inside


@pytest.mark.parametrize("step", [0.0005, 0.001])
def test_a_gentle_motion_is_inside_at_every_tick(step: float) -> None:
    q = Kinematics(load_robot("fr3")).solve(
        load_robot("fr3").home, MIDDLE, np.diag([1.0, -1.0, -1.0]), iterations=100
    ).q  # fmt: skip
    counts = Counts()
    compare_knots(CONTRACT, q, [_action(step, step)] * 20, counts)
    assert counts.knots_inside == counts.knots_same == counts.knots == 100
