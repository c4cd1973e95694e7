"""The judge of accepted actions and of a mobile base's velocities."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.bench.safety.actions import ActionCheck
from vla_rl_nodes.bench.safety.base_check import BaseCheck
from vla_rl_nodes.bench.safety.subjects import Subject, mobile_subject, subjects
from vla_rl_nodes.safety.output import Executed
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.state import Source

STAMP = 1_000


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return next(subjects("ur5e", tmp_path_factory.mktemp("files")))


def executed(values: Any, reasons: Reason = NONE, source: Source = Source.POLICY) -> Any:
    return SimpleNamespace(executed=Executed(STAMP, np.array(values), reasons), source=source)


def kinds(check: ActionCheck) -> list[str]:
    return [violation.kind for violation in check.violations]


def test_an_action_as_it_was_offered(subject: Subject) -> None:
    check, base = ActionCheck(subject), subject.robot.home
    check.base(Source.POLICY, STAMP, base)
    check.tick(executed(base), 0)
    assert check.violations == []


def test_a_residual_is_held_to_its_bound_and_the_schedules_share(subject: Subject) -> None:
    base = subject.robot.home
    most = subject.bounds.residual["elbow_joint"]
    for offered, share in ((0, 0.2), (10, 0.4), (20, 0.6), (30, 0.7), (70, 1.0)):
        for factor, expected in ((0.999, []), (1.001, ["residual"])):
            check = ActionCheck(subject)
            for _ in range(offered):
                check.offered_residual()
            check.base(Source.POLICY, STAMP, base)
            moved = base.copy()
            moved[2] -= factor * share * most
            check.tick(executed(moved, Reason.RESIDUAL_BOUND), 7)
            assert kinds(check) == expected


def test_a_source_without_residuals_is_executed_as_it_is(subject: Subject) -> None:
    check, base = ActionCheck(subject), subject.robot.home
    check.base(Source.INTERVENTION, STAMP, base)
    check.tick(executed(base + 1e-6, source=Source.INTERVENTION), 0)
    assert kinds(check) == ["residual"]


def test_what_another_limit_changed_is_not_the_residuals(subject: Subject) -> None:
    check, base = ActionCheck(subject), subject.robot.home
    check.base(Source.POLICY, STAMP, base)
    check.tick(executed(base + 0.5, Reason.JOINT_VELOCITY), 0)
    assert check.violations == []


def test_an_action_outside_the_contract(subject: Subject) -> None:
    check = ActionCheck(subject)
    base = subject.contract.action.maximum.copy()
    check.base(Source.POLICY, STAMP, base)
    base[0] += 1e-6
    check.tick(executed(base, Reason.JOINT_VELOCITY), 0)
    assert kinds(check) == ["action_bound"]
    assert check.violations[0].excess == pytest.approx(1e-6)


def test_an_action_that_nobody_offered(subject: Subject) -> None:
    check = ActionCheck(subject)
    check.base(Source.INTERVENTION, STAMP, subject.robot.home)
    check.tick(executed(subject.robot.home), 0)
    assert kinds(check) == ["unknown_action"]


@pytest.fixture(scope="module")
def mobile(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return mobile_subject("go2", Path(tmp_path_factory.mktemp("mobile")))


def driven(subject: Subject, jerk: float, ticks: int) -> list[np.ndarray]:
    """Velocities along x: the jerk up, then down, for so many ticks each."""
    dt, velocity, acceleration, found = subject.dt, 0.0, 0.0, []
    for sign in (*[1] * ticks, *[-1] * ticks):
        acceleration += sign * jerk * dt
        velocity += acceleration * dt
        found.append(np.array([velocity, 0.0, 0.0]))
    return found


def judged(subject: Subject, twists: list[np.ndarray], **limits: float) -> set[str]:
    base = subject.bounds.base
    assert base is not None
    base = base.copy()
    for row, key in enumerate(("velocity", "acceleration", "jerk")):
        base[row, 0] = limits.get(key, base[row, 0])
    check = BaseCheck(replace(subject.bounds, base=base), subject.dt)
    for twist in twists:
        check.tick(twist, 0)
    return {violation.kind for violation in check.violations}


def test_a_base_within_its_limits(mobile: Subject) -> None:
    assert mobile.bounds.base is not None
    jerk = 0.9 * mobile.bounds.base[2, 0]
    twists = driven(mobile, jerk, 5)
    assert judged(mobile, twists) == set()
    fastest = max(twist[0] for twist in twists)
    assert judged(mobile, twists, velocity=0.99 * fastest) == {"velocity"}
    assert judged(mobile, twists, acceleration=0.99 * 5 * jerk * mobile.dt) == {"acceleration"}
    assert judged(mobile, twists, jerk=0.99 * jerk) == {"jerk"}


def test_a_base_that_is_left_moving(mobile: Subject) -> None:
    twists = driven(mobile, 1.0, 5)
    check = BaseCheck(mobile.bounds, mobile.dt)
    for twist in twists:
        check.tick(twist, 0)
    check.tick(None, 0)
    assert [violation.kind for violation in check.violations] == ["rest"]


def test_a_velocity_that_is_no_number(mobile: Subject) -> None:
    assert judged(mobile, [np.array([0.0, np.nan, 0.0])]) == {"finite"}
