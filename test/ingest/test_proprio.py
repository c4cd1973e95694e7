"""The state vector against the kinematics, and contracts that ask for what is not there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.ingest.proprio import (
    GripperState,
    check_contract,
    named_velocities,
    quantities,
    state_vector,
)
from vla_rl_nodes.resources import resource
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot

ROBOT = load_robot("fr3")
TEXT = resource("config/contracts/franka_pick.yaml").read_text()


def test_state_vector_is_in_the_order_of_its_names() -> None:
    q = ROBOT.home.copy()
    q[0] += 0.3  # turns the whole arm about the vertical
    q[6] += 0.1  # turns the tool, which points down, the other way
    dq, wrench = np.linspace(1.0, 2.0, 7), np.arange(6.0)
    values = state_vector(Kinematics(ROBOT), q, dq, GripperState(0.05, -0.1), wrench)
    named = dict(zip(quantities(ROBOT, True, True), values, strict=True))
    pose = Kinematics(ROBOT).fk(q)
    assert [named["tool_x"], named["tool_y"], named["tool_z"]] == pytest.approx(pose.position)
    assert named["tool_yaw"] == pytest.approx(0.3 - 0.1, abs=1e-6)
    assert named["gripper_width"] == 0.05 and named["gripper_speed"] == -0.1
    assert named["fr3_joint4"] == q[3] and named["fr3_joint4_velocity"] == dq[3]
    assert [named["force_z"], named["torque_z"]] == [2.0, 5.0]


def test_a_robot_without_a_tool_has_a_state_of_joints_alone() -> None:
    robot = load_robot("go2")
    velocities = np.linspace(0.0, 1.0, 12)
    values = state_vector(Kinematics(robot), robot.home, velocities, None, None)
    named = dict(zip(quantities(robot, False, False), values, strict=True))
    assert list(named)[:2] == list(robot.joints)[:2] and len(named) == 24
    assert named["RR_calf_joint_velocity"] == 1.0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("gripper_speed, unit: m/s", "gripper_pace, unit: m/s", "is not given by robot fr3"),
        ("{name: gripper_speed, unit: m/s}", "{name: gripper_speed, unit: m}", "is in m/s"),
    ],
)
def test_contract_that_selects_what_is_not_there(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    path = tmp_path / "contract.yaml"
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(InputError, match=said):
        check_contract(load_contract(path), quantities(ROBOT, True, True))
    check_contract(load_contract("franka_pick"), quantities(ROBOT, True, True))


def test_velocities_go_by_name_and_must_be_there() -> None:
    message = SimpleNamespace(name=["b", "a"], position=[0.0, 0.0], velocity=[2.0, 1.0])
    assert named_velocities(message, ["a", "b"], "x").tolist() == [1.0, 2.0]
    message.velocity = []
    with pytest.raises(InputError, match="0 velocities"):
        named_velocities(message, ["a", "b"], "x")
