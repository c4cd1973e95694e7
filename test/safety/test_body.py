"""The trunk's tilt comes from where up is."""

from __future__ import annotations

import math

import pytest

from vla_rl_nodes.safety.body import BodyWatch
from vla_rl_nodes.safety.limits import BodyRule, load_limits
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Instant

MS = 1_000_000
NOW = 10**15
RULE = BodyRule(height_min=0.15, height_max=0.4, tilt_max=0.5, timeout_s=0.1)
LIMITS = load_limits("franka_pick").model_copy(update={"body": RULE})


def at(ms: float) -> Instant:
    return Instant(NOW + round(ms * MS), round(ms * MS))


def up(tilt: float, heading: float) -> list[float]:
    s = math.sin(tilt)
    return [s * math.cos(heading), s * math.sin(heading), math.cos(tilt)]


@pytest.mark.parametrize("heading", [0.0, 1.0, -2.5])
def test_too_great_a_tilt_is_a_problem_in_every_direction(heading: float) -> None:
    watch = BodyWatch(LIMITS)
    assert watch.problem(at(0)) == (Reason.BODY, "the body's orientation has not come")
    assert watch.hear(NOW, at(0), up(0.499, heading)) is None
    assert watch.problem(at(0)) is None
    assert watch.hear(NOW + 1, at(0), up(0.51, heading)) is None
    assert watch.problem(at(0)) == (Reason.BODY, "the body is tilted by 0.51 rad")
    assert watch.hear(NOW + 2, at(0), up(3.0, heading)) is None  # on its back
    assert watch.problem(at(0)) is not None


def test_an_old_orientation_is_a_problem() -> None:
    watch = BodyWatch(LIMITS)
    watch.hear(NOW, at(0), up(0.1, 0.3))
    assert watch.problem(at(100)) is None
    assert watch.problem(at(101)) == (Reason.BODY, "the body's orientation is 101 ms old")
    watch.set_limits(LIMITS.model_copy(update={"body": None}))
    assert watch.problem(at(999)) is None


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        ([0.0, 0.0, 9.81], Reason.BODY),
        ([0.0, 0.0, 0.0], Reason.BODY),
        ([0.0, math.nan, 1.0], Reason.NON_FINITE),
        ([0.0, 1.0], Reason.WRONG_LENGTH),
    ],
)
def test_what_is_no_direction_is_refused(vector: list[float], reason: Reason) -> None:
    watch = BodyWatch(LIMITS)
    refusal = watch.hear(NOW, at(0), vector)
    assert refusal is not None and refusal.reason is reason
    assert watch.problem(at(0)) is not None
