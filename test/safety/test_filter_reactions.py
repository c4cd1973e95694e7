"""Emergency stop, enabling switch and wrench; target and motion are stand-ins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.safety.limits import WrenchRule
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import State
from vla_rl_nodes.safety.status import Status

from .fakes import FakeRig


@pytest.fixture
def new(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda **changed: FakeRig(monkeypatch, **changed)


def refused(answer: Any, reason: Reason) -> str:
    assert answer is not None and answer.reason is reason
    return answer.message


# --- the emergency stop and the enabling switch


def test_the_emergency_stop_latches_until_released_and_reset(new: Any) -> None:
    rig = new().arm()
    rig.run(3)
    rig.filter.e_stop(True, rig.now)
    assert rig.filter.state is State.STOPPING
    refused(rig.command(), Reason.NOT_ARMED)
    with pytest.raises(InputError, match="not at rest yet"):
        rig.filter.reset_e_stop(rig.now)
    output = rig.until_rest()
    assert output.state is State.FAULTED and output.cause == Reason.E_STOP
    assert output.status is Status.E_STOP
    with pytest.raises(InputError, match="is latched"):
        rig.arm()
    rig.filter.disarm()
    with pytest.raises(InputError, match="is latched"):
        rig.arm()
    with pytest.raises(InputError, match="still pressed"):
        rig.filter.reset_e_stop(rig.now)
    rig.filter.e_stop(False, rig.now)
    rig.filter.reset_e_stop(rig.now)
    assert rig.filter.state is State.DISARMED and rig.step().status is Status.DISARMED
    assert rig.arm().run(1).state is State.ARMED


def test_a_lost_heartbeat_is_an_emergency_stop(new: Any) -> None:
    rig = new(e_stop_timeout_s=0.1).arm()
    rig.run(3)
    rig.heartbeat = False
    states = [rig.run(1).state for _ in range(4)]
    assert states[0] is State.ARMED and states[-1] is State.FAULTED
    rig.heartbeat = True
    rig.step(5)
    with pytest.raises(InputError, match="is latched"):
        rig.arm()
    rig.filter.reset_e_stop(rig.now)
    assert rig.arm().run(1).state is State.ARMED


def test_the_emergency_stop_while_stopped_or_disarmed_keeps_it_so(new: Any) -> None:
    rig = new()
    rig.filter.e_stop(True, rig.now)
    output = rig.step()
    assert output.state is State.DISARMED and output.status is Status.E_STOP
    assert output.messages == ("the emergency stop is pressed",)
    rig.filter.e_stop(False, rig.now)
    rig.filter.reset_e_stop(rig.now)
    rig.arm().step(210)
    assert rig.filter.state is State.STOPPED
    rig.filter.e_stop(True, rig.now)
    assert rig.filter.state is State.FAULTED
    assert rig.step().cause == Reason.STALE_COMMAND | Reason.E_STOP


def test_without_the_enabling_switch_it_comes_to_rest_and_waits(new: Any) -> None:
    rig = new(deadman_timeout_s=0.1).arm()
    rig.run(3)
    rig.held = False
    output = rig.step()
    plan = rig.outputs[-2].plan
    np.testing.assert_array_equal(output.q_command, plan.q[1])
    assert output.state is State.HOLDING and output.status is Status.DEADMAN
    refused(rig.command(), Reason.DEADMAN)
    rig.held = True
    assert rig.step().state is State.HOLDING  # it comes to rest first
    refused(rig.command(), Reason.DEADMAN)
    rig.held = False
    rig.step(100)  # for as long as it takes
    assert rig.outputs[-1].state is State.HOLDING
    np.testing.assert_array_equal(rig.q, plan.q[-1])
    assert rig.target.calls.count("restart") == 1
    rig.held = True
    rig.step()
    assert rig.run(1).executed is None and rig.outputs[-5].executed is not None
    assert rig.outputs[-1].state is State.ARMED
    assert sum("enabling switch" in m for m in rig.said()) == 1
    rig.filter.deadman(True, rig.now)
    rig.limits = rig.limits.model_copy(update={"deadman_timeout_s": None})  # no longer heard
    rig.run(3)
    assert rig.outputs[-1].state is State.HOLDING and Reason.DEADMAN in rig.outputs[-1].reasons


# --- the wrench


def pressed(new: Any, reaction: str, **rule: Any) -> FakeRig:
    """A moving robot, in the tick in which the force becomes too great."""
    made = WrenchRule(force_max=10.0, torque_max=5.0, reaction=reaction, timeout_s=0.2, **rule)  # type: ignore[arg-type]
    rig: FakeRig = new(wrench=made).arm()
    rig.run(4)
    rig.force = [0.0, 12.0, -16.0]
    rig.command()
    rig.step()
    return rig


def test_freeze_stops_until_armed_again(new: Any) -> None:
    rig = pressed(new, "freeze")
    assert rig.outputs[-1].state is State.STOPPING and rig.outputs[-1].executed is None
    assert rig.outputs[-1].messages == ("the force on the tool is 20.0 N: stopping",)
    output = rig.until_rest()
    assert output.state is State.STOPPED and output.cause == Reason.WRENCH
    assert "back" not in rig.target.calls


def test_retreat_goes_back_once_at_rest_and_then_stops(new: Any) -> None:
    rig = pressed(new, "retreat", retreat_s=0.12)
    rig.target.calls.clear()
    before = rig.q.copy()
    output = rig.until_rest()
    assert output.state is State.STOPPED and output.cause == Reason.WRENCH
    assert rig.target.calls == ["restart", "back", "back", "back", "restart"]
    assert rig.q[0] < before[0] - 0.001


def test_retreat_ends_where_the_way_does(new: Any) -> None:
    rig = pressed(new, "retreat", retreat_s=5.0)
    assert rig.until_rest(60).state is State.STOPPED
    assert rig.target.calls[-2:] == ["back", "restart"] and not rig.target.way


@pytest.mark.parametrize("how", ["e_stop", "disarm", "deadman"])
def test_a_retreat_is_given_up_for_whatever_stops_for_good(new: Any, how: str) -> None:
    rig = pressed(new, "retreat", retreat_s=5.0)
    rig.step(6)
    assert "back" in rig.target.calls and rig.filter.state is State.STOPPING
    if how == "e_stop":
        rig.filter.e_stop(True, rig.now)
    elif how == "disarm":
        rig.filter.disarm()
    else:
        limits = rig.limits.model_copy(update={"deadman_timeout_s": 0.1})
        rig.filter.tighten(limits)
    backs = rig.target.calls.count("back")
    output = rig.until_rest()
    assert rig.target.calls.count("back") == backs
    wanted = {"e_stop": State.FAULTED, "disarm": State.DISARMED, "deadman": State.STOPPED}
    assert rig.filter.state is wanted[how]
    assert output.plan is None


def test_yield_gives_way_while_it_lasts_and_then_goes_on(new: Any) -> None:
    rig = pressed(new, "yield", yield_speed=0.1)
    rig.step(59)
    pushes = [call for call in rig.target.calls if call[0] == "push"]
    assert pushes == [("push", 0.0, 0.003, -0.004)] * 12  # 5 mm in each control period
    output = rig.outputs[-1]
    assert output.state is State.HOLDING and output.status is Status.WRENCH
    assert refused(rig.command(), Reason.WRENCH) == "the tool is giving way to a force"
    rig.force = [0.0, 0.0, 1.0]
    rig.step()
    assert rig.run(1).state is State.ARMED and rig.outputs[-5].executed is not None
    assert sum("giving way" in m for m in rig.said()) == 1


def test_a_wrench_that_is_not_measured_is_a_fault(new: Any) -> None:
    rule = WrenchRule(force_max=10.0, torque_max=5.0, reaction="yield", timeout_s=0.1)
    rig = new(wrench=rule).arm()
    rig.run(2)
    rig.force = None
    rig.run(3)
    assert rig.until_rest().state is State.FAULTED and rig.outputs[-1].cause == Reason.WRENCH
