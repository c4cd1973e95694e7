"""Each strategy on a sampler whose answers can be worked out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import SmallEngine, small_models

from vla_rl_nodes.chunking.queue import Merge, Request
from vla_rl_nodes.chunking.settings import ChunkingSettings
from vla_rl_nodes.chunking.strategies.best_of_n import drawn_by_value, expected_gain
from vla_rl_nodes.chunking.strategies.bid import backward_loss, forward_loss
from vla_rl_nodes.chunking.strategies.make import make_queue, make_strategy
from vla_rl_nodes.chunking.strategies.strategy import Job, Models, drawn_noise
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError

CONTRACT = load_contract("plane")
SHAPE = (16, 2)


def settings(replan_every: int = 4, **strategy: Any) -> ChunkingSettings:
    return ChunkingSettings.model_validate(
        {"chunking": 1, "strategy": strategy, "replan_every": replan_every}
    )


def job(delay: int = 3, planned: int = 10, seed: int = 7, base: float = 0.0) -> Job:
    ahead = np.random.default_rng(5).uniform(-0.02, 0.02, (planned, 2))
    state = np.zeros(18, np.float32)
    state[0] = base
    return Job(Request(1, 1, 10, 6, delay, ahead), 10**9, {"state": state}, seed)


def engine_of(models: Models) -> SmallEngine:
    assert isinstance(models.engine, SmallEngine)
    return models.engine


def test_prefix_asks_once_and_keeps_what_is_committed() -> None:
    models = small_models(CONTRACT)
    wanted = job()
    plan = make_strategy(settings(name="prefix"), models).plan(wanted)
    assert engine_of(models).calls == [(3, 1)]
    assert np.array_equal(plan.chunk[:3], wanted.request.prefix.astype(np.float32))
    assert plan.chunk.shape == SHAPE and plan.chunk.dtype == np.float64


@pytest.mark.parametrize(
    ("name", "merge"),
    [
        ("sync", Merge.WAIT),
        ("naive_async", Merge.SPLICE),
        ("temporal_ensemble", Merge.AVERAGE),
    ],
)
def test_the_plain_baselines_ask_once_without_a_prefix(name: str, merge: Merge) -> None:
    models = small_models(CONTRACT)
    strategy = make_strategy(settings(name=name), models)
    strategy.plan(job())
    assert engine_of(models).calls == [(0, 1)] and strategy.merge is merge
    assert not strategy.bounded_delay


def test_best_of_n_takes_the_sample_nearest_to_the_prefix() -> None:
    models, wanted = small_models(CONTRACT), job()
    plan = make_strategy(settings(name="best_of_n", samples=16), models).plan(wanted)
    assert engine_of(models).calls == [(0, 16)]
    samples = drawn_noise(wanted, 16, SHAPE) * 0.01
    errors = np.square(samples[:, :3] - wanted.request.prefix).sum(axis=(1, 2))
    assert np.allclose(plan.chunk, samples[int(np.argmin(errors))], atol=1e-7)
    assert len(set(np.round(errors, 9))) == 16


@pytest.mark.parametrize(("score", "best"), [("critic", np.argmax), ("novelty", np.argmin)])
def test_ranking_takes_the_highest_value_or_the_most_familiar(score: str, best: Any) -> None:
    models, wanted = small_models(CONTRACT), job()
    strategy = make_strategy(settings(name="best_of_n", samples=8, score=score), models)
    plan = strategy.plan(wanted)
    values = drawn_noise(wanted, 8, SHAPE)[:, -1].mean(axis=1)
    assert np.allclose(
        plan.chunk[3:], drawn_noise(wanted, 8, SHAPE)[int(best(values)), 3:] * 0.01, atol=1e-7
    )
    assert engine_of(models).calls == [(3, 8)]  # conditioned: the seam is kept


@pytest.mark.parametrize("score", ["prefix_error", "critic", "novelty"])
def test_one_sample_is_the_plain_policy(score: str) -> None:
    conditioned = score != "prefix_error"
    one = make_strategy(settings(name="best_of_n", samples=1, score=score), small_models(CONTRACT))
    plain = make_strategy(
        settings(name="prefix" if conditioned else "naive_async"), small_models(CONTRACT)
    )
    assert np.array_equal(one.plan(job()).chunk, plain.plan(job()).chunk)


def test_the_choice_by_value_is_a_softmax_that_becomes_the_argmax() -> None:
    values = np.array([0.1, 0.7, 0.4, 0.65])
    assert {drawn_by_value(values, 0.0, seed) for seed in range(50)} == {1}
    assert {drawn_by_value(values, 1e-6, seed) for seed in range(200)} == {1}
    counts = np.bincount([drawn_by_value(values, 0.5, seed) for seed in range(4000)], minlength=4)
    wanted = np.exp(values / 0.5) / np.exp(values / 0.5).sum()
    assert np.abs(counts / 4000 - wanted).max() < 4 * math.sqrt(0.25 / 4000)


def test_equal_values_are_equally_likely() -> None:
    counts = np.bincount([drawn_by_value(np.full(5, 0.3), 0.1, seed) for seed in range(5000)])
    chi_squared = np.square(counts - 1000).sum() / 1000
    assert len(counts) == 5 and chi_squared < 18.5  # 99.9 % of chi squared with 4


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=20))
def test_the_expected_gain_is_that_of_a_normal_draw(values: list[float]) -> None:
    found = np.array(values)
    spread = found.std(ddof=1)
    gain = expected_gain(found)
    if spread < 1e-6:
        assert gain < 1e-5
        return
    x = found.mean() + spread * np.linspace(-8, 8, 20001)
    density = np.exp(-np.square((x - found.mean()) / spread) / 2) / math.sqrt(2 * math.pi)
    wanted = float(np.sum(np.maximum(x - found.max(), 0) * density) * (16 / 20000))
    assert gain == pytest.approx(wanted, abs=1e-4 * spread)


def test_outcomes_stop_the_drawing_when_another_draw_is_not_worth_it() -> None:
    drawn = {}
    for cost in (0.0, 0.02, 10.0):
        models = small_models(CONTRACT, outcome=True)
        strategy = make_strategy(
            settings(name="best_of_n", samples=16, score="outcome", cost=cost), models
        )
        plan = strategy.plan(job())
        drawn[cost] = int(plan.log["candidates"])
        seen = drawn_noise(job(), 16, SHAPE)[: drawn[cost]]
        best = int(np.argmax(seen[:, -1, 0]))
        assert np.allclose(plan.chunk[3:], seen[best, 3:] * 0.01, atol=1e-7)
    assert drawn[0.0] == 16 and drawn[10.0] == 4 and 4 <= drawn[0.02] < 16


def test_bid_losses_by_hand() -> None:
    candidates = np.array([[[0.0, 0.0], [3.0, 4.0]], [[1.0, 0.0], [0.0, 0.0]]])
    ahead = np.array([[0.0, 0.0], [0.0, 0.0], [9.0, 9.0]])
    assert backward_loss(candidates, ahead, 0.5).tolist() == [2.5, 1.0]
    assert backward_loss(candidates, ahead[:0], 0.5).tolist() == [0.0, 0.0]
    near, far = candidates[:1], candidates[1:]
    apart = 1.0 + 5.0
    assert forward_loss(candidates, near, far).tolist() == [-apart, apart]
    assert forward_loss(candidates, near, far[:0]).tolist() == [0.0, apart]


def test_bid_is_nearer_to_the_running_chunk_than_a_plain_sample() -> None:
    def apart(name: str, seed: int) -> float:
        strategy = make_strategy(settings(name=name), small_models(CONTRACT))
        wanted = job(seed=seed)
        chunk = strategy.plan(wanted).chunk
        return float(backward_loss(chunk[None], wanted.request.ahead, 0.9)[0])

    nearer = [apart("bid", seed) < apart("naive_async", seed) for seed in range(40)]
    assert sum(nearer) >= 35


def test_a_bundle_without_the_network_is_refused_in_words() -> None:
    bare = Models(SmallEngine(CONTRACT))
    for chosen in (
        {"name": "guidance"},
        {"name": "prefix", "sampler": "teacher"},
        {"name": "best_of_n", "score": "critic"},
        {"name": "best_of_n", "score": "novelty"},
        {"name": "best_of_n", "score": "outcome"},
    ):
        with pytest.raises(InputError, match=r"small: holds no .*; choose another strategy"):
            make_strategy(settings(**chosen), bare)


def test_a_queue_leaves_room_for_the_delay() -> None:
    models = small_models(CONTRACT)
    for name, most in (("prefix", 10), ("naive_async", 8)):
        strategy = make_strategy(settings(name=name), models)
        assert make_queue(settings(most, name=name), strategy, CONTRACT) is not None
        with pytest.raises(InputError, match=f"replan_every: is {most + 1}; .* at most {most}$"):
            make_queue(settings(most + 1, name=name), strategy, CONTRACT)
