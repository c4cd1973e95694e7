"""All watchdogs are asked, and all are given new limits."""

from __future__ import annotations

import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.guards import Guards
from vla_rl_nodes.safety.limits import BodyRule, WrenchRule, load_limits
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Instant

MS = 1_000_000
NOW = 10**15
ROBOT = load_robot("fr3")
WATCHED = load_limits("franka_pick").model_copy(
    update={
        "wrench": WrenchRule(force_max=9.0, torque_max=9.0, reaction="freeze", timeout_s=0.05),
        "body": BodyRule(height_min=0.1, height_max=0.2, tilt_max=0.3, timeout_s=0.05),
        "e_stop_timeout_s": 0.05,
    }
)
UNWATCHED = WATCHED.model_copy(update={"wrench": None, "body": None, "e_stop_timeout_s": None})
ALL = {Reason.E_STOP, Reason.WRENCH, Reason.BODY, Reason.STALE_STATE}


def at(ms: int) -> Instant:
    return Instant(NOW + ms * MS, ms * MS)


def hear(guards: Guards, ms: int, force: float = 1.0, up: float = 0.0) -> None:
    now = at(ms)
    guards.e_stop.hear(False, now)
    guards.wrench.hear(now.ros_ns, now, [force, 0.0, 0.0], [0.0, 0.1, 0.0])
    guards.body.hear(now.ros_ns, now, [up, 0.0, (1.0 - up * up) ** 0.5])
    guards.joints.measured(now.ros_ns, now, ROBOT.joints, list(ROBOT.home))


def found(guards: Guards, ms: int) -> set[Reason]:
    return {problem.reason for problem in guards.problems(at(ms), 0, ROBOT.home)}


def test_everything_that_falls_silent_is_found() -> None:
    guards = Guards(ROBOT, WATCHED, tracking=True)
    guards.joints.follow_clocks(at(0))
    hear(guards, 0)
    assert found(guards, 40) == set()
    assert found(guards, 51) == ALL
    assert guards.e_stop.latched


def test_new_limits_reach_every_watchdog() -> None:
    guards = Guards(ROBOT, UNWATCHED, tracking=True)
    guards.joints.follow_clocks(at(0))
    assert found(guards, 10) == {Reason.STALE_STATE}
    guards.refuse_arming(at(10))
    guards.set_limits(WATCHED.model_copy(update={"deadman_timeout_s": 0.1}), at(10))
    assert guards.deadman.released(at(10))
    assert found(guards, 61) == ALL


@pytest.mark.parametrize(
    ("force", "up", "said"), [(9.5, 0.0, r"force on the tool is 9\.5 N"), (1.0, 0.5, "tilted by")]
)
def test_arming_is_refused_while_something_is_too_great(
    force: float, up: float, said: str
) -> None:
    guards = Guards(ROBOT, WATCHED, tracking=True)
    hear(guards, 0, force, up)
    with pytest.raises(InputError, match=rf"^arm: .*{said}"):
        guards.refuse_arming(at(0))
    hear(guards, 1)
    guards.refuse_arming(at(1))
