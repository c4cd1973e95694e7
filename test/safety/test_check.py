"""Settings that do not fit together are refused before anything moves."""

from __future__ import annotations

from typing import Any

import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import MobileBase, Robot
from vla_rl_nodes.safety.check import check_settings
from vla_rl_nodes.safety.limits import BodyRule, SafetyLimits, WrenchRule, load_limits

ROBOT, CONTRACT, LIMITS = (
    load_robot("fr3"),
    load_contract("franka_pick"),
    load_limits("franka_pick"),
)
RULE = WrenchRule(force_max=60.0, torque_max=20.0, reaction="yield", timeout_s=0.2)
BODY = BodyRule(height_min=0.2, height_max=0.4, tilt_max=0.5, timeout_s=0.1)
BASE = MobileBase(
    velocity=[1.0, 0.5, 1.0], acceleration=[1.0, 1.0, 2.0], jerk=[20.0] * 3, timeout_s=0.5
)


def changed(model: Any, **keys: Any) -> Any:
    return type(model).model_validate({**model.model_dump(), **keys})


def rates(policy_hz: int, filter_hz: int) -> Contract:
    return changed(CONTRACT, rates={"policy_hz": policy_hz, "filter_hz": filter_hz})


def axes(names: tuple[str, ...], unit: str = "rad") -> list[dict[str, Any]]:
    units = {"gripper_width": "m", "tool_x": "m", "tool_y": "m", "tool_z": "m"}
    return [
        {"name": name, "unit": units.get(name, unit), "minimum": -1.0, "maximum": 1.0}
        for name in names
    ]


def acting(kind: str, names: tuple[str, ...], frame: str = "fr3_link0", unit: str = "rad") -> Any:
    action = {**CONTRACT.action.model_dump(), "kind": kind, "frame": frame}
    return changed(CONTRACT, action={**action, "axes": axes(names, unit)})


def bounding(contract: Contract, **keys: Any) -> SafetyLimits:
    bounds = dict.fromkeys(contract.action.names, 0.01)
    return changed(LIMITS, **{"residual_bound": bounds, **keys})


JOINTS = ROBOT.joints
JOINT = acting("joint_position", (*JOINTS, "gripper_width"))
POSE = acting("tool_pose_delta", ("tool_x", "tool_y", "tool_z", "tool_rx", "tool_ry", "tool_rz"))
NO_TOOL = {"workspace": None, "tool_speed_max": None, "singularity": None,
           "arming_tilt_max": None}  # fmt: skip


def base_contract() -> Contract:
    names = ("base_vx", "base_vy", "base_wz")
    rows = axes(names, "m/s")
    rows[2]["unit"] = "rad/s"
    action = {**CONTRACT.action.model_dump(), "kind": "base_velocity", "axes": rows}
    return changed(CONTRACT, action=action)


DRIVING = base_contract()
TOPICS = ROBOT.topics.model_dump()
WITH_BASE = changed(
    ROBOT, mobile_base=BASE.model_dump(), topics={**TOPICS, "twist_command": "cmd_vel"}
)


@pytest.mark.parametrize(
    ("robot", "contract", "limits"),
    [
        (ROBOT, CONTRACT, LIMITS),
        (ROBOT, rates(20, 1000), LIMITS),
        (ROBOT, JOINT, bounding(JOINT)),
        (ROBOT, acting("joint_delta", JOINTS), bounding(acting("joint_delta", JOINTS))),
        (ROBOT, POSE, bounding(POSE)),
        (ROBOT, acting("tool_pose_delta", POSE.action.names, "fr3_hand_tcp"), bounding(POSE)),
        (ROBOT, CONTRACT, changed(LIMITS, wrench=RULE.model_dump())),
        (WITH_BASE, DRIVING, bounding(DRIVING, jerk_scale=0.5)),
        (changed(ROBOT, tool_frame=None), JOINT, bounding(JOINT, **NO_TOOL)),
    ],
)
def test_what_fits_passes(robot: Robot, contract: Contract, limits: SafetyLimits) -> None:
    check_settings(robot, contract, limits)


@pytest.mark.parametrize(
    ("robot", "contract", "limits", "said"),
    [
        (load_robot("ur5e"), CONTRACT, LIMITS, "is for fr3, the robot is ur5e"),
        (ROBOT, changed(CONTRACT, robot="ur5e"), LIMITS, "contract: is for ur5e"),
        (ROBOT, CONTRACT, changed(LIMITS, robot="go2"), "safety limits: is for go2"),
        (ROBOT, changed(load_contract("plane"), robot="fr3"), LIMITS, "which no robot takes"),
        (changed(ROBOT, base_frame="base"), CONTRACT, LIMITS, "tool_delta is in base; write"),
        (ROBOT, acting("tool_pose_delta", POSE.action.names, "tool0"), bounding(POSE),
         "is in fr3_link0 or fr3_hand_tcp"),
        (ROBOT, acting("joint_delta", JOINTS, "fr3_hand_tcp"), bounding(JOINT), "is in fr3_link0"),
        (changed(ROBOT, tool_frame=None), CONTRACT, LIMITS, "has no tool frame; choose an arm"),
        (ROBOT, acting("joint_delta", JOINTS[::-1]), bounding(JOINT), "in this order"),
        (ROBOT, acting("joint_delta", JOINTS[:6]), bounding(JOINT), "in this order"),
        (changed(ROBOT, gripper=None), JOINT, bounding(JOINT), "fr3 has no gripper; leave it out"),
        (changed(ROBOT, gripper={**ROBOT.gripper.model_dump(), "width_max": 0.04}),
         changed(CONTRACT, action={**CONTRACT.action.model_dump(), "axes": [
             *CONTRACT.action.model_dump()["axes"][:4],
             {"name": "gripper_width", "unit": "m", "minimum": 0.05, "maximum": 0.08}]}),
         LIMITS, "gripper_width is never within 0..0.04 m"),
        (ROBOT, DRIVING, bounding(DRIVING), "fr3: has no mobile base"),
        (changed(WITH_BASE, mobile_base={**BASE.model_dump(), "jerk": [20.0, 20.0, 1.0]}),
         DRIVING, bounding(DRIVING, jerk_scale=0.5), "base_wz takes 800 ticks"),
        (ROBOT, CONTRACT, changed(LIMITS, residual_bound={"tool_x": 0.01}), "give tool_x, tool_y"),
        (ROBOT, CONTRACT, changed(LIMITS, residual_bound={}), "is for no axis"),
        (ROBOT, CONTRACT, changed(LIMITS, workspace=None), "workspace: is null, fr3 has a tool"),
        (changed(ROBOT, tool_frame=None), JOINT, bounding(JOINT), "workspace: fr3 has no tool"),
        (changed(ROBOT, tool_frame=None), JOINT,
         bounding(JOINT, **{**NO_TOOL, "arming_tilt_max": 0.2}), "arming_tilt_max: fr3 has no"),
        (ROBOT, CONTRACT, changed(LIMITS, body=BODY.model_dump()), "body: fr3 has no feet"),
        (changed(ROBOT, topics={**TOPICS, "wrench": None}), CONTRACT, LIMITS,
         "wrench: fr3 has no topic that measures it"),
        (ROBOT, JOINT, bounding(JOINT, wrench=RULE.model_dump()), "give freeze or retreat"),
        (ROBOT, rates(5, 100), LIMITS, "command_timeout_s: 0.12 is less than one period at 5 Hz"),
        (ROBOT, rates(10, 10), LIMITS, "joint_state_timeout_s: 0.05 is less than one period"),
        (ROBOT, CONTRACT, changed(LIMITS, residual_wait_s=0.12), "is not below command_timeout_s"),
        (ROBOT, CONTRACT, changed(LIMITS, jerk_scale=0.005),
         "jerk_scale: fr3_joint1 takes 80 ticks from one acceleration limit to the other, 50"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(
    robot: Robot, contract: Contract, limits: SafetyLimits, said: str
) -> None:
    with pytest.raises(InputError) as raised:
        check_settings(robot, contract, limits)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
