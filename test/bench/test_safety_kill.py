"""The judge of the killing bench on trials made up here, each wrong in one way."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety_kill.bounds import Bounds, Fault
from vla_rl_nodes.bench.safety_kill.judge import Judge, Times, Verdict
from vla_rl_nodes.bench.safety_kill.record import Said, Trace
from vla_rl_nodes.bench.safety_kill.run import KillOptions, schedule, summary
from vla_rl_nodes.bench.safety_kill.settling import settling_s
from vla_rl_nodes.bench.safety_kill.trial import Plan, Trial, draw
from vla_rl_nodes.bench.safety_kill.victims import VICTIMS
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.demo.curve import Knots, Trajectory, position_at
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.limits import load_limits
from vla_rl_nodes.safety.stop import Stopping
from vla_rl_nodes.sim.scene import load_scene
from vla_rl_nodes.sim.world import World

Array = NDArray[np.float64]

NAME = "franka_pick"
CONTRACT, LIMITS, SCENE = load_contract(NAME), load_limits(NAME), load_scene(NAME)
FR3 = load_robot("fr3")
DT_NS, MS = 10_000_000, 1_000_000
ASKED, BEGINS = 1_000 * MS, 1_500 * MS
SETTLING_S = 0.1
STOPPING = Stopping(
    FR3.acceleration_max * LIMITS.acceleration_scale, FR3.jerk_max * LIMITS.jerk_scale, 0.01
)


@cache
def start() -> Array:
    return World(FR3, SCENE, 3).joint_positions


@cache
def judge() -> Judge:
    return Judge(CONTRACT, LIMITS, Bounds(FR3, LIMITS, SCENE), SETTLING_S)


def there_and_stop(speed: float, begins_ns: int = BEGINS) -> Trajectory:
    """The last joint turns: up to a speed and the stop from it."""
    v = np.zeros(7)
    v[6] = speed
    stop = STOPPING.plan(start(), v, np.zeros(7))
    there = stop.q[-1] - stop.q[::-1]
    knots = Knots(
        begins_ns + DT_NS * np.arange(2 * len(stop.q) - 1, dtype=np.int64),
        start() + np.concatenate([there, there[-1] + stop.q[1:] - start()]),
        np.concatenate([stop.v[::-1], stop.v[1:]]),
        np.concatenate([-stop.a[::-1], stop.a[1:]]),
    )
    return Trajectory(begins_ns, knots)


def said(at_ns: int, message: str, **values: str) -> Said:
    return Said(at_ns, message, values)


def trial(speed: float = 1.0) -> tuple[Trace, Times]:
    """The policy is killed while the arm is fastest; the arm follows its command at once."""
    command = there_and_stop(speed)
    middle = int(command.knots.times_ns[len(command.knots.q) // 2])
    times = Times(ASKED, middle, middle + 1_500 * MS, middle + 2_100 * MS)
    stamps = np.arange(ASKED, times.end + 1, 4 * MS, dtype=np.int64)
    q = np.array([position_at(command.knots, int(at)) for at in stamps])
    v = np.gradient(q, 0.004, axis=0)
    return (
        Trace(
            joints_ns=stamps, q=q, v=v, fingers_ns=stamps[::5],
            fingers=np.full((len(stamps[::5]), 2), 0.04), commands=[command], unusable=[],
            filter=[
                said(ASKED - 40 * MS, "disarmed"),
                said(BEGINS, "armed", source="policy"),
                said(middle + 121 * MS, "holding", reasons="stale_command", source="policy"),
                said(middle + 300 * MS, "disarmed"),
                said(times.restarted + 100 * MS, "disarmed"),
            ],
            policy=[],
            episode=[said(BEGINS, "running"), said(
                middle + 260 * MS, "aborted", reason="the policy was silent for 0.26 s")],
            held_ns={},
        ),
        times,
    )  # fmt: skip


def verdict(trace: Trace, times: Times, victim: str = "policy") -> Verdict:
    return judge().judge(victim, trace, times)


def kinds(trace: Trace, times: Times, victim: str = "policy") -> set[str]:
    return {fault.kind for fault in verdict(trace, times, victim).faults}


def test_a_stop_along_the_command_is_right() -> None:
    trace, times = trial()
    found = verdict(trace, times)
    assert found.faults == []
    end_s = (trace.commands[0].knots.times_ns[-1] - times.killed) / 1e9
    assert found.rest_s is not None and end_s - 0.05 < found.rest_s <= end_s
    assert found.speed == pytest.approx(1.0, rel=0.05)
    assert found.bound_s == pytest.approx(LIMITS.stop_after_s + 0.03 + SETTLING_S + 0.008)


def test_the_filters_death_leaves_only_the_tail_of_its_last_message() -> None:
    trace, times = trial()
    silent = said(times.killed + 260 * MS, "aborted", reason="the safety filter was silent")
    trace = trace._replace(episode=[silent])
    found = verdict(trace, times, "safety_filter")
    tail_s = (trace.commands[0].knots.times_ns[-1] - times.killed) / 1e9
    assert found.faults == []
    assert found.bound_s == pytest.approx(tail_s + 0.01 + SETTLING_S + 0.008)


def test_an_arm_that_goes_on_is_found() -> None:
    trace, times = trial()
    late = (trace.joints_ns - times.killed) / 1e9 < 0.6
    slow = np.where(late[:, None], 0.03, 0.0) * (trace.joints_ns > times.killed)[:, None]
    assert kinds(trace._replace(v=trace.v + slow), times) == {"rest"}
    for_ever = trace.v + 0.03
    assert kinds(trace._replace(v=for_ever), times) == {"rest"}


def test_whatever_moves_after_the_rest_is_found() -> None:
    trace, times = trial()
    at = times.killed + 1_600 * MS
    again = there_and_stop(0.2, at)
    shift = trace.commands[0].knots.q[-1] - again.knots.q[0]
    again = again._replace(knots=again.knots._replace(q=again.knots.q + shift))
    assert "moved" in kinds(trace._replace(commands=[*trace.commands, again]), times)
    jerked = trace.v.copy()
    jerked[-10, 2] = 0.03
    assert kinds(trace._replace(v=jerked), times) == {"moved"}
    drifts = trace.q.copy()
    drifts[-10:, 2] += 0.002
    assert kinds(trace._replace(q=drifts), times) == {"moved"}


def test_a_command_that_stays_where_the_arm_rests_is_no_motion() -> None:
    trace, times = trial()
    last, at = trace.commands[0].knots, times.killed + 1_600 * MS
    none = np.zeros((1, 7))
    stay = Trajectory(at, Knots(np.array([at], dtype=np.int64), last.q[-1:], none, none))
    assert kinds(trace._replace(commands=[*trace.commands, stay]), times) == set()


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"episode": []}, "cause"),
        ({"unusable": [BEGINS]}, "message"),
        ({"filter": []}, "cause"),
    ],
)
def test_what_is_not_said_is_found(change: dict[str, list[object]], kind: str) -> None:
    trace, times = trial()
    assert kind in kinds(trace._replace(**change), times)  # type: ignore[arg-type]


def test_the_others_causes_are_told_apart() -> None:
    trace, times = trial()
    stopped = said(
        times.killed + 420 * MS, "aborted", reason="safety filter stopped: stale_command"
    )
    trace = trace._replace(episode=[stopped])
    blind = trace._replace(policy=[said(times.killed + 150 * MS, "running", blind="state")])
    assert kinds(blind, times, "proprio_ingest") == set()
    assert kinds(blind, times, "camera_ingest") == {"cause"}
    assert kinds(trace, times, "intervention") == {"cause"}  # the policy was in command
    whose = [s._replace(values=s.values | {"source": "intervention"}) for s in trace.filter]
    assert kinds(trace._replace(filter=whose), times, "intervention") == set()


def test_a_filter_that_arms_by_itself_is_found() -> None:
    trace, times = trial()
    for at in (ASKED - 20 * MS, times.restarted + 300 * MS):
        again = trace._replace(filter=[*trace.filter, said(at, "armed")])
        assert kinds(again, times) == {"armed"}
    silent = [s for s in trace.filter if s.publish_ns < times.restarted]
    assert kinds(trace._replace(filter=silent), times) == {"armed"}


def test_limits_of_the_commanded_curve() -> None:
    trace, times = trial()
    (command,) = trace.commands

    def with_knots(**columns: Array) -> set[str]:
        changed = command._replace(knots=command.knots._replace(**columns))
        return kinds(trace._replace(commands=[changed]), times)

    fast = command.knots.v.copy()
    fast[len(fast) // 2, 6] = 3.5
    assert "commanded velocity" in with_knots(v=fast)
    hard = command.knots.a.copy()
    hard[3, 0] = 10.5
    assert {"commanded acceleration", "commanded jerk"} <= with_knots(a=hard)
    turned = command.knots.q + np.array([0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0])
    assert {"commanded position", "commanded workspace"} <= with_knots(q=turned)


def test_limits_of_the_measured_motion() -> None:
    trace, times = trial()
    down = trace.q.copy()
    near = int(np.argmin(np.abs(trace.joints_ns - times.killed)))
    down[near] += [0.0, 0.8, 0.0, 0.0, 0.0, 0.0, 0.0]  # the hand is in the table
    found = verdict(trace._replace(q=down), times)
    assert {"table", "measured workspace"} <= {fault.kind for fault in found.faults}
    assert found.room < -0.01
    fast = trace.v.copy()
    fast[40, 1] = 2.7
    assert kinds(trace._replace(v=fast), times) == {"measured velocity"}
    assert verdict(trace, times).room > 0.0


def test_a_leap_from_one_message_to_the_next_is_found() -> None:
    trace, times = trial()
    (command,) = trace.commands
    rest = command.knots.part(20, len(command.knots.q))
    leapt = Trajectory(int(rest.times_ns[0]), rest._replace(q=rest.q + 1e-4))
    assert "seam" in kinds(trace._replace(commands=[command, leapt]), times)
    same = Trajectory(int(rest.times_ns[0]), rest)
    assert kinds(trace._replace(commands=[command, same]), times) == set()


def test_what_was_not_measured_is_found() -> None:
    trace, times = trial()
    keep = np.abs(trace.joints_ns - times.killed - 900 * MS) > 30 * MS
    holes = trace._replace(joints_ns=trace.joints_ns[keep], q=trace.q[keep], v=trace.v[keep])
    assert kinds(holes, times) == {"unmeasured"}


def of(number: int, *faults: str, stalls: tuple[float, ...] = (), **held: float) -> Trial:
    plan = Plan(number, VICTIMS[number % len(VICTIMS)], number, 0.5)
    rest = 0.1 * (1 + number)
    found = [Fault(kind, "so much") for kind in faults]
    return Trial(
        plan, Verdict(rest, 1.0, {"all": 1.0}, 0.5, 0.01, "", found), list(stalls), held, []
    )


def test_a_stall_excuses_lateness_and_never_a_limit() -> None:
    assert of(0, "rest", "seam", stalls=(12.0,)).spoilt == "machine"
    assert of(0, "unmeasured", "cause", sim_robot=333.0).spoilt == "middleware"
    assert of(0, "rest").spoilt == ""
    for kind in ("commanded velocity", "measured workspace", "table", "moved", "armed", "graph"):
        assert of(0, "rest", kind, stalls=(12.0,), sim_robot=333.0).spoilt == ""
    assert of(0, stalls=(12.0,)).spoilt == ""  # nothing to excuse


def test_nothing_is_dropped_from_the_figures() -> None:
    trials = [of(0), of(1, "moved"), of(2, "rest", stalls=(20.0,)), of(5), of(6)]
    result = summary(trials)
    assert (result["trials"], result["judged"], result["failed"]) == (5, 4, 1)
    assert result["spoilt"] == {"machine": 1}
    assert [row["number"] for row in result["failures"]] == [1, 2]
    assert result["violations"] == {"moved": 1}
    first = result["victims"][VICTIMS[0]]
    assert first["trials"] == 2 and first["rest_s_worst"] == pytest.approx(0.6)
    assert first["rest_s_median"] == pytest.approx(0.35)
    assert first["margin_s_smallest"] == pytest.approx(0.4)
    assert len(result["all"]) == 5


@given(st.integers(0, 2**31), st.integers(0, 300))
def test_every_victim_dies_once_in_each_round(seed: int, number: int) -> None:
    options = KillOptions(NAME, seed, 15)
    plans = schedule(options)
    for first in range(0, 15, 5):
        assert Counter(p.victim for p in plans[first : first + 5]) == Counter(VICTIMS)
    assert schedule(KillOptions(NAME, seed, 1, only=7)) == [plans[7]]
    delay = draw(seed, number, "policy").delay_s
    assert 0.0 <= delay <= 1.5


def test_the_servos_settling_is_measured_to_the_speed_asked_for() -> None:
    slow, fast = (settling_s(FR3, SCENE, LIMITS, 0.01, v, 0, 5) for v in (0.02, 0.05))
    assert 0.0 < fast < slow < 0.3
