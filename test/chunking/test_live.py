"""Swaps of a running policy: nothing of a shadow is executed, and a way back never stops."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.chunking.delayed import DelayedWorker
from vla_rl_nodes.chunking.following import Following
from vla_rl_nodes.chunking.live import LivePolicy
from vla_rl_nodes.chunking.queue import Merge
from vla_rl_nodes.chunking.runtime import Acted
from vla_rl_nodes.chunking.settings import ChunkingSettings
from vla_rl_nodes.chunking.strategies.strategy import Job, Plan
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.swap import SwapSettings

CONTRACT = load_contract("plane")
SHAPE = (CONTRACT.action.chunk_length, len(CONTRACT.action.names))
PERIOD_NS = CONTRACT.period_ns
SETTINGS = ChunkingSettings.model_validate(
    {"chunking": 1, "strategy": {"name": "prefix"}, "replan_every": 4, "answer_timeout_s": 1.0}
)
SWAP = SwapSettings(shadow_chunks=5, trial_episodes=2)
OLD, NEW = "old", "new"
NEVER = 10_000

Fault = Callable[[int, Plan], Plan]


class Wave:
    """Continues the prefix with a wave of its own height; what it does wrong is given.

    ``fault`` and ``delay`` are called with the number of its plan and tick count respectively.
    """

    name = "prefix"
    merge = Merge.SPLICE
    bounded_delay = True

    def __init__(
        self,
        height: float,
        delay: Callable[[int], int] = lambda number: 1,
        fault: Fault = lambda number, plan: plan,
    ) -> None:
        self.height, self.delay, self.fault = height, delay, fault
        self.jobs: list[Job] = []

    def plan(self, job: Job) -> Plan:
        self.jobs.append(job)
        row = job.request.first_index + np.arange(SHAPE[0])
        chunk = self.height * np.stack([np.sin(row / 5.0), np.cos(row / 5.0)], axis=1)
        chunk += 1e-4 * float(job.observation["state"][0])
        chunk[: job.request.delay] = job.request.prefix
        return self.fault(len(self.jobs) - 1, Plan(chunk))


class Robot:
    """A live policy with its ticks; every tick's state differs."""

    def __init__(self) -> None:
        self.workers: list[DelayedWorker[Job, Plan]] = []
        self.stopped: list[int] = []
        self.live = LivePolicy(
            CONTRACT, SETTINGS, OLD, Wave(0.01), self._worker, SWAP, seed=5
        )  # fmt: skip
        self.now = 0
        self.following = Following()
        self.live.start_episode()

    def turn(self, followed: bool) -> None:
        """The filter says who is in command."""
        self.following = self.following.turned(followed)

    def _worker(self, strategy: Any) -> DelayedWorker[Job, Plan]:
        worker: DelayedWorker[Job, Plan] = DelayedWorker(strategy.plan, strategy.delay, 50.0)
        number = len(self.workers)
        stop = worker.stop

        def stopped(wait_s: float) -> None:
            self.stopped.append(number)
            stop(wait_s)

        worker.stop = stopped  # type: ignore[method-assign]
        self.workers.append(worker)
        return worker

    def tick(self) -> Acted:
        for worker in self.workers:
            worker.begin_tick()
        state = np.random.default_rng(self.now).uniform(-1.0, 1.0, 18).astype(np.float32)
        acted = self.live.tick(self.now * PERIOD_NS, {"state": state}, self.following)
        self.now += 1
        return acted

    def ticks(self, count: int) -> list[Acted]:
        return [self.tick() for _ in range(count)]

    def offer(self, strategy: Wave, version: str = NEW) -> None:
        assert self.live.offer(version, "folder")
        self.live.opened(version, strategy)  # type: ignore[arg-type]

    def next_episode(self, finished: bool = True) -> None:
        self.live.end_episode(finished)
        self.live.start_episode()

    def told(self) -> list[tuple[str, str, str]]:
        return [(news.what, news.version, news.reason) for news in self.live.news()]


def on_trial(strategy: Wave) -> Robot:
    """A robot whose new policy has just taken over."""
    robot = Robot()
    robot.ticks(40)
    robot.offer(strategy)
    robot.ticks(60)
    robot.next_episode()
    assert robot.live.version == NEW
    return robot


def actions(acted: list[Acted]) -> np.ndarray[Any, Any]:
    return np.array([a.action for a in acted if a.action is not None])


def test_a_good_policy_takes_over_at_the_next_episode_and_is_confirmed() -> None:
    robot = Robot()
    robot.offer(Wave(0.012))
    first = robot.ticks(60)
    assert {a.values["chunk_version"] for a in first if a.action is not None} == {OLD}
    for _ in range(SWAP.trial_episodes):
        robot.next_episode()
        acted = robot.ticks(60)
        assert {a.values["chunk_version"] for a in acted if a.action is not None} == {NEW}
    robot.live.end_episode(finished=True)
    assert [what for what, _, _ in robot.told()] == [
        "serving", "loading", "shadowing", "ready", "trial", "confirmed",
    ]  # fmt: skip
    assert robot.stopped == [0]


def test_the_shadow_plans_the_jobs_of_the_serving_policy_and_moves_nothing() -> None:
    plain, shadowed = Robot(), Robot()
    new = Wave(0.015)
    shadowed.offer(new)
    without, beside = plain.ticks(60), shadowed.ticks(60)
    assert np.array_equal(actions(without), actions(beside))
    asked = [a.asked for a in beside if a.asked is not None]
    assert len(new.jobs) == SWAP.shadow_chunks
    assert all(any(job is other for other in asked) for job in new.jobs)


def test_the_figures_of_the_shadow_are_the_differences_and_times() -> None:
    robot = Robot()
    robot.offer(Wave(0.015, delay=lambda number: 2))
    robot.ticks(80)
    ready = next(news for news in robot.live.news() if news.what == "ready")
    # 0.015 against 0.01 of a bound's width of 0.04, at the waves' tops.
    assert 0.1 < float(ready.state["shadow_difference_max"]) < 0.13
    assert float(ready.state["shadow_ms_p50"]) == 100.0


def test_a_new_policy_knows_its_delay_from_the_shadow() -> None:
    new = Wave(0.012, delay=lambda number: 2)
    robot = on_trial(new)
    robot.ticks(20)
    served = [job.request.delay for job in new.jobs[SWAP.shadow_chunks :]]
    assert served[0] == 0  # from rest
    assert set(served[1:]) == {3}  # as long as in the shadow, where a tick's rest counts too


def fails() -> Plan:
    raise InputError("policy.onnx", "fails when it is run", "export it again")


def broken(kind: str) -> Fault:
    """Good in the shadow and for three chunks of its trial."""

    def fault(number: int, plan: Plan) -> Plan:
        if number < SWAP.shadow_chunks + 3:
            return plan
        match kind:
            case "error":
                return fails()
            case "not finite":
                return Plan(np.full(SHAPE, np.nan))
            case _:
                return Plan(plan.chunk[:-1])

    return fault


@pytest.mark.parametrize("kind", ["error", "not finite", "short"])
def test_an_error_on_trial_is_rolled_back_in_the_middle_without_a_stop(kind: str) -> None:
    robot = on_trial(Wave(0.012, fault=broken(kind)))
    acted = robot.ticks(60)
    versions = [a.values["chunk_version"] for a in acted if a.action is not None]
    assert versions == sorted(versions)  # all of the new one, then all of the old one
    assert set(versions) == {NEW, OLD}
    assert all(a.action is not None for a in acted[1:])
    assert sum(int(a.values["starved"]) for a in acted) == 0
    # The old policy continues what the new one had committed.
    back = next(a for a in acted if a.chunk is not None and a.values["chunk_version"] == OLD)
    assert int(back.values["prefix_length"]) >= 1
    assert float(back.values["prefix_error"]) == 0.0
    what, version, reason = robot.told()[-1]
    assert (what, version) == ("rolled back", NEW)
    assert "no usable chunk" in reason and "\n" not in reason
    with pytest.raises(InputError, match="was rolled back"):
        robot.live.offer(NEW, "folder")


def test_a_policy_that_hangs_on_trial_is_replaced_before_the_actions_run_out() -> None:
    hangs = SWAP.shadow_chunks + 3
    robot = on_trial(Wave(0.012, delay=lambda number: NEVER if number >= hangs else 1))
    acted = robot.ticks(60)
    assert all(a.action is not None for a in acted[1:])
    assert robot.told()[-1][::2] == ("rolled back", "it was about to run out of actions")
    assert acted[-1].values["chunk_version"] == OLD


def test_a_policy_that_hangs_from_rest_is_given_up_after_the_answer_timeout() -> None:
    hangs = SWAP.shadow_chunks
    robot = on_trial(Wave(0.012, delay=lambda number: NEVER if number >= hangs else 1))
    timeout = round(SETTINGS.answer_timeout_s * CONTRACT.policy_hz)
    acted = robot.ticks(timeout + 4)
    assert all(a.action is None for a in acted[:timeout])
    assert acted[-1].action is not None and acted[-1].values["chunk_version"] == OLD
    assert robot.told()[-1][::2] == ("rolled back", "it did not answer in time")


def test_a_chunk_later_than_trained_for_ends_the_trial_before_the_actions_run_out() -> None:
    slow = SWAP.shadow_chunks + 3
    robot = on_trial(Wave(0.012, delay=lambda number: 7 if number >= slow else 1))
    acted = robot.ticks(80)
    assert all(a.action is not None for a in acted[1:])
    # With 5 actions left, fewer than the 6 that a chunk now takes, it is not asked any more.
    assert robot.told()[-1][::2] == ("rolled back", "it was about to run out of actions")


def test_a_policy_without_a_successor_that_hangs_is_told_once_and_used_again() -> None:
    robot = Robot()
    robot.workers.clear()
    delays = {5: 60}
    old = Wave(0.01, delay=lambda number: delays.get(number, 1))
    robot.live = LivePolicy(CONTRACT, SETTINGS, OLD, old, robot._worker, SWAP)
    robot.live.start_episode()
    acted = robot.ticks(120)
    told = [p for a in acted for p in a.problems]
    assert told == [
        "a chunk was given up: no answer came in time",
        "a chunk was refused: not the request in flight",
    ]
    assert acted[-1].values["lost_chunks"] == "1" and acted[-1].action is not None


def test_chunks_later_than_predicted_end_the_trial() -> None:
    slow = SWAP.shadow_chunks + 3
    robot = on_trial(Wave(0.012, delay=lambda n: 1 if n < slow else 3 + (n - slow) % 4))
    acted = robot.ticks(80)
    assert all(a.action is not None for a in acted[1:])
    what, _, reason = robot.told()[-1]
    assert what == "rolled back" and "3 of 6 chunks came late" in reason


def test_what_the_filter_limits_ends_the_trial() -> None:
    robot = on_trial(Wave(0.012))
    for _ in range(40):
        stamp = robot.now * PERIOD_NS
        if robot.tick().action is not None:
            robot.live.filtered(stamp, limited=True)
    acted = robot.ticks(10)
    assert acted[-1].values["chunk_version"] == OLD
    what, _, reason = robot.told()[-1]
    assert what == "rolled back" and "the safety filter limited 21 of 21 commands" in reason


def test_what_the_filter_says_of_an_unknown_tick_counts_for_nobody() -> None:
    robot = on_trial(Wave(0.012))
    robot.ticks(10)
    for stamp in range(1, 100):
        robot.live.filtered(stamp, limited=True)
    assert robot.live.version == NEW


def test_a_stop_of_the_filter_ends_the_trial() -> None:
    robot = on_trial(Wave(0.012))
    robot.ticks(10)
    robot.live.filter_stopped("ik_failed")
    robot.ticks(6)
    assert robot.live.version == OLD
    assert robot.told()[-1][2] == "the safety filter stopped the arm: ik_failed"


@pytest.mark.parametrize(
    ("fault", "delay", "said"),
    [
        (lambda number, plan: fails(), 1, "gave no chunk: policy.onnx: fails when it is run"),
        (lambda number, plan: Plan(plan.chunk * np.nan), 1, "not finite"),
        (lambda number, plan: Plan(plan.chunk * 3.0), 1, "left the action bounds"),
        (lambda number, plan: plan, 7, "took longer"),
        (lambda number, plan: plan, NEVER, "gave no answer for 1 s"),
    ],
)
def test_the_shadow_refuses_without_a_trace_in_the_motion(
    fault: Fault, delay: int, said: str
) -> None:
    plain, robot = Robot(), Robot()
    robot.offer(Wave(0.012, delay=lambda number: delay, fault=fault))
    assert np.array_equal(actions(plain.ticks(80)), actions(robot.ticks(80)))
    what, version, reason = robot.told()[-1]
    assert (what, version) == ("refused", NEW)
    assert reason.startswith("folder: ") and said in reason and "; " in reason
    robot.next_episode()
    assert robot.live.version == OLD and robot.stopped == [1]


def test_a_refused_policy_is_freed_when_the_episode_ends() -> None:
    robot = Robot()
    bad = Wave(0.05)
    gone = weakref.ref(bad)
    robot.offer(bad)
    del bad
    robot.ticks(20)
    assert robot.told()[-1][0] == "refused"
    robot.workers.pop()
    assert gone() is not None
    robot.live.end_episode(finished=True)
    gc.collect()
    assert gone() is None


def test_another_candidate_takes_the_place_of_the_first() -> None:
    robot = Robot()
    robot.offer(Wave(0.012))
    robot.ticks(8)
    robot.offer(Wave(0.014), "third")
    robot.ticks(60)
    robot.next_episode()
    assert robot.live.version == "third"
    assert robot.stopped == [1]


def test_a_policy_that_was_withdrawn_while_it_was_opened_is_not_taken() -> None:
    robot = Robot()
    assert robot.live.offer(NEW, "folder")
    assert not robot.live.offer(OLD, "folder")
    robot.live.opened(NEW, Wave(0.012))  # type: ignore[arg-type]
    robot.ticks(60)
    robot.next_episode()
    assert robot.live.version == OLD and len(robot.workers) == 1
