"""Commands in an open loop: every kind of action on every robot, and what trips them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bag_messages import vector

from vla_rl_nodes.bench.safety.subjects import ROBOTS, Subject, subjects
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.run_bag_filter import Filtered, run_filter
from vla_rl_nodes.replay.run_bag_record import REFERENCE, Heard, Record
from vla_rl_nodes.replay.run_bag_timing import Timing
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.limits import load_limits
from vla_rl_nodes.safety.reasons import Reason

from .episode_bag import MS, START_NS

TICKS = 30
FRANKA = load_contract("franka_pick")
FR3 = load_robot("fr3")
LIMITS = load_limits("franka_pick")


def record(joints: np.ndarray, axes: int, period_ns: int, heard: list[Heard]) -> Record:
    stamps = [START_NS + k * period_ns for k in range(TICKS)]
    nothing = np.full((TICKS, axes), np.nan, dtype=np.float32)
    return Record(
        "bag", "ep", stamps, ["v"] * TICKS, [], [], 0, Timing({}, 0, 0), nothing, nothing,
        np.zeros(TICKS, np.uint32), heard, joints, 0.04, START_NS + 3 * MS,
    )  # fmt: skip


def franka(actions: np.ndarray, heard: list[Heard] | None = None) -> Filtered:
    kept = record(FR3.home, 5, FRANKA.period_ns, heard or [])
    return run_filter(kept, actions, FRANKA, FR3, LIMITS)


def still() -> np.ndarray:
    return np.tile([0.0, 0.0, 0.0, 0.0, 0.04], (TICKS, 1))


@pytest.mark.parametrize("name", ROBOTS)
def test_every_kind_of_action_of_every_robot(name: str, tmp_path: Path) -> None:
    seen: dict[str, Subject] = {}
    for subject in subjects(name, tmp_path):
        action = subject.contract.action
        seen.setdefault(f"{action.kind} {action.frame}", subject)
    assert seen
    for subject in seen.values():
        action, robot = subject.contract.action, subject.robot
        small = 0.01 * action.maximum
        if action.kind == "joint_position":
            small = np.concatenate([robot.home, small[len(robot.home) :]])
        if action.has_gripper:
            small[-1] = 0.04
        kept = record(robot.home, len(action.names), subject.contract.period_ns, [])
        done = run_filter(
            kept, np.tile(small, (TICKS, 1)), subject.contract, robot, subject.limits
        )
        assert done.stop is None, done.stop
        assert np.isfinite(done.executed[:-1]).all()


def test_what_is_allowed_is_executed_as_it_is() -> None:
    actions = still()
    actions[:, 1] = 0.002
    done = franka(actions)
    assert done.executed[:-1] == pytest.approx(actions[:-1])
    assert not done.reasons.any() and done.stop is None
    assert done.reference_names[:3] == ("tool_x", "tool_y", "tool_z")


def test_the_reference_is_the_sum_of_what_was_accepted() -> None:
    actions = still()
    actions[:, 1] = 0.002
    told = [
        Heard(REFERENCE, at + 20 * MS, vector(
            at + 10 * MS, ["tool_x", "tool_y", "tool_z", "tool_yaw", "gripper_width"],
            [0.0, 1.0, 0.0, 0.0, 0.0],
        ))
        for at in (START_NS, START_NS + 20 * FRANKA.period_ns)
    ]  # fmt: skip
    done = franka(actions, told)
    found = np.flatnonzero(np.isfinite(done.drift).all(axis=1))
    assert found.tolist() == [0, 20]
    assert done.drift[20, 1] - done.drift[0, 1] == pytest.approx(20 * 0.002, abs=1e-9)


def test_missing_commands_hold_and_then_stop_it() -> None:
    actions = still()
    actions[10:] = np.nan
    done = franka(actions)
    assert done.stop is not None and done.stop.reasons == Reason.STALE_COMMAND
    assert 10 <= done.stop.row <= 17
    assert np.isnan(done.executed[10:]).all()


def test_an_action_that_is_too_great_is_bounded_at_its_own_tick() -> None:
    actions = still()
    actions[12, 0] = 1.0
    done = franka(actions)
    assert done.reasons[12] & Reason.ACTION_BOUND
    assert not any(done.reasons[k] & Reason.ACTION_BOUND for k in range(TICKS) if k != 12)


def test_the_watchdogs_of_the_robot_itself_never_trip() -> None:
    strict = LIMITS.model_copy(update={"e_stop_timeout_s": 0.05, "deadman_timeout_s": 0.05})
    kept = record(FR3.home, 5, FRANKA.period_ns, [])
    done = run_filter(kept, still(), FRANKA, FR3, strict)
    assert done.stop is None and not done.reasons.any()


def test_a_person_who_was_in_command_before_the_first_tick_still_is() -> None:
    switch = type("Bool", (), {"data": True})()
    person = [
        Heard("intervention/command", at + MS, vector(at, list(FRANKA.action.names), [
            0.0, 0.003, 0.0, 0.0, 0.04,
        ]))
        for at in (START_NS + k * FRANKA.period_ns for k in range(TICKS))
    ]  # fmt: skip
    done = franka(still(), [Heard("intervention/active", START_NS - 10**9, switch), *person])
    assert done.executed[2:-1, 1] == pytest.approx(0.003)


def test_an_arm_out_of_its_range_is_one_line() -> None:
    joints = FR3.home.copy()
    joints[3] = 0.5
    kept = record(joints, 5, FRANKA.period_ns, [])
    with pytest.raises(InputError, match="cannot be armed where its arm began"):
        run_filter(kept, still(), FRANKA, FR3, LIMITS)


def test_the_same_record_gives_the_same_bytes() -> None:
    rng = np.random.default_rng(1)
    actions = still() + rng.normal(scale=0.004, size=(TICKS, 5))
    one, other = franka(actions), franka(actions)
    assert one.executed.tobytes() == other.executed.tobytes()
    assert one.reasons.tobytes() == other.reasons.tobytes()
    kept = replace(record(FR3.home, 5, FRANKA.period_ns, []), filter_phase_ns=START_NS + 13 * MS)
    third = run_filter(kept, actions, FRANKA, FR3, LIMITS)
    # One filter period more or less in the phase is the same phase.
    assert third.executed.tobytes() == one.executed.tobytes()
