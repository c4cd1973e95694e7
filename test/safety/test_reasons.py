"""Recorded bits keep their meaning."""

from __future__ import annotations

from vla_rl_nodes.safety.reasons import NONE, Reason, reason_names

RECORDED = [
    "action_bound", "residual_bound", "workspace", "joint_position", "joint_velocity",
    "joint_acceleration", "non_finite", "stale_command", "stale_state", "future_stamp",
    "wrong_length", "wrong_names", "duplicate", "ik_failed", "tracking_error", "unverified_stop",
    "not_armed", "self_collision", "collision", "tool_speed", "singularity", "body",
    "tick_overrun", "wrench", "clock_jump", "e_stop", "deadman", "outranked", "disarmed", "paused",
    "in_motion",
]  # fmt: skip


def test_every_bit_has_the_name_that_recordings_know() -> None:
    assert len(Reason) == len(RECORDED)
    for bit, name in enumerate(RECORDED):
        assert reason_names(Reason(1 << bit)) == (name,)


def test_several_bits_are_named_in_bit_order() -> None:
    assert reason_names(Reason.NOT_ARMED | Reason.WORKSPACE) == ("workspace", "not_armed")
    assert reason_names(NONE) == ()
