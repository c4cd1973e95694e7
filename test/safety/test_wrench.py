"""A force that is too great is noticed between two ticks, and so is its absence."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla_rl_nodes.safety.limits import WrenchRule, load_limits
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Instant
from vla_rl_nodes.safety.wrench import WrenchWatch

MS = 1_000_000
NOW = 10**15
RULE = WrenchRule(force_max=50.0, torque_max=10.0, reaction="freeze", timeout_s=0.2)
LIMITS = load_limits("franka_pick").model_copy(update={"wrench": RULE})


def at(ms: float) -> Instant:
    return Instant(NOW + round(ms * MS), round(ms * MS))


@pytest.fixture
def watch() -> WrenchWatch:
    return WrenchWatch(LIMITS)


def hear(
    watch: WrenchWatch, ms: float, force: list[float], torque: list[float] | None = None
) -> object:
    return watch.hear(at(ms).ros_ns, at(ms), force, [0.0, 0.0, 0.0] if torque is None else torque)


def test_silence_is_a_problem_where_there_is_a_rule(watch: WrenchWatch) -> None:
    assert watch.stale(at(0)) == (Reason.WRENCH, "the wrench has not come")
    hear(watch, 0, [1.0, 2.0, 3.0])
    assert watch.stale(at(200)) is None
    assert watch.stale(at(201)) == (Reason.WRENCH, "the wrench is 201 ms old")
    watch.set_limits(LIMITS.model_copy(update={"wrench": None}))
    assert watch.stale(at(900)) is None and watch.excess() is None


def test_a_peak_between_two_ticks_is_not_overlooked(watch: WrenchWatch) -> None:
    hear(watch, 0, [30.0, 0.0, -40.0])
    assert watch.excess() is None
    hear(watch, 1, [30.0, 0.0, -40.1])
    hear(watch, 2, [0.1, 0.0, 0.0])
    assert watch.excess() == (Reason.WRENCH, "the force on the tool is 50.1 N")
    assert watch.excess() is None
    hear(watch, 3, [0.1, 0.0, 0.0], [0.0, 10.5, 0.0])
    assert watch.excess() == (Reason.WRENCH, "the torque on the tool is 10.5 N*m")
    assert watch.excess() is not None  # it lasts


def test_the_way_is_along_a_force_that_is_too_great(watch: WrenchWatch) -> None:
    np.testing.assert_array_equal(watch.way(), np.zeros(3))
    hear(watch, 0, [36.0, 0.0, -48.0])
    np.testing.assert_allclose(watch.way(), [0.6, 0.0, -0.8])
    hear(watch, 1, [3.0, 0.0, -4.0], [99.0, 0.0, 0.0])
    np.testing.assert_array_equal(watch.way(), np.zeros(3))


def test_a_bad_wrench_is_refused(watch: WrenchWatch) -> None:
    hear(watch, 0, [1.0, 1.0, 1.0])
    for force, reason in (([math.nan, 0.0, 0.0], Reason.NON_FINITE),
                          ([1.0, 2.0], Reason.WRONG_LENGTH)):  # fmt: skip
        refusal = hear(watch, 1, force)
        assert refusal is not None and refusal[0] is reason
    assert hear(watch, -300, [1.0, 1.0, 1.0])[0] is Reason.DUPLICATE
