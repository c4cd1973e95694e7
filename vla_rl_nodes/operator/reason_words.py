"""The safety filter's reasons as a person at the robot reads them."""

from __future__ import annotations

from vla_rl_nodes.operator.said import shortened

WORDS = {
    "action_bound": "the action was cut to the contract's bounds",
    "residual_bound": "the residual was cut to its bound",
    "workspace": "the edge of the workspace",
    "joint_position": "a joint is at the end of its range",
    "joint_velocity": "a joint would be too fast",
    "joint_acceleration": "the arm cannot follow so quickly",
    "non_finite": "a command or measurement was no number",
    "stale_command": "no recent command",
    "stale_state": "no recent joint states",
    "future_stamp": "a stamp lies in the future: check the clocks",
    "wrong_length": "a message has the wrong number of values",
    "wrong_names": "a message has the wrong names",
    "duplicate": "a command came twice or too soon",
    "ik_failed": "no joint positions reach the target",
    "tracking_error": "the arm is not where it was sent",
    "unverified_stop": "a step had no verified stop",
    "not_armed": "the filter is not armed",
    "self_collision": "two parts of the robot come too close",
    "collision": "the robot comes too close to something",
    "tool_speed": "the tool would be too fast",
    "singularity": "close to a singular pose",
    "body": "the trunk is at its limits",
    "tick_overrun": "the filter missed too many of its ticks",
    "wrench": "the force at the tool is too high, or not measured",
    "clock_jump": "the computer's clock was set",
    "e_stop": "the emergency stop",
    "deadman": "the enabling switch is not held",
    "outranked": "somebody with precedence is in command",
    "disarmed": "it was told to disarm while the arm moved",
    "paused": "the episode is paused",
    "in_motion": "the kind of command changes only at rest",
}


def in_words(reasons: str) -> list[str]:
    """The sentences for a comma-separated list of reasons; an unknown one by its own name."""
    names = [name.strip() for name in reasons.split(",") if name.strip()]
    return [WORDS.get(name) or shortened(name.replace("_", " ")) for name in names]
