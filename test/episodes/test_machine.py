"""Which requests move an episode, and what silence does."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.episodes.machine import OUTCOMES, Cause, EpisodeMachine, State, Watch
from vla_rl_nodes.episodes.reset_watch import ResetLimits

S = 1_000_000_000


DEFAULT = Watch()


def _running(limit: float = 6.0, watch: Watch = DEFAULT) -> EpisodeMachine:
    machine = EpisodeMachine(limit, watch)
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
    assert machine.cause is Cause.RESET
    machine.start(41 * S)
    machine.reset_done(41 * S, True)
    assert machine.tick(60 * S) and "did not become ready" in machine.reason
    assert machine.cause is Cause.FAULT


def test_a_reset_lasts_as_long_as_it_says_that_it_is_alive() -> None:
    machine = EpisodeMachine(6.0)
    machine.start(0)
    for second in range(0, 500, 5):
        machine.reset_heard(second * S, asking=False)
        assert not machine.tick((second + 4) * S), "long past any fixed limit"
    assert machine.tick(506 * S) and machine.state is State.ABORTED
    assert machine.reason == "the reset was silent for 11.0 s"
    machine.start(1000 * S)
    for second in range(1000, 1600):
        machine.reset_heard(second * S, asking=False)
        assert not machine.tick(second * S)
    machine.reset_heard(1601 * S, asking=False)
    assert machine.tick(1601 * S) and machine.reason == "the reset took more than 600 s"


@pytest.mark.parametrize("ask_s", [0.0, 50.0])
def test_a_reset_that_asks_waits_as_long_as_it_may(ask_s: float) -> None:
    machine = EpisodeMachine(6.0, Watch(reset=ResetLimits(limit_s=20.0, ask_s=ask_s)))
    machine.start(0)
    machine.reset_heard(0, asking=True)
    for second in range(0, 50, 5):
        machine.reset_heard(second * S, asking=True)
        assert not machine.tick(second * S), "what it waits for a person is not its own time"
    machine.reset_heard(51 * S, asking=True)
    if ask_s:
        assert machine.tick(51 * S) and "nobody answered the reset within 50 s" in machine.reason
        return
    assert not machine.tick(51 * S)
    for second in range(52, 72):
        machine.reset_heard(second * S, asking=False)
        assert not machine.tick(second * S)
    machine.reset_heard(73 * S, asking=False)
    assert machine.tick(73 * S) and "took more than 20 s" in machine.reason


def test_a_pause_keeps_the_state_and_its_time_does_not_count() -> None:
    machine = _running(1.0)
    _all_alive(machine, S)
    assert machine.pause(S) and machine.state is State.RUNNING and machine.paused
    assert not machine.pause(S)
    for second in range(1, 100):
        machine.heard("safety filter", second * S)  # the policy is silent, as it should be
        assert not machine.tick(second * S)
    assert machine.resume(100 * S) and not machine.paused and not machine.resume(100 * S)
    assert not machine.tick(100 * S + S // 5), "the policy's silence counts from the resumption"
    for tenth in range(1, 5):
        _all_alive(machine, 100 * S + tenth * S // 10)
        assert not machine.tick(100 * S + tenth * S // 10), "half of its time had gone before"
    _all_alive(machine, 100 * S + S // 2)
    assert machine.tick(100 * S + S // 2) and machine.state is State.TIMEOUT


def test_in_a_pause_the_filter_must_still_speak() -> None:
    machine = _running()
    machine.pause(S // 2)
    assert machine.tick(S) and machine.reason.startswith("the safety filter was silent")


def test_an_episode_that_is_paused_before_it_runs_does_not_run() -> None:
    machine = EpisodeMachine(6.0)
    machine.start(0)
    assert machine.pause(0) and machine.reset_done(S, True) and machine.paused
    assert not machine.run(5 * S) and not machine.tick(100 * S)
    assert machine.resume(100 * S) and not machine.run(100 * S) and machine.run(101 * S)


def test_a_start_ends_a_pause_between_episodes() -> None:
    machine = EpisodeMachine(6.0)
    assert machine.pause(0) and machine.paused and machine.state is State.IDLE
    assert machine.start(S) and not machine.paused


@pytest.mark.parametrize("outcome", [State.SUCCESS, State.FAILURE])
def test_an_outcome_is_final_also_after_the_time_limit(outcome: State) -> None:
    machine = _running(1.0)
    _all_alive(machine, 2 * S)
    assert machine.tick(2 * S) and machine.state is State.TIMEOUT
    assert not machine.end(outcome, 2 * S, "operator") and machine.state is State.TIMEOUT
    assert not machine.discard(2 * S) and not machine.discarded


def test_a_paused_episode_can_be_judged() -> None:
    machine = _running()
    machine.pause(S)
    assert machine.end(State.SUCCESS, 9 * S, "operator") and machine.state is State.SUCCESS


@pytest.mark.parametrize("when", ["resetting", "ready", "running", "paused", "retreating"])
def test_what_is_under_way_can_be_discarded(when: str) -> None:
    machine = _running() if when in ("running", "paused", "retreating") else EpisodeMachine(6.0)
    if when in ("resetting", "ready"):
        machine.start(0)
    if when == "ready":
        machine.reset_done(0, True)
    if when == "paused":
        machine.pause(S)
    if when == "retreating":
        machine.retreat(S, "lag")
    assert machine.discard(S) and machine.state is State.ABORTED and machine.discarded
    assert (machine.reason, machine.cause) == ("discarded by the operator", Cause.OPERATOR)
    assert not machine.discard(S)
    assert machine.start(2 * S) and not machine.discarded


def test_nothing_under_way_is_nothing_to_discard() -> None:
    assert not EpisodeMachine(6.0).discard(0)


def test_help_holds_until_somebody_takes_over() -> None:
    machine = _running(2.0)
    assert machine.ask_help(S, "cannot find the cube")
    assert machine.paused and machine.help == "cannot find the cube"
    assert not machine.ask_help(S, "again") and not machine.retreat(S, "lag")
    machine.heard("safety filter", 50 * S)
    assert not machine.tick(50 * S)
    assert machine.taken_over(50 * S) and not machine.paused and machine.help == ""
    assert not machine.taken_over(50 * S)
    _all_alive(machine, 51 * S)
    assert not machine.tick(51 * S), "the waiting is not of the episode's time"


def test_help_that_does_not_come_ends_the_episode() -> None:
    machine = _running(watch=Watch(help_limit_s=30.0))
    machine.ask_help(S, "lost")
    machine.heard("safety filter", 31 * S)
    assert not machine.tick(31 * S)
    machine.heard("safety filter", 32 * S)
    assert machine.tick(32 * S) and machine.state is State.ABORTED
    assert machine.reason == "nobody came to help within 30 s: lost"
    assert machine.help == "" and not machine.paused


def test_an_operator_who_pauses_has_come_to_help() -> None:
    machine = _running(watch=Watch(help_limit_s=30.0))
    machine.ask_help(S, "lost")
    assert machine.pause(2 * S) and machine.help == "" and machine.paused
    machine.heard("safety filter", 500 * S)
    assert not machine.tick(500 * S)
    assert not machine.taken_over(500 * S) and machine.paused, "a pause by order stays"
    assert machine.resume(501 * S) and not machine.paused


def test_a_retreat_is_the_next_attempt_and_its_time_counts() -> None:
    machine = _running(2.0)
    _all_alive(machine, S)
    assert machine.attempt == 1 and machine.retreat(S, "21 steps behind")
    assert not machine.retreat(S, "again") and not machine.ask_help(S, "lost")
    assert not machine.end(State.SUCCESS, S, "reward"), "what it reaches now is not the policy's"
    assert machine.retreated(S + S // 2, True) and machine.attempt == 2
    assert machine.retry_cause == "21 steps behind" and not machine.retreating
    assert not machine.retreated(2 * S, True)
    _all_alive(machine, 5 * S // 2)
    assert machine.tick(5 * S // 2) and machine.state is State.TIMEOUT
    assert machine.start(9 * S) and machine.attempt == 1 and machine.retry_cause == ""


def test_a_retreat_that_fails_asks_for_help_or_ends_the_episode() -> None:
    machine = _running()
    machine.retreat(S, "lag")
    assert machine.retreated(S, False, "no way out") and machine.paused and machine.attempt == 1
    assert machine.help == "retreat failed: no way out"
    machine = _running(watch=Watch(retreat_failed="abort"))
    machine.retreat(S, "lag")
    assert machine.retreated(S, False, "no way out") and machine.state is State.ABORTED
    assert (machine.reason, machine.cause) == ("retreat failed: no way out", Cause.RESET)


def test_a_retreat_of_a_reset_that_died_is_given_up() -> None:
    machine = _running(60.0)
    machine.retreat(S, "lag")
    machine.reset_heard(5 * S, asking=False)
    _all_alive(machine, 14 * S)
    assert not machine.tick(14 * S)
    _all_alive(machine, 16 * S)
    assert machine.tick(16 * S) and "the retreat was silent for 11.0 s" in machine.help


def test_a_person_who_takes_over_ends_a_retreat_without_another_attempt() -> None:
    machine = _running()
    machine.retreat(S, "lag")
    assert machine.taken_over(S) and not machine.retreating and machine.attempt == 1
    assert not machine.retreated(2 * S, True) and machine.attempt == 1


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
    "discard": lambda machine, now: machine.discard(now),
    "tick": lambda machine, now: machine.tick(now),
}
HOLDS: dict[str, Callable[[EpisodeMachine, int], bool]] = {
    "pause": lambda machine, now: machine.pause(now),
    "resume": lambda machine, now: machine.resume(now),
    "help": lambda machine, now: machine.ask_help(now, "lost"),
    "person": lambda machine, now: machine.taken_over(now),
    "retreat": lambda machine, now: machine.retreat(now, "lag"),
    "retreated": lambda machine, now: machine.retreated(now, True),
    "stuck": lambda machine, now: machine.retreated(now, False, "stuck"),
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


@given(st.lists(st.sampled_from(sorted({**REQUESTS, **HOLDS})), max_size=60))
def test_holds_never_change_the_state_and_end_with_the_episode(requests: list[str]) -> None:
    machine, now = EpisodeMachine(2.0), 0
    for request in requests:
        now += S // 5
        before, attempt, held = machine.state, machine.attempt, machine.paused
        all_requests = {**REQUESTS, **HOLDS}
        changed = all_requests[request](machine, now)
        if request in HOLDS:
            assert machine.state is before
        if not changed:
            assert (machine.state, machine.attempt, machine.paused) == (before, attempt, held)
        if machine.help or machine.retreating:
            assert machine.state is State.RUNNING
        assert machine.attempt == attempt + 1 or machine.attempt in (attempt, 1)
        assert not machine.discarded or machine.state is State.ABORTED
        if machine.state is State.TIMEOUT and before is State.RUNNING:
            assert not held, "paused time does not count"
