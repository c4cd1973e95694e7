"""safety/reference read for every kind of action."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.intervention.grip import Grip
from vla_rl_nodes.intervention.make import make_moves
from vla_rl_nodes.intervention.reference import ReferenceReader
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw
from vla_rl_nodes.safety.clearance import Clearance
from vla_rl_nodes.safety.limits import load_limits
from vla_rl_nodes.safety.reasons import NONE
from vla_rl_nodes.safety.targets.make import make_target

from .conftest import make
from .said import joints


def reader(contract: Contract) -> ReferenceReader:
    return ReferenceReader(contract, load_robot(contract.robot))


def test_a_tool_that_points_down() -> None:
    read = reader(make("tool_delta"))
    names = [*reversed(read.names), "another"]
    values = [0.04, 0.5, 0.3, 0.2, 0.1, 9.0]
    found = read.read(joints(0, names, values))
    assert found.pose is not None and found.opening == 0.04
    assert found.pose.position.tolist() == [0.1, 0.2, 0.3] and found.pose.yaw == 0.5
    assert found.pose.rotation.tolist() == rotation_from_yaw(0.5).tolist()


def test_a_quaternion() -> None:
    half = math.sqrt(0.5)
    read = reader(make("tool_pose_delta"))
    found = read.read(joints(0, read.names, [0.1, 0.2, 0.3, 0.0, 0.0, half, half, 0.02]))
    assert found.pose is not None
    assert found.pose.rotation == pytest.approx(np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]]))
    with pytest.raises(InputError, match="quaternion has length"):
        read.read(joints(0, read.names, [0.1, 0.2, 0.3, 0.0, 0.0, 0.0, 0.0, 0.02]))


def test_joints_and_a_base() -> None:
    read = reader(make("joint_position"))
    found = read.read(joints(0, read.names, [*range(7), 0.08]))
    assert found.joints is not None and found.joints.tolist() == list(range(7))
    assert found.pose is None and found.opening == 0.08
    found = reader(make("base_velocity")).read(joints(0, ["base_vx"], [0.3]))
    assert found.pose is None and found.joints is None and found.opening is None


@pytest.mark.parametrize("kind", ["tool_delta", "tool_pose_delta", "joint_delta"])
def test_what_is_not_finite_or_missing_is_refused(kind: str) -> None:
    read = reader(make(kind))
    with pytest.raises(InputError, match="not finite"):
        read.read(joints(0, read.names, [math.nan] * len(read.names)))
    with pytest.raises(InputError, match="not among"):
        read.read(joints(0, read.names[1:], [0.0] * (len(read.names) - 1)))


@pytest.mark.parametrize(
    "kind", ["tool_delta", "tool_pose_delta", "tool_pose_delta_tool", "joint_delta",
             "joint_position"],
)  # fmt: skip
def test_the_filters_own_target_is_read_and_held(kind: str) -> None:
    """What the filter says of its target can be read, and holding it moves nothing."""
    contract = make(kind)
    robot, limits = load_robot("fr3"), load_limits("franka_pick")
    target = make_target(
        robot, Kinematics(robot), Clearance(robot, limits), contract.action, limits, 5, 0.01,
        robot.home, 0.05,
    )  # fmt: skip
    read = reader(contract)
    assert read.names == target.pose_names
    before = target.pose
    for _ in range(3):
        reference = read.read(joints(0, target.pose_names, target.pose.tolist()))
        assert reference.opening == 0.05
        arm = make_moves(contract, robot).hold(reference)
        action = Grip(contract.action).joined(arm, reference.opening)
        assert target.accept(action, robot.home).reasons == NONE
        for _ in range(5):
            assert target.advance() == pytest.approx(robot.home, abs=1e-12)
    assert target.pose.tolist() == before.tolist()
