"""The state machine's own words: what is told once, and which rest a stop ends in."""

from __future__ import annotations

from vla_rl_nodes.safety.course import Course
from vla_rl_nodes.safety.inputs import Refusal
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.state import Problem, State

STALE = Problem(Reason.STALE_STATE, "the joint state is old")
PRESSED = Problem(Reason.E_STOP, "it is pressed")


def armed() -> Course:
    course = Course()
    course.begin()
    return course


def test_a_fault_is_told_once_for_each_reason_and_named_as_the_cause() -> None:
    course = armed()
    for problem in (STALE, STALE, PRESSED, STALE):
        course.fault(problem)
    assert course.state is State.STOPPING and course.moving and not course.taking
    assert course.cause == Reason.STALE_STATE | Reason.E_STOP
    assert course.messages == [
        "the joint state is old: stopping, faulted",
        "it is pressed: stopping, faulted",
    ]
    course.clear()
    course.rest()
    assert course.state is State.FAULTED and course.reasons == NONE and not course.moving
    assert course.messages == ["the robot is at rest, faulted"]


def test_a_fault_outdoes_an_ordinary_stop_and_a_stopped_robot_is_faulted_at_once() -> None:
    course = armed()
    course.stop(Problem(Reason.STALE_COMMAND, "no command"), State.STOPPED)
    course.fault(STALE)
    course.rest()
    assert course.state is State.FAULTED
    course = armed()
    course.stop(Problem(Reason.STALE_COMMAND, "no command"), State.STOPPED)
    course.rest()
    course.fault(PRESSED)
    assert course.state is State.FAULTED
    assert course.cause == Reason.STALE_COMMAND | Reason.E_STOP


def test_a_disarmed_filter_has_nothing_to_stop() -> None:
    course = Course()
    course.fault(PRESSED)
    assert course.state is State.DISARMED and course.cause == NONE
    assert course.reasons == Reason.E_STOP and course.messages == ["it is pressed"]


def test_refusals_are_noted_unless_everything_is_refused() -> None:
    course = armed()
    assert course.noted(None) is None and course.reasons == NONE
    refusal = Refusal(Reason.NON_FINITE, "no")
    assert course.noted(refusal) is refusal
    course.noted(Refusal(Reason.NOT_ARMED, "no"))
    assert course.reasons == Reason.NON_FINITE
