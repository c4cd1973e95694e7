"""The runtime from observation to action, with inference that takes some control ticks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from small_models import SmallEngine, small_models

from vla_rl_nodes.chunking.delayed import DelayedWorker
from vla_rl_nodes.chunking.runtime import Acted, ChunkRuntime
from vla_rl_nodes.chunking.settings import ChunkingSettings
from vla_rl_nodes.chunking.strategies.make import make_strategy
from vla_rl_nodes.chunking.strategies.strategy import Job, Plan
from vla_rl_nodes.contract.load import load_contract

CONTRACT = load_contract("plane")
PERIOD_NS = CONTRACT.period_ns


class Loop:
    """A runtime with its engine and worker; each tick's state differs."""

    def __init__(self, delay: int | Callable[[int], int], name: str = "prefix") -> None:
        self.settings = ChunkingSettings.model_validate(
            {"chunking": 1, "strategy": {"name": name}, "replan_every": 4}
        )
        models = small_models(CONTRACT)
        assert isinstance(models.engine, SmallEngine)
        self.engine = models.engine
        strategy = make_strategy(self.settings, models)
        self.plans: list[tuple[Job, Plan]] = []

        def plan(job: Job) -> Plan:
            made = strategy.plan(job)
            self.plans.append((job, made))
            return made

        late = delay if callable(delay) else lambda _: delay
        self.worker: DelayedWorker[Job, Plan] = DelayedWorker(plan, late, 50.0)
        self.runtime = ChunkRuntime(CONTRACT, self.settings, strategy, "v1", self.worker, 3)
        self.now = 0

    def tick(self) -> Acted:
        self.worker.begin_tick()
        state = np.random.default_rng(self.now).uniform(-0.01, 0.01, 18).astype(np.float32)
        acted = self.runtime.tick(self.now * PERIOD_NS, {"state": state})
        self.now += 1
        return acted

    def ticks(self, count: int) -> list[Acted]:
        return [self.tick() for _ in range(count)]


@pytest.mark.parametrize("delay", range(7))
def test_after_every_hand_over_the_prefix_error_is_exactly_zero(delay: int) -> None:
    loop = Loop(delay)
    acted = loop.ticks(200)
    waited = [a for a in acted if a.action is None]
    assert len(waited) == delay  # only for the first chunk
    joined = [a for a in acted[20:] if a.chunk is not None]
    assert len(joined) > 20
    for a in joined:
        assert int(a.values["delay"]) == delay
        assert int(a.values["prefix_length"]) == delay
        if delay:
            assert float(a.values["prefix_error"]) == 0.0
    # What was executed while a chunk was computed is what the chunk says of those ticks.
    executed = np.array([a.action for a in acted if a.action is not None])
    for job, plan in loop.plans[1:-2]:
        first = job.request.first_index
        assert np.array_equal(plan.chunk[:delay], executed[first : first + delay])


def test_without_conditioning_the_prefix_error_shows() -> None:
    loop = Loop(4, "naive_async")
    errors = [a.values["prefix_error"] for a in loop.ticks(200) if "prefix_error" in a.values]
    assert len(errors) > 50 and all(float(error) > 0 for error in errors)


def test_a_chunk_carries_its_version_its_tick_and_the_noise_it_was_made_with() -> None:
    loop = Loop(2)
    acted = loop.ticks(60)
    arrived = [a for a in acted if a.chunk is not None]
    by_stamp = {job.stamp_ns: (job, plan) for job, plan in loop.plans}
    for a in arrived:
        job, plan = by_stamp[a.chunk_stamp_ns]
        assert a.chunk is plan.chunk
        assert a.values["noise_seed"] == str(job.noise_seed)
        assert a.values["chunk_version"] == "v1"
    seeds = {job.noise_seed for job, _ in loop.plans}
    assert len(seeds) == len(loop.plans)
    again = Loop(2)
    again.ticks(60)
    assert np.array_equal(again.plans[-1][1].chunk, loop.plans[-1][1].chunk)


def test_a_failing_engine_is_told_and_asked_again_while_the_plan_lasts() -> None:
    loop = Loop(1)
    loop.ticks(20)
    loop.engine.fail = True
    failing = loop.ticks(10)
    assert any("no chunk: small: fails" in p for a in failing for p in a.problems)
    assert all(a.action is not None for a in failing[:8])
    starving = loop.ticks(20)
    assert starving[-1].action is None and starving[-1].values["starved"] == "1"
    loop.engine.fail = False
    assert loop.ticks(5)[-1].action is not None


def test_a_delay_above_the_trained_one_is_refused_in_words_each_time() -> None:
    slow = Loop(lambda number: 1 if number < 3 else 9)
    acted = slow.ticks(120)
    told = [p for a in acted for p in a.problems]
    assert told and all("at most 6 are allowed" in p for p in told)
    assert int(acted[-1].values["late_chunks"]) == len(told)
    assert all(job.request.delay <= 6 for job, _ in slow.plans)
    # Chunks from rest are still used: the arm goes on after a pause.
    assert any(a.action is not None for a in acted[-30:])


def test_nothing_is_asked_while_the_worker_is_busy() -> None:
    loop = Loop(5)
    asked = [a.asked is not None for a in loop.ticks(40)]
    gaps = np.diff(np.flatnonzero(asked))
    assert gaps.min() >= 5


def test_an_episode_reset_in_mid_inference_drops_the_answer() -> None:
    loop = Loop(3)
    loop.ticks(30)
    while loop.tick().asked is None:
        pass
    loop.runtime.start_episode()
    first = loop.ticks(4)
    assert [p for a in first for p in a.problems] == [
        "a chunk was refused: not the request in flight"
    ]
    assert all(a.action is None for a in first)
    later = [a.action for a in loop.ticks(4)]
    assert later[-1] is not None


@pytest.mark.parametrize("name", ["sync", "naive_async", "temporal_ensemble", "best_of_n", "bid"])
@pytest.mark.parametrize("delay", [0, 3, 6])
def test_every_strategy_runs_at_every_delay(name: str, delay: int) -> None:
    acted = Loop(delay, name).ticks(100)
    actions = [a.action for a in acted if a.action is not None]
    problems: list[Any] = [p for a in acted for p in a.problems]
    assert not problems
    held = 100 - len(actions)
    if name == "sync":
        assert held == pytest.approx(100 * delay / (4 + delay), abs=delay + 4)
    else:
        assert held == delay


def test_the_log_tells_the_seam_from_the_inside() -> None:
    acted = Loop(4, "naive_async").ticks(100)
    values = [a.values for a in acted if a.chunk is not None][5:]
    assert all(
        {"seam_step", "seam_bend", "seam_jerk", "inner_bend_p95", "inner_jerk_p95"} <= v.keys()
        for v in values
    )
    assert all(float(v["seam_bend"]) > 0 for v in values)
