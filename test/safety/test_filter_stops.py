"""How a Franka comes to rest, whatever the cause, and how command changes hands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.state import Source

Refused = Callable[[object, Reason], str]
FORWARD = [0.01, 0.005, 0.0, 0.02, 0.04]
BACKWARD = [-0.01, -0.005, 0.0, -0.02, 0.04]


def to_rest(rig: Any, **step: Any) -> Any:
    """Ticks until nothing is commanded; the outputs on the way."""
    outputs = [rig.step(**step)]
    while outputs[-1].plan is not None:
        assert len(outputs) < 100
        outputs.append(rig.step(**step))
    return outputs


def test_a_fault_follows_the_plan_that_was_commanded_last(rig: Any, refused: Refused) -> None:
    rig.moving(FORWARD)
    plan = rig.outputs[-1].plan
    rig.filter.e_stop(True, rig.now)
    outputs = to_rest(rig)
    rows = np.array([o.q_command for o in outputs[:-1]])
    assert len(rows) <= len(plan.q) and outputs[-1].state == "faulted"
    np.testing.assert_array_equal(rows, plan.q[1 : 1 + len(rows)])
    assert not outputs[-2].plan.v.any() and not outputs[-2].plan.a.any()
    assert np.abs(plan.q[-1] - rig.q).max() < 1e-9
    refused(rig.command(FORWARD), Reason.NOT_ARMED)
    rig.assert_stream_safe()


@pytest.mark.parametrize("how", ["e_stop", "stale", "tracking", "force", "disarm", "clock"])
def test_every_stop_keeps_every_limit_and_names_its_cause(rig: Any, how: str) -> None:
    rig.moving(FORWARD)
    if how == "e_stop":
        rig.filter.e_stop(True, rig.now)
    elif how == "stale":
        rig.step(7, measure=False)
    elif how == "tracking":
        rig.later(1)
        off = rig.q.copy()
        off[4] -= 0.151
        rig.measure(off)
    elif how == "force":
        rig.force = [0.0, 0.0, 1e3]
        rig.later(1)
        rig.measure()
    elif how == "disarm":
        rig.filter.disarm()
    else:
        rig.now = rig.now._replace(ros_ns=rig.now.ros_ns + 10**9)
    outputs = to_rest(rig)
    ends = {"force": "stopped", "disarm": "disarmed"}
    causes = {
        "e_stop": Reason.E_STOP, "stale": Reason.STALE_STATE, "force": Reason.WRENCH,
        "tracking": Reason.TRACKING_ERROR, "disarm": Reason.DISARMED, "clock": Reason.CLOCK_JUMP,
    }  # fmt: skip
    assert outputs[-1].state == ends.get(how, "faulted")
    assert causes[how] in rig.outputs[-2].cause
    rig.assert_stream_safe()


def test_after_a_stop_it_goes_on_from_its_command_although_the_arm_sags(rig: Any) -> None:
    rig.moving(FORWARD)
    rig.step(60)
    assert rig.filter.state == "stopped"
    held = rig.q
    rig.later(1)
    sagging = held + 1e-3
    rig.measure(sagging)
    rig.filter.arm(rig.now, sagging, 0.04)
    np.testing.assert_allclose(rig.step().q_command, held, atol=1e-12)
    assert rig.act(FORWARD).executed.reasons == NONE
    rig.assert_stream_safe()


def test_an_arm_that_was_moved_meanwhile_is_taken_over_where_it_is(rig: Any) -> None:
    rig.moving(FORWARD)
    rig.step(60)
    moved = rig.at(0.5, 0.1, 0.3)
    rig.later(1)
    rig.measure(moved)
    assert rig.step(measure=False).q_command is None  # nothing pulls it back
    with pytest.raises(InputError, match="the arm moves"):
        rig.filter.arm(rig.now, moved, 0.04)
    for _ in range(3):
        rig.later(10)
        rig.measure(moved)
    rig.filter.arm(rig.now, moved, 0.04)
    np.testing.assert_allclose(rig.step().q_command, moved, atol=1e-12)


def test_the_enabling_switch_stops_and_lets_go_on(new_rig: Any) -> None:
    rig = new_rig(deadman_timeout_s=0.1)
    rig.filter.deadman(True, rig.now)
    for _ in range(6):
        rig.filter.deadman(True, rig.now)
        rig.act(FORWARD)
    rig.filter.deadman(False, rig.now)
    rig.step(60)
    assert rig.filter.state == "holding"
    rest = rig.q
    for _ in range(6):
        rig.filter.deadman(True, rig.now)
        rig.step()
        output = rig.act(BACKWARD)
    assert output.state == "armed" and output.executed is not None
    assert rig.q[0] < rest[0]
    rig.assert_stream_safe()


def test_a_hand_over_at_speed_keeps_every_limit(rig: Any) -> None:
    for _ in range(3):
        rig.moving(FORWARD)
        rig.filter.engage(Source.INTERVENTION, True, rig.now)
        for i in range(8):
            output = rig.act(BACKWARD, source=Source.INTERVENTION)
            assert i == 0 or output.executed is not None
        assert output.source is Source.INTERVENTION
        rig.filter.engage(Source.INTERVENTION, False, rig.now)
        rig.step(2)
    rig.assert_stream_safe()


@pytest.mark.parametrize("skipped", [1, 3, 9])
def test_missed_ticks_leave_no_gap_in_the_motion(rig: Any, skipped: int) -> None:
    rig.moving(FORWARD)
    rig.step(skipped=skipped)
    rig.moving(FORWARD)
    rig.assert_stream_safe()


def test_a_late_tick_makes_no_leap(rig: Any) -> None:
    rig.moving(FORWARD)
    rig.later(40)
    rig.measure()
    rig.command(FORWARD)
    rig.step(10)
    rig.assert_stream_safe()


def with_wrench(rig: Any, reaction: str) -> dict[str, Any]:
    return {**rig.limits.wrench.model_dump(), "force_max": 60.0, "reaction": reaction}


def test_retreat_goes_back_along_the_way(new_rig: Any) -> None:
    rig = new_rig(wrench=with_wrench(new_rig, "retreat"))
    down = [0.0, 0.0, -0.01, 0.0, 0.08]
    rig.moving(down)
    rig.force = [0.0, 0.0, 80.0]
    rig.later(1)
    rig.measure()
    outputs = to_rest(rig)
    heights = rig.kinematics.tool_points(np.array([o.q_command for o in outputs[:-1]]))[:, 2]
    assert heights[-1] > heights.min() + 0.01
    assert outputs[-1].state == "stopped" and outputs[-1].cause == Reason.WRENCH
    rig.assert_stream_safe()


def test_yield_gives_way_along_the_force(new_rig: Any) -> None:
    rig = new_rig(wrench=with_wrench(new_rig, "yield"))
    rig.step(5)
    before = rig.kinematics.fk(rig.q).position
    rig.force = [0.0, 80.0, 0.0]
    rig.step(102)
    moved = rig.kinematics.fk(rig.q).position - before
    np.testing.assert_allclose(moved, [0.0, 0.05, 0.0], atol=0.006)  # 0.05 m/s for a second
    rig.force = [0.0, 0.0, 0.0]
    rig.step(2)
    assert rig.act(FORWARD).executed is not None
    rig.assert_stream_safe()


def test_limits_tightened_in_motion_slow_the_arm_down(rig: Any) -> None:
    rig.moving(FORWARD)
    tighter = rig.limits.model_copy(update={"velocity_scale": 0.1, "tool_speed_max": 0.05})
    rig.filter.tighten(tighter)
    for _ in range(8):
        assert rig.act(FORWARD).executed is not None
    points = rig.kinematics.tool_points(rig.positions()[-10:])
    assert np.linalg.norm(np.diff(points, axis=0), axis=1).max() <= 0.05 * 0.01 + 1e-9
    rig.assert_stream_safe()  # under the old limits
