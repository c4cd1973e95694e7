"""While somebody else commands, nothing is held for or against a policy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from test_live import NEVER, NEW, OLD, PERIOD_NS, SHAPE, SWAP, Fault, Robot, Wave, fails, on_trial

from vla_rl_nodes.chunking.strategies.strategy import Plan

LONG = 60


def plain(number: int, plan: Plan) -> Plan:
    return plan


def later(fault: Fault) -> Fault:
    """Good in the shadow and for three chunks of its trial."""
    return lambda number, plan: plan if number < SWAP.shadow_chunks + 3 else fault(number, plan)


@pytest.mark.parametrize(
    ("fault", "delay"),
    [
        (later(lambda number, plan: fails()), lambda number: 1),
        (later(lambda number, plan: Plan(np.full(SHAPE, np.nan))), lambda number: 1),
        (plain, lambda number: 1 if number < SWAP.shadow_chunks + 3 else 15),
        (plain, lambda number: 1 if number < SWAP.shadow_chunks + 3 else NEVER),
    ],
)
def test_a_trial_is_judged_only_while_the_policy_is_followed(
    fault: Fault, delay: Callable[[int], int]
) -> None:
    robot = on_trial(Wave(0.012, fault=fault, delay=delay))
    robot.ticks(2)
    robot.turn(False)
    robot.ticks(LONG)
    assert robot.live.version == NEW
    assert "rolled back" not in [what for what, _, _ in robot.told()]


def test_a_trial_goes_on_being_judged_after_the_hand_back() -> None:
    robot = on_trial(Wave(0.012, fault=later(lambda number, plan: fails())))
    robot.turn(False)
    robot.ticks(LONG)
    assert robot.live.version == NEW
    robot.turn(True)
    acted = robot.ticks(LONG)
    what, _, reason = robot.told()[-1]
    assert what == "rolled back" and "no usable chunk" in reason
    assert acted[-1].values["chunk_version"] == OLD


def test_holding_for_the_first_chunk_after_a_hand_back_is_not_running_out_of_actions() -> None:
    robot = on_trial(Wave(0.012, delay=lambda number: 3))
    for _ in range(6):
        robot.turn(True)
        robot.ticks(20)
        robot.turn(False)
        robot.ticks(7)
    robot.turn(True)
    acted = robot.ticks(20)
    assert robot.live.version == NEW
    assert int(acted[-1].values["reprimed_ticks"]) >= 6 * 3
    assert {a.values["starved"] for a in acted} == {"0"}


def test_an_episode_that_a_person_does_alone_proves_nothing() -> None:
    robot = on_trial(Wave(0.012))
    for _ in range(2 * SWAP.trial_episodes):
        robot.turn(False)
        robot.ticks(40)
        robot.next_episode()
    assert "confirmed" not in [what for what, _, _ in robot.told()]
    robot.turn(True)
    for _ in range(SWAP.trial_episodes):
        robot.ticks(40)
        robot.next_episode()
    assert robot.told()[-1][0] == "confirmed"


def test_the_shadow_gets_no_jobs_of_proposals() -> None:
    robot = Robot()
    robot.ticks(20)
    robot.turn(False)
    new = Wave(0.015)
    robot.offer(new)
    robot.ticks(LONG)
    assert not new.jobs
    robot.turn(True)
    robot.ticks(2 * LONG)
    assert len(new.jobs) == SWAP.shadow_chunks
    assert robot.told()[-1][0] == "ready"


def test_the_shadow_answers_a_job_from_before_a_take_over_in_its_own_time() -> None:
    """It hangs in the shadow: the ticks of a person do not count as its."""
    robot = Robot()
    robot.offer(Wave(0.012, delay=lambda number: NEVER))
    robot.ticks(10)
    robot.turn(False)
    robot.ticks(2 * LONG)
    assert robot.told()[-1][0] == "shadowing"
    robot.turn(True)
    robot.ticks(LONG)
    assert "gave no answer" in robot.told()[-1][2]


def test_what_the_filter_limits_of_a_proposal_is_nobodys() -> None:
    robot = on_trial(Wave(0.012))
    robot.turn(False)
    for _ in range(60):
        stamp = robot.now * PERIOD_NS
        robot.tick()
        robot.live.filtered(stamp, limited=True)
    robot.turn(True)
    robot.ticks(10)
    assert robot.live.version == NEW


def test_a_rolled_back_policy_hands_over_to_the_old_one_while_a_person_acts() -> None:
    robot = on_trial(Wave(0.012))
    robot.ticks(10)
    robot.turn(False)
    robot.ticks(10)
    robot.live.filter_stopped("ik_failed")
    proposed = robot.ticks(10)
    assert all(a.action is not None for a in proposed)
    assert proposed[-1].values["chunk_version"] == OLD
    robot.turn(True)
    acted = robot.ticks(10)
    assert [a.action is None for a in acted].index(False) <= 2
    assert acted[-1].values["chunk_version"] == OLD
