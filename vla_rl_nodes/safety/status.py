"""One code for what the filter is doing, numbered like MoveIt Servo's where the two agree."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Action
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import State

Array = NDArray[np.float64]


class Status(IntEnum):
    """-1 to 6 are MoveIt Servo's codes (moveit_servo 2, ``StatusCode``), from 16 on our own.

    Servo's 3, slowing down on the way out of a singular configuration, is never given: the way
    out is not slowed here.
    """

    INVALID = -1
    NO_WARNING = 0
    DECELERATE_FOR_APPROACHING_SINGULARITY = 1
    HALT_FOR_SINGULARITY = 2
    DECELERATE_FOR_LEAVING_SINGULARITY = 3
    DECELERATE_FOR_COLLISION = 4
    HALT_FOR_COLLISION = 5
    JOINT_BOUND = 6
    DISARMED = 16
    HOLDING = 17
    STOPPING = 18
    STOPPED = 19
    FAULTED = 20
    E_STOP = 21
    DEADMAN = 22
    WRENCH = 23
    UNVERIFIED_STOP = 24
    WORKSPACE = 25
    BODY = 26
    BOUNDED = 27


STATUS_MESSAGES: dict[Status, str] = {
    Status.INVALID: "an input was not usable and was refused",
    Status.NO_WARNING: "no warnings",
    Status.DECELERATE_FOR_APPROACHING_SINGULARITY: "close to a singularity, slowing down",
    Status.HALT_FOR_SINGULARITY: "at a singularity, the motion is held",
    Status.DECELERATE_FOR_LEAVING_SINGULARITY: "leaving a singularity",
    Status.DECELERATE_FOR_COLLISION: "close to a collision, the motion is shortened",
    Status.HALT_FOR_COLLISION: "a collision is next, the motion is held",
    Status.JOINT_BOUND: "a joint is close to its position limit",
    Status.DISARMED: "disarmed, nothing is commanded",
    Status.HOLDING: "no recent command, holding",
    Status.STOPPING: "following the verified stop",
    Status.STOPPED: "stopped until armed again",
    Status.FAULTED: "faulted, stopped until armed again",
    Status.E_STOP: "the emergency stop is latched",
    Status.DEADMAN: "the enabling switch is not held",
    Status.WRENCH: "giving way to the force on the tool",
    Status.UNVERIFIED_STOP: "a step had no verified stop, the stored one is followed",
    Status.WORKSPACE: "the motion is shortened at the edge of the workspace",
    Status.BODY: "the motion is shortened at the trunk's limits",
    Status.BOUNDED: "the motion is shortened to a bound",
}

_STATES = {
    State.DISARMED: Status.DISARMED,
    State.STOPPING: Status.STOPPING,
    State.STOPPED: Status.STOPPED,
    State.FAULTED: Status.FAULTED,
}
_INVALID = (
    Reason.NON_FINITE | Reason.WRONG_LENGTH | Reason.WRONG_NAMES | Reason.FUTURE_STAMP
    | Reason.DUPLICATE
)  # fmt: skip
_COLLISION = Reason.SELF_COLLISION | Reason.COLLISION
# In the order in which the first that applies is told, once nothing graver does.
_SHORTENED = (
    (Reason.JOINT_POSITION, Status.JOINT_BOUND),
    (Reason.WORKSPACE, Status.WORKSPACE),
    (Reason.BODY, Status.BODY),
    (
        Reason.ACTION_BOUND | Reason.RESIDUAL_BOUND | Reason.JOINT_VELOCITY
        | Reason.JOINT_ACCELERATION | Reason.TOOL_SPEED | Reason.IK_FAILED,
        Status.BOUNDED,
    ),
)  # fmt: skip


def without_motion(action: Action, values: Array) -> bool:
    """Whether accepted values [axes] of an action move nothing but perhaps the gripper."""
    moving = values[:-1] if action.has_gripper else values
    return action.kind != "joint_position" and not moving.any()


def status_of(state: State, reasons: Reason, *, latched: bool, halted: bool) -> Status:
    """The gravest thing to say about a tick.

    Args:
        state: after the tick.
        reasons: of the tick.
        latched: whether the emergency stop is latched.
        halted: whether an action was accepted in this tick of which no motion was left.
    """
    if latched:
        return Status.E_STOP
    if state in _STATES:
        return _STATES[state]
    if Reason.DEADMAN in reasons:
        return Status.DEADMAN
    if Reason.WRENCH in reasons:
        return Status.WRENCH
    if Reason.UNVERIFIED_STOP in reasons:
        return Status.UNVERIFIED_STOP
    if reasons & _COLLISION:
        return Status.HALT_FOR_COLLISION if halted else Status.DECELERATE_FOR_COLLISION
    if Reason.SINGULARITY in reasons:
        if halted:
            return Status.HALT_FOR_SINGULARITY
        return Status.DECELERATE_FOR_APPROACHING_SINGULARITY
    shortened = next((status for bits, status in _SHORTENED if reasons & bits), None)
    if shortened is not None:
        return shortened
    if reasons & _INVALID:
        return Status.INVALID
    return Status.HOLDING if state is State.HOLDING else Status.NO_WARNING
