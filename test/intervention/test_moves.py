"""What a deflection and a leader become on the axes of every kind of action."""

from __future__ import annotations

import numpy as np
import pinocchio
import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.intervention.make import check_device, load_devices, make_moves, named
from vla_rl_nodes.intervention.moves import shrunk
from vla_rl_nodes.intervention.reference import Reference
from vla_rl_nodes.intervention.settings import load_device
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw
from vla_rl_nodes.safety.targets.pose_axes import ToolPose

from .conftest import make
from .said import changed

FR3 = load_robot("fr3")
PUSH = np.array([0.3, -0.2, 0.1, 0.2, -0.1, 0.4])
DT = 0.05
WAY, TURN = 0.25 * DT * PUSH[:3], 0.8 * DT * PUSH[3:]


def tilted() -> Reference:
    """A tool that points anywhere."""
    rotation = rotation_from_yaw(0.7) @ pinocchio.exp3(np.array([0.2, -0.3, 0.1]))
    return Reference(ToolPose(np.array([0.4, 0.1, 0.3]), rotation, 0.7), None, 0.05)


@pytest.mark.parametrize("kind", ["tool_pose_delta", "tool_pose_delta_tool"])
@pytest.mark.parametrize("frame", ["base", "tool"])
def test_a_push_is_the_same_motion_in_whatever_frame_the_contract_has(
    kind: str, frame: str
) -> None:
    reference = tilted()
    assert reference.pose is not None
    action = make_moves(make(kind), FR3).push(reference, changed("spacemouse", frame=frame), PUSH)
    rotation = reference.pose.rotation
    to_base = rotation if kind.endswith("_tool") else np.eye(3)
    expected = rotation if frame == "tool" else np.eye(3)
    assert to_base @ action[:3] == pytest.approx(expected @ WAY, abs=1e-12)
    assert to_base @ action[3:] == pytest.approx(expected @ TURN, abs=1e-12)


def test_a_tools_own_motion_does_not_depend_on_the_base() -> None:
    """The same push in the tool's frame is the same action wherever the base is."""
    moves, settings = make_moves(make("tool_pose_delta_tool"), FR3), changed(
        "spacemouse", frame="tool"
    )  # fmt: skip
    here = tilted()
    assert here.pose is not None
    turned = pinocchio.exp3(np.array([0.3, 0.5, -0.9]))
    there = ToolPose(turned @ here.pose.position + 1.0, turned @ here.pose.rotation, 0.0)
    one = moves.push(here, settings, PUSH)
    other = moves.push(Reference(there, None, 0.05), settings, PUSH)
    assert one == pytest.approx(other, abs=1e-12)


@pytest.mark.parametrize(("frame", "sign"), [("base", 1.0), ("tool", -1.0)])
def test_a_tool_that_points_down_turns_about_the_bases_z(frame: str, sign: float) -> None:
    moves = make_moves(make("tool_delta"), FR3)
    reference = Reference(ToolPose(np.zeros(3), rotation_from_yaw(0.6), 0.6), None, 0.05)
    push = np.array([0.3, 0.0, 0.2, 0.0, 0.0, 0.5])
    action = moves.push(reference, changed("spacemouse", frame=frame), push)
    along = rotation_from_yaw(0.6) if frame == "tool" else np.eye(3)
    assert action[:3] == pytest.approx(along @ (0.25 * DT * push[:3]))
    assert action[3] == pytest.approx(sign * 0.8 * DT * 0.5)


@pytest.mark.parametrize("kind", ["joint_delta", "joint_position"])
@pytest.mark.parametrize("frame", ["base", "tool"])
def test_joints_follow_a_push_of_the_tool(kind: str, frame: str) -> None:
    moves, kinematics = make_moves(make(kind), FR3), Kinematics(FR3)
    reference = Reference(None, FR3.home.copy(), 0.05)
    action = moves.push(reference, changed("spacemouse", frame=frame), PUSH)
    q = action if kind == "joint_position" else FR3.home + action
    before, after = kinematics.fk(FR3.home), kinematics.fk(q)
    along = before.rotation if frame == "tool" else np.eye(3)
    assert after.position - before.position == pytest.approx(along @ WAY, abs=2e-5)
    turn = pinocchio.log3(after.rotation @ before.rotation.T)
    assert turn == pytest.approx(along @ TURN, abs=2e-5)


def test_the_speed_of_the_joints_keeps_the_direction() -> None:
    moves = make_moves(make("joint_delta"), FR3)
    reference = Reference(None, FR3.home.copy(), 0.05)
    slow = changed("spacemouse", speed={"linear": 1.0, "angular": 2.0, "joint": 0.2})
    quick = changed("spacemouse", speed={"linear": 0.02, "angular": 0.04, "joint": 2.0})
    limited, small = moves.push(reference, slow, PUSH), moves.push(reference, quick, PUSH)
    assert np.abs(limited).max() == pytest.approx(0.2 * DT)
    assert limited / np.linalg.norm(limited) == pytest.approx(
        small / np.linalg.norm(small), abs=0.1
    )


def test_a_base_is_pushed_in_its_own_frame() -> None:
    go2 = load_robot("go2")
    moves = make_moves(make("base_velocity"), go2)
    nowhere = Reference(None, None, None)
    action = moves.push(nowhere, changed("spacemouse"), np.array([0.4, -1.0, 1.0, 1.0, 1.0, 0.5]))
    length = np.hypot(0.4, 1.0)
    assert action == pytest.approx([0.1 / length, -0.25 / length, 0.4])
    fast = changed("spacemouse", speed={"linear": 1.0, "angular": 2.0, "joint": 1.0})
    action = moves.push(nowhere, fast, np.array([1.0, 0.5, 0.0, 0.0, 0.0, -1.0]))
    assert action == pytest.approx([0.6, 0.3, -0.8])
    assert moves.hold(nowhere).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("kind", ["tool_delta", "tool_pose_delta", "tool_pose_delta_tool"])
def test_a_leader_is_where_its_kinematics_put_the_tool(kind: str) -> None:
    contract = make(kind)
    moves, kinematics, settings = make_moves(contract, FR3), Kinematics(FR3), changed("gello_fr3")
    pose = kinematics.fk(FR3.home)
    reference = Reference(ToolPose(pose.position, pose.rotation, 0.0), None, 0.05)
    there = FR3.home + np.array([0.02, 0.01, 0.0, -0.01, 0.0, 0.02, 0.01])
    goal = kinematics.fk(there)
    action = moves.follow(reference, settings, there, 1.0)
    if kind == "tool_delta":
        assert action[:3] == pytest.approx(goal.position - pose.position, abs=1e-9)
    else:
        along = pose.rotation if kind.endswith("_tool") else np.eye(3)
        assert along @ action[:3] == pytest.approx(goal.position - pose.position, abs=1e-9)
        turned = pinocchio.log3(goal.rotation @ pose.rotation.T)
        assert along @ action[3:] == pytest.approx(turned, abs=1e-9)
    off = moves.off(reference, settings, there)
    assert [o.error for o in off] == pytest.approx(action.tolist(), abs=1e-9)
    assert [o.name for o in off] == list(contract.action.names[: len(off)])


def test_a_leader_is_followed_at_most_at_the_devices_speed() -> None:
    settings = changed("gello_fr3", speed={"linear": 0.1, "angular": 0.2, "joint": 0.4})
    moves = make_moves(make("joint_position"), FR3)
    reference = Reference(None, FR3.home.copy(), 0.05)
    goal = FR3.home + np.array([0.4, 0.0, 0.0, 0.2, 0.0, 0.0, 0.0])
    step = moves.follow(reference, settings, goal, 1.0) - FR3.home
    assert step.tolist() == pytest.approx([0.02, 0, 0, 0.01, 0, 0, 0])
    half = moves.follow(reference, settings, goal, 0.5) - FR3.home
    assert half.tolist() == pytest.approx((0.5 * step).tolist())
    assert (moves.follow(reference, settings, goal, 0.0) == FR3.home).all()
    tool = make_moves(make("tool_delta"), FR3)
    pose = Kinematics(FR3).fk(FR3.home)
    reference = Reference(ToolPose(pose.position, pose.rotation, 0.0), None, 0.05)
    action = tool.follow(reference, settings, goal, 1.0)
    assert np.linalg.norm(action[:3]) == pytest.approx(0.1 * DT)


@pytest.mark.parametrize("kind", ["tool_delta", "tool_pose_delta", "tool_pose_delta_tool"])
def test_along_a_diagonal_the_tool_is_no_faster_than_along_an_axis(kind: str) -> None:
    slow = changed("spacemouse", speed={"linear": 0.1, "angular": 0.3, "joint": 0.5})
    moves = make_moves(make(kind), FR3)
    reference = tilted() if kind != "tool_delta" else Reference(
        ToolPose(np.zeros(3), np.array(rotation_from_yaw(0.0)), 0.0), None, 0.05
    )  # fmt: skip
    action = moves.push(reference, slow, np.ones(6))
    assert np.linalg.norm(action[:3]) == pytest.approx(0.1 * DT)
    assert np.linalg.norm(action[3:]) <= 0.3 * DT + 1e-12
    one = moves.push(reference, slow, np.array([0.0, 1.0, 0.0, 0.0, 0.0, 0.0]))
    assert np.linalg.norm(one[:3]) == pytest.approx(0.1 * DT)


@pytest.mark.parametrize("kind", ["joint_delta", "joint_position"])
def test_joints_take_the_tool_along_a_diagonal_no_faster(kind: str) -> None:
    slow = changed("spacemouse", speed={"linear": 0.1, "angular": 0.3, "joint": 2.0})
    moves, kinematics = make_moves(make(kind), FR3), Kinematics(FR3)
    push = np.array([1.0, 1.0, -1.0, 0.0, 0.0, 0.0])
    action = moves.push(Reference(None, FR3.home.copy(), 0.05), slow, push)
    after = action if kind == "joint_position" else FR3.home + action
    way = kinematics.fk(after).position - kinematics.fk(FR3.home).position
    assert np.linalg.norm(way) == pytest.approx(0.1 * DT, rel=0.01)


def test_shrinking_keeps_the_direction() -> None:
    low, high = np.array([-1.0, -2.0]), np.array([0.5, 2.0])
    assert shrunk(np.array([1.0, 1.0]), low, high).tolist() == [0.5, 0.5]
    assert shrunk(np.array([-3.0, 0.3]), low, high) == pytest.approx([-1.0, 0.1])
    assert shrunk(np.array([0.2, -0.3]), low, high).tolist() == [0.2, -0.3]
    above = np.array([0.1, -1.0])  # bounds that do not hold nothing
    assert shrunk(np.array([-0.5, 0.5]), above, high)[0] == 0.1


def refused(device: str, contract: Contract, **changes: object) -> str:
    with pytest.raises(InputError) as error:
        check_device(changed(device, **changes), contract, load_robot(contract.robot))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_devices_that_cannot_move_the_robot_are_refused() -> None:
    base = make("base_velocity")
    assert "a mobile base has none" in refused("gello_fr3", base)
    assert "set frame: base" in refused("gamepad", base, frame="tool")
    sway = load_contract("franka_pick").model_copy(update={"robot": "go2"})
    assert "go2 has none" in refused("spacemouse", sway)
    assert "has 7 joints, ur5e has 6" in refused(
        "gello_fr3", load_contract("franka_pick").model_copy(update={"robot": "ur5e"})
    )
    trigger = {"name": "t", "open": 0.0, "closed": 1.0}
    plain = make("joint_delta")
    axes = plain.action.axes[:-1]
    without = plain.model_copy(update={"action": plain.action.model_copy(update={"axes": axes})})
    assert "the contract no gripper" in refused("gello_fr3", without, leader__gripper=trigger)


def test_the_plane_is_refused_in_words() -> None:
    with pytest.raises(InputError, match="plane_delta moves no robot"):
        make_moves(load_contract("plane"), FR3)


def test_a_list_of_devices_is_read_and_checked() -> None:
    contract = load_contract("franka_pick")
    devices = load_devices("spacemouse, page", contract, FR3)
    assert [device.name for device in devices] == ["spacemouse", "page"]
    assert named(devices, "") is devices[0] and named(devices, "page") is devices[1]
    for names, said in ((" , ", "names none"), ("page,page", "names one twice")):
        with pytest.raises(InputError, match=said):
            load_devices(names, contract, FR3)
    with pytest.raises(InputError, match="is none of devices"):
        named(devices, "gamepad")
    assert load_device("page").kind == "joy"
