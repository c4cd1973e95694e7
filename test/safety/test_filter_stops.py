"""What makes the filter hold, stop and fault, and how the arm comes to rest then."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from vla_rl_nodes.safety.reasons import NONE, Reason

Refused = Callable[[object, Reason], str]
MS = 1_000_000
FORWARD = [0.01, 0.005, 0.0, 0.02, 0.04]


def test_without_commands_it_holds_then_stays_stopped(rig: Any, refused: Refused) -> None:
    rig.moving(FORWARD)
    last = rig.now - 50 * MS  # stamp of the last command
    states = {}
    for _ in range(60):
        output = rig.step()
        states.setdefault(str(output.state), (rig.now - 10 * MS - last) // MS)
        for message in output.messages:
            states.setdefault(message, len(states))
    assert 120 < states["holding"] <= 130
    assert 300 < states["stopped"] <= 320
    assert sum("holding" in m for o in rig.outputs for m in o.messages) == 1
    assert sum("stopping" in m for o in rig.outputs for m in o.messages) == 1
    assert output.cause == Reason.STALE_COMMAND
    refused(rig.command(FORWARD), Reason.NOT_ARMED)
    held, emitted = rig.q, len(rig.stream)
    output = rig.step(20)
    assert output.state == "stopped" and output.q_command is None and output.gripper_width is None
    assert len(rig.stream) == emitted and output.reference is not None
    # Armed again it goes on from its command, although the arm sags a little.
    sagging = held + 1e-3
    rig.measure(sagging)
    rig.filter.arm(rig.now, sagging, 0.04)
    np.testing.assert_array_equal(rig.step().q_command, held)
    first = rig.act(FORWARD)
    rig.assert_stream_safe()
    assert first.state == "armed" and first.executed is not None and first.cause == NONE


def test_a_command_ends_holding(rig: Any) -> None:
    rig.moving(FORWARD)
    assert rig.step(10).state == "holding"
    assert rig.act(FORWARD).state == "armed"


def test_the_first_command_may_take_longer(rig: Any) -> None:
    assert rig.step(200).state == "holding"
    assert rig.act(FORWARD).executed is not None
    other = type(rig)()
    assert other.step(205).state == "stopped"
    assert other.outputs[-1].cause == Reason.STALE_COMMAND


def test_a_stale_joint_state_stops_along_the_stored_stop(rig: Any, refused: Refused) -> None:
    rig.moving(FORWARD)
    while rig.step(measure=False).state == "armed":
        tail = rig.outputs[-1].stop_tail
        rig.command(FORWARD)
        assert len(rig.outputs) < 100
    stopping = rig.outputs[-1]
    assert stopping.state == "stopping" and stopping.reasons == Reason.STALE_STATE
    assert "joint state is" in stopping.messages[0]
    followed = [stopping.q_command]
    while rig.outputs[-1].state == "stopping":
        followed.append(rig.step(measure=False).q_command)
    np.testing.assert_array_equal(followed[: len(tail)], tail)
    assert rig.outputs[-1].state == "faulted" and rig.outputs[-1].cause == Reason.STALE_STATE
    rig.measure()
    refused(rig.command(FORWARD), Reason.NOT_ARMED)
    assert rig.step(30).state == "faulted"
    np.testing.assert_array_equal(rig.q, tail[-1])
    rig.assert_stream_safe()


def test_an_arm_that_does_not_follow_is_a_fault(rig: Any) -> None:
    rig.moving(FORWARD)
    lagging = rig.q.copy()
    lagging[4] -= 0.151
    rig.now += 1
    assert rig.measure(lagging) is None
    output = rig.step()
    assert output.state == "stopping" and output.reasons == Reason.TRACKING_ERROR
    assert output.messages[0].startswith("fr3_joint5 is 0.151 rad from its command")
    assert rig.step(40).state == "faulted"
    assert sum(len(o.messages) for o in rig.outputs) == 2  # stopping, at rest: once each
    rig.assert_stream_safe()


def test_an_arm_that_was_moved_meanwhile_is_taken_over_where_it_is(rig: Any) -> None:
    rig.moving(FORWARD)
    rig.step(60)
    assert rig.filter.state == "stopped"
    moved = rig.at(0.5, 0.1, 0.3)
    rig.now += 1
    assert rig.measure(moved) is None
    assert rig.step(measure=False).q_command is None  # nothing pulls it back
    rig.now += 1
    rig.measure(moved)
    rig.filter.arm(rig.now, moved, 0.04)
    np.testing.assert_array_equal(rig.step().q_command, moved)


def test_a_clock_that_runs_backwards_is_a_fault(rig: Any) -> None:
    rig.moving(FORWARD)
    rig.now -= 30 * MS
    output = rig.step(measure=False)
    assert output.state == "stopping" and output.reasons == Reason.FUTURE_STAMP
    assert "clock ran backwards" in output.messages[0]
    rig.assert_stream_safe()


def test_refused_joint_states_do_not_keep_the_arm_alive(rig: Any, refused: Refused) -> None:
    rig.moving(FORWARD)
    for _ in range(8):
        broken = rig.q.copy()
        broken[2] = math.nan
        refused(rig.measure(broken), Reason.NON_FINITE)
        rig.command(FORWARD)
        rig.step(measure=False)
    assert rig.outputs[-1].state in ("stopping", "faulted")
    assert rig.outputs[-1].cause == Reason.STALE_STATE


def test_disarming_a_moving_arm_stops_it_first(rig: Any) -> None:
    rig.moving(FORWARD)
    tail = rig.outputs[-1].stop_tail
    rig.filter.disarm()
    assert rig.filter.state == "stopping"
    followed = []
    while (output := rig.step()).state == "stopping":
        followed.append(output.q_command)
    followed.append(output.q_command)
    np.testing.assert_array_equal(followed[: len(tail)], tail[: len(followed)])
    assert output.state == "disarmed"
    assert rig.filter.tick(rig.now).q_command is None
    rig.assert_stream_safe()


def test_a_late_tick_makes_no_leap(rig: Any) -> None:
    rig.moving(FORWARD)
    rig.now += 40 * MS
    rig.measure()
    rig.command(FORWARD)
    rig.step()
    rig.assert_stream_safe()
