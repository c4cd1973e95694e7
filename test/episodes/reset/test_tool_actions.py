"""A straight motion of the tool in the axes of every kind of contract."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.episodes.reset.tool_actions import ToolActions, shares
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw

FR3, PICK = load_robot("fr3"), load_contract("franka_pick")
KINEMATICS = Kinematics(FR3)
GRIPPER = {"name": "gripper_width", "unit": "m", "minimum": 0.0, "maximum": 0.08}


def contract(kind: str, frame: str = "fr3_link0") -> Contract:
    """The shipped contract with another kind of action."""
    axis = {"unit": "m", "minimum": -0.05, "maximum": 0.05}
    turn = {"unit": "rad", "minimum": -0.3, "maximum": 0.3}
    if kind == "tool_pose_delta":
        axes = [{"name": f"tool_{n}", **axis} for n in "xyz"]
        axes += [{"name": f"tool_r{n}", **turn} for n in "xyz"]
    elif kind == "base_velocity":
        axes = [
            {"name": name, "unit": unit, "minimum": -1.0, "maximum": 1.0}
            for name, unit in (("base_vx", "m/s"), ("base_vy", "m/s"), ("base_wz", "rad/s"))
        ]
    else:
        wide = {"unit": "rad", "minimum": -3.5, "maximum": 4.6}
        axes = [{"name": name, **wide} for name in FR3.joints]
    if kind != "base_velocity":
        axes.append(GRIPPER)
    data = PICK.model_dump()
    data["action"] = {
        "kind": kind, "frame": frame, "chunk_length": 16, "max_delay": 6, "axes": axes,
    }  # fmt: skip
    return Contract.model_validate(data)


@pytest.mark.parametrize(
    ("kind", "frame"),
    [
        ("tool_pose_delta", "fr3_link0"),
        ("tool_pose_delta", "fr3_hand_tcp"),
        ("joint_delta", "fr3_link0"),
        ("joint_position", "fr3_link0"),
    ],
)
def test_every_kind_of_action_moves_the_tool_as_asked(kind: str, frame: str) -> None:
    start = KINEMATICS.solve(FR3.home, np.array([0.5, 0.1, 0.2]), rotation_from_yaw(0.5)).q
    actions = ToolActions(FR3, KINEMATICS, contract(kind, frame), start)
    asked = np.array([0.01, -0.005, 0.02])
    values = actions.action(asked, 0.06)
    assert values[-1] == 0.06
    pose = KINEMATICS.fk(start)
    if kind == "tool_pose_delta":
        moved = pose.rotation @ values[:3] if frame == FR3.tool_frame else values[:3]
        assert np.abs(moved - asked).max() < 1e-12
        assert not values[3:6].any()
        return
    q = start + values[:-1] if kind == "joint_delta" else values[:-1]
    after = KINEMATICS.fk(q)
    assert np.abs(after.position - pose.position - asked).max() < 1e-3
    assert np.abs(after.rotation - pose.rotation).max() < 5e-3


def test_a_base_has_no_tool() -> None:
    with pytest.raises(InputError, match="its actions move no tool"):
        ToolActions(FR3, KINEMATICS, contract("base_velocity"), FR3.home)


@given(st.floats(0.001, 0.5), st.floats(0.01, 0.5))
def test_shares_add_up_and_begin_and_end_in_nothing(distance: float, speed: float) -> None:
    parts = shares(distance, speed, 0.05)
    assert parts.sum() == pytest.approx(distance)
    assert (parts >= 0.0).all()
    assert parts.max() <= 1.6 * speed * 0.05 + 1e-9
    assert parts[0] <= parts.max() and parts[-1] == pytest.approx(parts[0])
    assert not len(shares(0.0, speed, 0.05))
