"""What makes the filter hold, wait, stop and fault; target and motion are stand-ins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.safety.limits import WrenchRule
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.state import Source, State
from vla_rl_nodes.safety.status import Status

from .fakes import FORWARD, FakeRig


@pytest.fixture
def new(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda **changed: FakeRig(monkeypatch, **changed)


def refused(answer: Any, reason: Reason) -> str:
    assert answer is not None and answer.reason is reason
    return answer.message


# --- arming


def test_a_new_filter_commands_nothing(new: Any) -> None:
    rig = new()
    output = rig.step(3)
    assert output.plan is None and output.q_command is None and output.gripper_width is None
    assert output.reference is None and output.executed is None and output.source is None
    assert (output.state, output.status, output.reasons) == (
        State.DISARMED, Status.DISARMED, NONE,
    )  # fmt: skip
    assert refused(rig.command(), Reason.NOT_ARMED) == "the filter is disarmed; arm it first"


def test_arming_is_refused_without_what_the_limits_watch(new: Any) -> None:
    rule = WrenchRule(force_max=10.0, torque_max=5.0, reaction="freeze", timeout_s=0.2)
    rig = new(wrench=rule, e_stop_timeout_s=0.1)
    with pytest.raises(InputError, match="heartbeat has not come"):
        rig.filter.arm(rig.now, rig.q, 0.04)
    rig.filter.e_stop(False, rig.now)
    with pytest.raises(InputError, match="wrench has not come"):
        rig.filter.arm(rig.now, rig.q, 0.04)
    rig.force = [0.0, 0.0, 11.0]
    rig.hear()
    with pytest.raises(InputError, match=r"force on the tool is 11\.0 N"):
        rig.filter.arm(rig.now, rig.q, 0.04)
    rig.later(1)
    rig.force = [0.0, 0.0, 9.0]
    rig.hear()
    for width in (-0.01, np.nan, np.inf):
        with pytest.raises(InputError, match="not usable; check the gripper"):
            rig.filter.arm(rig.now, rig.q, width)
    rig.filter.arm(rig.now, rig.q, 0.04)
    with pytest.raises(InputError, match="arm: the filter is armed; disarm it first"):
        rig.filter.arm(rig.now, rig.q, 0.04)


# --- commands


def test_an_accepted_action_is_told_with_its_stamp(new: Any) -> None:
    rig = new().arm()
    stamp = rig.now.ros_ns
    rig.command()
    output = rig.step()
    assert output.executed.stamp_ns == stamp and output.executed.reasons == NONE
    assert output.executed.values.tobytes() == np.array(FORWARD).tobytes()
    assert output.source is Source.POLICY and output.status is Status.NO_WARNING
    assert rig.step().executed is None
    rig.target.reasons = Reason.WORKSPACE
    rig.step(3)
    rig.command(values=[0.5, 0.0, 0.0, 0.0, 0.0])
    output = rig.step()
    assert output.executed.reasons == Reason.WORKSPACE | Reason.ACTION_BOUND == output.reasons
    assert output.status is Status.WORKSPACE


def test_without_commands_it_holds_then_stays_stopped(new: Any) -> None:
    rig = new().arm()
    rig.run(4)
    states: dict[str, int] = {}
    for tick in range(60):
        states.setdefault(str(rig.step().state), 60 + 10 * tick)  # ms since the last stamp
    assert states["holding"] == 130 and states["stopped"] == 310
    assert rig.outputs[-1].state is State.STOPPED and rig.outputs[-1].plan is None
    assert rig.outputs[-1].cause == Reason.STALE_COMMAND
    assert [m for m in rig.said() if "policy" in m] == [
        "no command of policy for 130 ms: holding",
        "no command of policy for 310 ms: stopping",
    ]
    refused(rig.command(), Reason.NOT_ARMED)
    rig.arm()
    output = rig.run(1)
    assert output.state is State.ARMED and output.cause == NONE


def test_the_first_command_may_take_longer(new: Any) -> None:
    rig = new().arm()
    assert rig.step(200).state is State.HOLDING
    rig.command()
    assert rig.step().executed is not None and rig.outputs[-1].state is State.ARMED
    rig = new().arm()
    assert rig.step(202).state is State.STOPPED


def test_refused_inputs_are_among_the_next_ticks_reasons(new: Any) -> None:
    rig = new().arm()
    rig.run(1)
    rig.command()
    refused(rig.command(values=[np.nan, *FORWARD[1:]]), Reason.NON_FINITE)
    output = rig.step()
    assert output.executed is not None and output.reasons == Reason.NON_FINITE
    assert output.status is Status.INVALID
    assert rig.step().reasons == NONE


# --- sources


def test_the_intervention_outranks_the_policy_until_it_gives_back(new: Any) -> None:
    rig = new().arm()
    rig.run(2)
    rig.command()
    rig.filter.engage(Source.INTERVENTION, True, rig.now)
    assert refused(rig.command(), Reason.OUTRANKED).endswith("intervention is in command")
    rig.later(20)
    rig.command(Source.INTERVENTION)
    output = rig.step()
    assert output.executed is not None and output.source is Source.INTERVENTION
    assert output.messages[0] == "intervention takes over from policy"
    assert Reason.OUTRANKED in output.reasons and output.status is Status.NO_WARNING
    # It falls silent: the policy is still refused, and the robot stops.
    for _ in range(5):
        refused(rig.command(), Reason.OUTRANKED)
        output = rig.step(5)
    assert output.state is State.HOLDING and output.executed is None
    assert rig.until_rest().state is State.STOPPED
    assert any("no command of intervention" in message for message in rig.said())
    rig.filter.engage(Source.INTERVENTION, False, rig.now)
    rig.arm()
    assert rig.run(1).source is Source.POLICY


def test_a_residual_counts_only_with_the_policys_command(new: Any) -> None:
    rig = new().arm()
    residual = [0.001, 0.0, 0.0, 0.0, 0.0]
    rig.command()
    rig.filter.residual(rig.now.ros_ns, rig.now, rig.names, residual)
    np.testing.assert_allclose(rig.step().executed.values[0], 0.011)
    rig.filter.engage(Source.RESET, True, rig.now)
    answer = rig.filter.residual(rig.now.ros_ns, rig.now, rig.names, residual)
    refused(answer, Reason.OUTRANKED)
    with pytest.raises(InputError, match="engage another source"):
        rig.filter.engage(Source.POLICY, True, rig.now)


# --- watchdogs


def test_a_fault_follows_the_stored_stop_to_its_end(new: Any) -> None:
    rig = new().arm()
    rig.run(3)
    while (output := rig.step(hear=False)).state is State.ARMED:
        rig.command()
        plan = output.plan
    assert output.state is State.STOPPING and Reason.STALE_STATE in output.reasons
    followed = [output]
    while followed[-1].plan is not None:
        followed.append(rig.step(hear=False))
    rows = [o.q_command for o in followed[:-1]]
    np.testing.assert_array_equal(rows, plan.q[1 : 1 + len(rows)])
    assert len(rows) == len(plan.q) - 1
    assert followed[-1].state is State.FAULTED and followed[-1].cause == Reason.STALE_STATE
    assert "restart" in rig.target.calls and "restart_reference" in rig.motion.calls
    assert sum("stopping, faulted" in m for m in rig.said()) == 1


def test_missed_ticks_are_skipped_and_too_many_are_a_fault(new: Any) -> None:
    rig = new().arm()
    rig.run(2)
    output = rig.step(skipped=9)
    assert output.state is State.ARMED and ("skip", 9) in rig.motion.calls
    assert output.messages == ("9 filter ticks were missed, the stop was followed meanwhile",)
    output = rig.step(skipped=10)
    assert output.cause == Reason.TICK_OVERRUN
    assert rig.until_rest().state is State.FAULTED


@pytest.mark.parametrize("ros_ms", [90.0, -60.0])
def test_a_clock_that_jumps_is_a_fault(new: Any, ros_ms: float) -> None:
    rig = new().arm()
    rig.run(2)
    rig.now = rig.now._replace(ros_ns=rig.now.ros_ns + round(ros_ms * 1e6))
    assert Reason.CLOCK_JUMP in rig.step().cause
    rig = new()
    rig.step(2)
    rig.now = rig.now._replace(ros_ns=rig.now.ros_ns + 10**12)
    rig.step(4)  # while disarmed nobody minds
    assert rig.arm().step().state is State.ARMED


# --- disarming


def test_disarming_a_moving_robot_stops_it_first(new: Any) -> None:
    rig = new().arm()
    rig.run(3)
    plan = rig.outputs[-1].plan
    rig.filter.disarm()
    assert rig.filter.state is State.STOPPING
    output = rig.step()
    np.testing.assert_array_equal(output.q_command, plan.q[1])
    assert output.cause == Reason.DISARMED
    assert rig.until_rest().state is State.DISARMED and rig.outputs[-1].reference is None
    np.testing.assert_array_equal(rig.q, plan.q[-1])
    rig.arm().step()
    rig.filter.disarm()
    assert rig.filter.state is State.DISARMED and rig.filter.reference_names == ()


# --- failures of the parts


@pytest.mark.parametrize(
    ("part", "where", "said"),
    [
        ("target", "accept", "ZeroDivisionError in the filter: accept of the target"),
        ("target", "advance", "ZeroDivisionError in the filter: advance of the target"),
        ("target", "nan", "ArithmeticError in the filter: the accepted action is not finite"),
        ("target", "nan reference", "ArithmeticError in the filter: the target's reference"),
        ("motion", "follow", "ValueError in the filter: no step"),
    ],
)
def test_whatever_fails_the_stored_stop_is_followed(
    new: Any, part: str, where: str, said: str
) -> None:
    rig = new().arm()
    rig.run(3)
    plan = rig.outputs[-1].plan
    getattr(rig, part).fail.add(where)
    rig.command()
    output = rig.step()
    np.testing.assert_array_equal(output.q_command, plan.q[1])
    assert output.state is State.STOPPING and output.executed is None
    assert output.cause == Reason.UNVERIFIED_STOP
    assert output.messages[0].startswith(said) and "\n" not in output.messages[0]
    assert rig.until_rest().state is State.FAULTED
    np.testing.assert_array_equal(rig.q, plan.q[-1])


def test_a_pose_or_a_restart_that_fails_does_not_keep_the_plan_back(new: Any) -> None:
    rig = new().arm()
    rig.run(3)
    rig.target.fail |= {"pose", "restart"}
    rig.command()
    output = rig.step()
    assert output.plan is not None and output.state is State.STOPPING
    assert rig.until_rest().state is State.FAULTED


def test_a_stop_that_fails_leaves_the_controller_its_last_plan(new: Any) -> None:
    rig = new().arm()
    rig.run(3)
    rig.motion.fail.add("stop")
    rig.filter.e_stop(True, rig.now)
    output = rig.step()
    assert output.plan is None and output.cause == Reason.E_STOP | Reason.UNVERIFIED_STOP


# --- new limits


def test_limits_tighten_live_and_loosen_only_disarmed(new: Any) -> None:
    rig = new().arm()
    rig.run(2)
    tighter = rig.limits.model_copy(update={"velocity_scale": 0.3, "command_timeout_s": 0.06})
    rig.filter.tighten(tighter)
    assert ("tighten", 0.3) in rig.target.calls and ("tighten", 0.3) in rig.motion.calls
    assert rig.filter.limits is tighter
    rig.run(1)
    assert rig.step(2).state is State.HOLDING  # 70 ms after the last command
    with pytest.raises(InputError, match=r"0\.6 is less strict than 0\.3"):
        rig.filter.tighten(rig.limits)
    with pytest.raises(InputError, match="planes: cannot change while the filter is armed"):
        rig.filter.tighten(tighter.model_copy(update={"planes": []}))
    with pytest.raises(InputError, match=r"command_timeout_s: 0\.01 is less than one period"):
        rig.filter.tighten(tighter.model_copy(update={"command_timeout_s": 0.01}))
    assert rig.filter.limits is tighter
    rig.filter.disarm()
    rig.until_rest()
    rig.filter.tighten(rig.limits.model_copy(update={"planes": []}))
    assert rig.arm().run(1).state is State.ARMED
