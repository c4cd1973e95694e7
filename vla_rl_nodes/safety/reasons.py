"""Why the filter changed, refused or stopped something."""

from __future__ import annotations

from enum import IntFlag


class Reason(IntFlag):
    """One bit per reason. The bits are stored in recordings: never renumber them."""

    ACTION_BOUND = 1 << 0  # base plus residual exceeded the contract's axis bounds
    RESIDUAL_BOUND = 1 << 1  # a residual exceeded its own bound
    WORKSPACE = 1 << 2  # the reference would have left the workspace box
    JOINT_POSITION = 1 << 3  # a joint would have left its range
    JOINT_VELOCITY = 1 << 4  # a joint would have had to exceed its velocity limit
    JOINT_ACCELERATION = 1 << 5  # the reference ran further ahead than the arm can catch up
    NON_FINITE = 1 << 6  # NaN or infinity
    STALE_COMMAND = 1 << 7  # a command came too late, or none came
    STALE_STATE = 1 << 8  # joint states came too late, or none came
    FUTURE_STAMP = 1 << 9  # stamped ahead of its arrival, or the clock ran backwards
    WRONG_LENGTH = 1 << 10  # as many values as names are expected
    WRONG_NAMES = 1 << 11  # not exactly the names that are expected
    DUPLICATE = 1 << 12  # the stamp was already used, is older, or comes too soon after
    IK_FAILED = 1 << 13  # no joint positions reach the reference
    TRACKING_ERROR = 1 << 14  # the arm is not where it was commanded to be
    UNVERIFIED_STOP = 1 << 15  # a step had no verified stop, the verified one was followed
    NOT_ARMED = 1 << 16  # the filter is not armed
    SELF_COLLISION = 1 << 17  # two parts of the robot would have come too close
    COLLISION = 1 << 18  # a part would have come too close to a plane or an obstacle
    TOOL_SPEED = 1 << 19  # the tool point would have exceeded its speed limit
    SINGULARITY = 1 << 20  # slowed, or held, on the way to a singular configuration
    BODY = 1 << 21  # a legged robot's trunk would have left, or left, its height or tilt limits
    TICK_OVERRUN = 1 << 22  # the filter itself missed too many of its ticks
    WRENCH = 1 << 23  # the measured force or torque exceeded its limit, or was not measured
    CLOCK_JUMP = 1 << 24  # the node's clock and the steady clock drifted apart at once
    E_STOP = 1 << 25  # the emergency stop input is latched, or its heartbeat is missing
    DEADMAN = 1 << 26  # the enabling switch is not held
    OUTRANKED = 1 << 27  # a source with precedence is in command
    DISARMED = 1 << 28  # an order to disarm while the arm moved
    PAUSED = 1 << 29  # the episode is paused
    IN_MOTION = 1 << 30  # between joints and the contract's actions only an arm at rest changes


NONE = Reason(0)


def reason_names(reasons: Reason) -> tuple[str, ...]:
    """The names of the set bits in bit order, such as ``('workspace', 'joint_velocity')``."""
    return tuple(reason.name.lower() for reason in Reason if reason in reasons and reason.name)
