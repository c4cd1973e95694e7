"""Which limits may change while the filter is armed, and in which direction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.safety.limits import BodyRule, ResidualStage, SafetyLimits, WrenchRule
from vla_rl_nodes.safety.residuals import scheduled_share

# Whether a change from the old value to the new one is allowed while armed.
Rule = Callable[[Any, Any], bool]


def _same(old: Any, new: Any) -> bool:
    return bool(old == new)


def _lower(old: float | None, new: float | None) -> bool:
    """Lower is stricter, and any value is stricter than none."""
    if old is None or new is None:
        return old is None
    return new <= old


def _each_lower(old: dict[str, float], new: dict[str, float]) -> bool:
    return old.keys() == new.keys() and all(new[name] <= old[name] for name in old)


def _schedule(old: list[ResidualStage], new: list[ResidualStage]) -> bool:
    """Straight lines between stages: what holds at all of their ends holds in between."""
    ends = {stage.after for stage in (*old, *new)}
    return all(scheduled_share(new, n) <= scheduled_share(old, n) for n in ends)


def _wrench(old: WrenchRule | None, new: WrenchRule | None) -> bool:
    if old is None or new is None:
        return old is None
    return (
        (old.reaction, old.retreat_s) == (new.reaction, new.retreat_s)
        and new.force_max <= old.force_max
        and new.torque_max <= old.torque_max
        and new.timeout_s <= old.timeout_s
        and new.yield_speed <= old.yield_speed
    )


def _body(old: BodyRule | None, new: BodyRule | None) -> bool:
    if old is None or new is None:
        return old is new
    return (
        (old.height_min, old.height_max) == (new.height_min, new.height_max)
        and new.tilt_max <= old.tilt_max
        and new.timeout_s <= old.timeout_s
    )


# What is _same here shapes the space in which stops were verified or the way they are made: it
# changes only while disarmed, when the motion, its target and the clearances are made anew.
RULES: dict[str, Rule] = {
    "safety": _same,
    "name": _same,
    "robot": _same,
    "workspace": _same,
    "workspace_tolerance": _same,
    "planes": _same,
    "obstacles": _same,
    "self_collision_margin": _same,
    "tool_speed_max": _lower,
    "velocity_scale": _lower,
    "acceleration_scale": _same,
    "jerk_scale": _same,
    "smoothing_s": _same,
    "singularity": _same,
    "rotation_length": _same,
    "residual_bound": _each_lower,
    "residual_schedule": _schedule,
    "command_timeout_s": _lower,
    "stop_after_s": _lower,
    "first_command_timeout_s": _lower,
    "residual_wait_s": _lower,
    "joint_state_timeout_s": _lower,
    "future_tolerance_s": _lower,
    "clock_jump_max_s": _lower,
    "overrun_max": _lower,
    "tracking_error_max": _lower,
    "arming_tilt_max": _lower,
    "gripper_speed": _lower,
    "wrench": _wrench,
    "body": _body,
    "deadman_timeout_s": _lower,
    "e_stop_timeout_s": _lower,
}


def check_tightening(old: SafetyLimits, new: SafetyLimits) -> None:
    """Passes when every change is one towards stricter that an armed filter can take.

    Raises:
        InputError: a change to less strict, or of what cannot change while armed.
    """
    for key, allowed in RULES.items():
        before, after = getattr(old, key), getattr(new, key)
        if allowed(before, after):
            continue
        if allowed is _same:
            problem = "cannot change while the filter is armed"
        elif isinstance(after, float | int) or after is None:
            problem = f"{after} is less strict than {before}"
        else:
            problem = "is less strict than before, or changes more than a threshold"
        raise InputError(
            f"safety limits {new.name}: {key}",
            problem,
            "disarm first; while armed limits only become stricter",
        )
