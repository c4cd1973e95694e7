"""The time that is left counts only what runs."""

from __future__ import annotations

from vla_rl_nodes.operator.run_clock import RunClock
from vla_rl_nodes.operator.said import Said

SECOND = 1_000_000_000


def said(state: str, at_s: float, paused: str = "0", episode: str = "e") -> Said:
    values = {"episode_id": episode, "paused": paused, "time_limit_s": "6.0"}
    return Said(state, values, 0, round(at_s * SECOND))


def test_pauses_do_not_count() -> None:
    clock = RunClock()
    assert clock.left_s(0) is None
    clock.hear(said("ready", 1.0))
    assert clock.left_s(1 * SECOND) is None
    clock.hear(said("running", 2.0))
    assert clock.left_s(3 * SECOND) == 5.0
    clock.hear(said("running", 4.0, paused="1"))
    assert clock.left_s(9 * SECOND) == 4.0
    clock.hear(said("running", 10.0))
    assert clock.left_s(11 * SECOND) == 3.0
    assert clock.left_s(60 * SECOND) == 0.0
    clock.hear(said("timeout", 14.0))
    assert clock.left_s(14 * SECOND) is None


def test_the_next_episode_begins_anew() -> None:
    clock = RunClock()
    clock.hear(said("running", 0.0))
    clock.hear(said("running", 5.0, episode="f"))
    assert clock.left_s(6 * SECOND) == 5.0


def test_without_a_limit_nothing_is_shown() -> None:
    clock = RunClock()
    clock.hear(Said("running", {"episode_id": "e", "time_limit_s": "nan"}, 0, 1))
    assert clock.left_s(5) is None
