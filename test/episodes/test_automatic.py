from __future__ import annotations

import pytest

from vla_rl_nodes.episodes.automatic import Automatic
from vla_rl_nodes.episodes.machine import Cause, State

S = 1_000_000_000


def going(aborts_max: int = 0) -> Automatic:
    """In the operator's first episode."""
    automatic = Automatic(pause_s=2.0, aborts_max=aborts_max)
    automatic.enabled = True
    automatic.started(by_operator=True)
    return automatic


@pytest.mark.parametrize(
    ("outcome", "cause"),
    [(State.SUCCESS, Cause.TASK), (State.TIMEOUT, Cause.TASK), (State.SUCCESS, Cause.OPERATOR),
     (State.FAILURE, Cause.OPERATOR)],
)  # fmt: skip
def test_after_an_orderly_end_the_next_begins_after_the_pause(
    outcome: State, cause: Cause
) -> None:
    automatic = going()
    for episode in range(3):
        at = 100 * episode * S
        automatic.ended(outcome, cause, "", at)
        assert automatic.off == "" and not automatic.due(at + 2 * S - 1)
        assert automatic.due(at + 2 * S)
        automatic.started(by_operator=False)
        assert not automatic.due(at + 50 * S), "one is under way"


@pytest.mark.parametrize("cause", [Cause.OPERATOR, Cause.STOP, Cause.RESET])
def test_some_aborts_are_the_end_of_it_however_many_are_allowed(cause: Cause) -> None:
    automatic = going(aborts_max=100)
    automatic.ended(State.ABORTED, cause, "because", 0)
    assert automatic.off == "because" and not automatic.due(1000 * S)
    automatic.resumed(1000 * S)
    assert not automatic.due(2000 * S)
    automatic.started(by_operator=True)
    automatic.ended(State.SUCCESS, Cause.TASK, "", 0)
    assert automatic.off == "" and automatic.due(2 * S)


def test_other_aborts_are_forgiven_a_number_of_times_in_a_row() -> None:
    automatic = going(aborts_max=2)
    for outcome, due in (
        ("a", True),
        ("a", True),
        ("s", True),
        ("a", True),
        ("a", True),
        ("a", False),
    ):
        ended = State.ABORTED if outcome == "a" else State.SUCCESS
        automatic.ended(ended, Cause.FAULT, "silence", 0)
        assert automatic.due(2 * S) is due
        automatic.started(by_operator=False)
    assert automatic.off == "3 aborted in a row: silence"
    default = going()
    default.ended(State.ABORTED, Cause.FAULT, "silence", 0)
    assert default.off == "1 aborted in a row: silence" and not default.due(9 * S)


def test_an_emergency_stop_between_episodes_is_the_end_of_it() -> None:
    automatic = going()
    automatic.ended(State.SUCCESS, Cause.TASK, "", 0)
    automatic.stop("safety filter disarmed: e_stop")
    automatic.stop("another reason")
    assert automatic.off == "safety filter disarmed: e_stop" and not automatic.due(9 * S)


def test_nothing_begins_by_itself_before_an_operator_has_begun() -> None:
    automatic = Automatic(pause_s=0.0, aborts_max=0)
    assert automatic.off == "" and not automatic.due(9 * S)
    automatic.enabled = True
    assert automatic.off == "the operator starts the first episode" and not automatic.due(9 * S)


def test_asked_for_after_an_episode_it_waits_for_the_next_start() -> None:
    automatic = Automatic(pause_s=0.0, aborts_max=0)
    automatic.started(by_operator=True)
    automatic.ended(State.SUCCESS, Cause.TASK, "", 0)
    automatic.enabled = True
    assert not automatic.due(9 * S) and automatic.off
    automatic.started(by_operator=True)
    automatic.ended(State.SUCCESS, Cause.TASK, "", 10 * S)
    assert automatic.due(10 * S)
    automatic.enabled = False
    assert not automatic.due(99 * S) and automatic.off == ""


def test_after_a_pause_the_waiting_begins_anew() -> None:
    automatic = going()
    automatic.resumed(0)
    assert not automatic.due(9 * S), "nothing has ended yet"
    automatic.ended(State.SUCCESS, Cause.TASK, "", 0)
    automatic.resumed(100 * S)
    assert not automatic.due(101 * S) and automatic.due(102 * S)
