"""The plane's expert: smooth, without memory, both ways round, and right when it is late."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_rl_nodes.sim.plane.draws import draw
from vla_rl_nodes.sim.plane.expert import Expert, ExpertSettings
from vla_rl_nodes.sim.plane.state import TASKS, Array, PlaneState
from vla_rl_nodes.sim.plane.world import GREATEST_ACTION

from .episodes import Chunks, asynchronous, at_once, state

LAW = ExpertSettings()


def plan(now: PlaneState, chance: float = 0.5) -> Array:
    count = len(now)
    return Expert().continuation(
        now, np.zeros((count, 16, 2)), np.zeros(count, np.int64), np.full(count, chance)
    )


@settings(deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_jerk_and_the_action_are_bounded_whatever_was_committed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    now, _ = draw(rng.choice(TASKS, 20).tolist(), rng.integers(0, 10**6, 20).tolist())
    committed = np.cumsum(rng.normal(0.0, 0.002, (20, 16, 2)), axis=1).clip(-0.016, 0.016)
    delay = rng.integers(0, 7, 20)
    chunk = Expert().continuation(now, committed, delay, rng.uniform(0.01, 0.99, 20))
    assert np.abs(chunk).max() <= GREATEST_ACTION
    whole = np.concatenate([now.earlier[:, None], now.action[:, None], chunk], axis=1)
    jerk = np.linalg.norm(np.diff(whole, n=2, axis=1), axis=2)
    # Where the bound on the action itself cuts nothing off.
    inner = (np.abs(chunk) < GREATEST_ACTION - 1e-9).all(axis=(1, 2))
    for k in np.flatnonzero(inner):
        assert jerk[k, delay[k] :].max() <= LAW.jerk + 1e-12
        assert np.array_equal(chunk[k, : delay[k]], committed[k, : delay[k]])


def test_from_rest_the_acceleration_is_bounded() -> None:
    step = np.diff(plan(state()), axis=1)
    assert np.linalg.norm(step, axis=2).max() <= LAW.acceleration + 1e-12
    assert np.linalg.norm(step, axis=2).max() > 0.9 * LAW.acceleration


def test_a_plan_goes_on_as_it_began() -> None:
    """Without surprises the next plan is the rest of the last: it remembers nothing."""
    now, _ = draw(list(TASKS), [4, 5, 6])
    chunk = plan(now)
    later = now
    for row in range(6):
        later = later.after(chunk[:, row])
    assert np.allclose(plan(later)[:, :10], chunk[:, 6:], atol=1e-12)


def test_it_leads_a_moving_object() -> None:
    now = state("moving", goal=[0.1, 0.0], velocity=[0.0, 0.005])
    for _ in range(40):
        now = now.after(Expert().act(now, np.array([0.5])))
    assert np.linalg.norm(now.goal - now.tool) < 1e-3
    assert np.allclose(now.action, [[0.0, 0.005]], atol=1e-4)


def blocked(count: int = 1, **changed: object) -> PlaneState:
    return state("two_ways", count, goal=[0.7, 0.0], obstacle=[0.36, 0.0], blocked=True, **changed)


def test_at_rest_both_ways_are_as_good_and_mirror_each_other() -> None:
    left, right = plan(blocked(), 0.9)[0], plan(blocked(), 0.1)[0]
    assert left[:, 1].sum() > 0.03
    assert np.allclose(left, right * [1, -1], atol=1e-12)


def test_under_way_chance_decides_nothing() -> None:
    for sign in (1.0, -1.0):
        moving = [0.015, sign * 0.005]
        now = blocked(action=moving, earlier=moving)
        plans = [plan(now, chance)[0] for chance in (0.01, 0.5, 0.99)]
        assert all(np.allclose(p, plans[0], atol=1e-12) for p in plans)
        assert sign * plans[0][:, 1].sum() > 0.05


def test_both_ways_are_taken() -> None:
    count = 400
    now = blocked(count)
    chance = np.random.default_rng(0).uniform(size=count)
    nothing = np.zeros((count, 16, 2))
    chunks = Expert().continuation(now, nothing, np.zeros(count, np.int64), chance)
    assert 0.42 < (chunks[:, :, 1].sum(axis=1) > 0.0).mean() < 0.58


@pytest.mark.parametrize("task", TASKS)
def test_it_does_every_task(task: str) -> None:
    world = at_once(task, range(1000, 1200))
    assert world.success.all()


def _expert_chunks(count: int) -> Chunks:
    chance = np.random.default_rng(2).uniform(0.01, 0.99, count)

    def chunks(now: PlaneState, prefix: Array, delay: NDArray[np.int64]) -> Array:
        return Expert().continuation(now, prefix, delay, chance)

    return chunks


@pytest.mark.parametrize("task", TASKS)
def test_late_it_still_does_it_when_it_knows_what_is_committed(task: str) -> None:
    """The benchmark can be done with six ticks of delay; without the prefix it is lost."""
    seeds = range(2000, 2100)
    told, *_ = asynchronous(_expert_chunks(100), task, seeds, 6, prefixed=True)
    not_told, *_ = asynchronous(_expert_chunks(100), task, seeds, 6, prefixed=False)
    assert told.success.mean() >= 0.97
    assert not_told.success.mean() < 0.8


@pytest.mark.parametrize("delay", [1, 3, 6])
def test_seams_are_as_smooth_as_the_inside(delay: int) -> None:
    seeds = range(3000, 3060)
    seam, inside = [], []
    for task in TASKS:
        world, actions, numbers = asynchronous(
            _expert_chunks(60), task, seeds, delay, prefixed=True
        )
        bends = np.linalg.norm(np.diff(actions, n=2, axis=0), axis=2)
        same = numbers[2:] == numbers[:-2]
        for k in range(60):
            last = world.finished_at[k] - 2
            seam.append(bends[:last, k][~same[:last]])
            inside.append(bends[:last, k][same[:last] & (numbers[2:] > 0)[:last]])
    p95 = [float(np.percentile(np.concatenate(part), 95)) for part in (seam, inside)]
    assert p95[0] <= 1.05 * p95[1]
    assert p95[0] <= LAW.jerk + 1e-12
