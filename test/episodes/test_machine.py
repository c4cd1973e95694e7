"""Which requests move an episode, and what silence does."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.episodes.machine import OUTCOMES, EpisodeMachine, State

S = 1_000_000_000


def _running(limit: float = 6.0) -> EpisodeMachine:
    machine = EpisodeMachine(limit)
    assert machine.start(0) and machine.reset_done(0, True)
    assert not machine.run(0)  # still settling
    assert machine.run(S // 2)
    return machine


def _all_alive(machine: EpisodeMachine, now_ns: int) -> None:
    for who in machine.watch.alive:
        machine.heard(who, now_ns)


def test_orderly_episode() -> None:
    machine = _running()
    assert machine.end(State.SUCCESS, S, "lifted")
    assert machine.state is State.SUCCESS and machine.reason == "lifted"
    assert not machine.end(State.FAILURE, S, "too late")
    assert machine.start(2 * S) and machine.state is State.RESETTING


def test_time_limit_is_a_timeout_not_a_failure() -> None:
    machine = _running(1.0)
    for step in range(6, 15):
        _all_alive(machine, step * S // 10)
        assert not machine.tick(step * S // 10)
    _all_alive(machine, S * 3 // 2)
    assert machine.tick(S * 3 // 2) and machine.state is State.TIMEOUT


@pytest.mark.parametrize("dead", ["policy", "safety filter"])
def test_silence_of_either_aborts(dead: str) -> None:
    machine = _running()
    _all_alive(machine, S)
    assert not machine.tick(S + S // 5)
    for who in machine.watch.alive:
        if who != dead:
            machine.heard(who, S + S // 2)
    assert machine.tick(S + S // 2) and machine.state is State.ABORTED
    assert f"the {dead} was silent" in machine.reason


def test_failed_or_endless_reset_aborts() -> None:
    machine = EpisodeMachine(6.0)
    machine.start(0)
    assert machine.reset_done(S, False, "cube fell") and machine.state is State.ABORTED
    machine.start(S)
    assert machine.tick(40 * S) and machine.state is State.ABORTED
    machine.start(41 * S)
    machine.reset_done(41 * S, True)
    assert machine.tick(60 * S) and "did not become ready" in machine.reason


def test_only_outcomes_end_an_episode() -> None:
    with pytest.raises(ValueError, match="no outcome"):
        _running().end(State.READY, S, "")


REQUESTS: dict[str, Callable[[EpisodeMachine, int], bool]] = {
    "start": lambda machine, now: machine.start(now),
    "reset": lambda machine, now: machine.reset_done(now, True),
    "fail": lambda machine, now: machine.reset_done(now, False),
    "run": lambda machine, now: machine.run(now),
    "success": lambda machine, now: machine.end(State.SUCCESS, now, ""),
    "failure": lambda machine, now: machine.end(State.FAILURE, now, ""),
    "abort": lambda machine, now: machine.end(State.ABORTED, now, ""),
    "tick": lambda machine, now: machine.tick(now),
}


@given(st.lists(st.sampled_from(sorted(REQUESTS)), max_size=40))
def test_running_is_reached_only_through_reset_and_ready(requests: list[str]) -> None:
    machine, now, path = EpisodeMachine(1.0), 0, [State.IDLE]
    for request in requests:
        now += S // 5
        before = machine.state
        changed = REQUESTS[request](machine, now)
        assert changed == (machine.state is not before)
        if changed:
            path.append(machine.state)
    for earlier, later in pairwise(path):
        if later is State.RUNNING:
            assert earlier is State.READY
        if later in (State.SUCCESS, State.FAILURE, State.TIMEOUT):
            assert earlier is State.RUNNING
        if earlier in OUTCOMES:
            assert later is State.RESETTING
