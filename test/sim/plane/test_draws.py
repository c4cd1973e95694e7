"""What chance decides: within its ranges, from the seed alone, and each surprise once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.sim.plane.draws import draw
from vla_rl_nodes.sim.plane.state import PERIOD_S, TASKS
from vla_rl_nodes.sim.plane.world import OBSTACLE_RADIUS


@given(seed=st.integers(0, 2**31), beside=st.integers(0, 2**31), task=st.sampled_from(TASKS))
def test_an_episode_depends_on_its_seed_alone(seed: int, beside: int, task: str) -> None:
    alone, alone_events = draw([task], [seed])
    other = "moving" if task == "kick" else "kick"
    both, both_events = draw([other, task], [beside, seed])
    for name in vars(alone):
        assert np.array_equal(getattr(alone, name)[0], getattr(both, name)[1])
    for name in vars(alone_events):
        assert np.array_equal(getattr(alone_events, name)[0], getattr(both_events, name)[1])


def test_seeds_differ() -> None:
    state, _ = draw(["kick"] * 3, [0, 1, 2])
    assert len(np.unique(state.goal, axis=0)) == 3


def test_the_kick_comes_once_in_mid_approach() -> None:
    state, events = draw(["kick"] * 400, range(400))
    start = state.goal - state.tool
    distance = np.linalg.norm(start, axis=1)
    assert ((distance >= 0.20) & (distance <= 0.35)).all()
    kicked = np.zeros(400, int)
    size = np.zeros(400)
    for tick, share in enumerate(np.linspace(1.0, 0.0, 101)):
        before = state.goal
        moved = events.apply(replace(state, tool=before - share * start), tick)
        jump = np.linalg.norm(moved.goal - before, axis=1)
        happened = jump > 0.0
        assert 0.0 < share < 0.75 or not happened.any()
        kicked += happened
        size[happened] = jump[happened]
        state = moved
    assert set(kicked) == {0, 1}
    assert 0.9 < kicked.mean() < 1.0  # nearly all, and one cannot count on it
    hit = size[kicked == 1]
    assert ((hit >= 0.05) & (hit <= 0.08)).all()


def test_a_moving_object_keeps_its_speed_and_turns_a_few_times() -> None:
    state, events = draw(["moving"] * 300, range(300))
    pace = np.linalg.norm(state.velocity, axis=1)
    assert ((pace >= 0.06 * PERIOD_S) & (pace <= 0.12 * PERIOD_S)).all()
    turns, back = np.zeros(300, int), 0
    for tick in range(1, 80):
        before = state.velocity
        state = events.apply(state, tick)
        changed = ~np.isclose(before, state.velocity).all(axis=1)
        turns += changed
        back += ((before * state.velocity).sum(axis=1) < -0.8 * pace**2)[changed].sum()
        assert np.allclose(np.linalg.norm(state.velocity, axis=1), pace)
    assert set(turns) == {2, 3}
    assert 0.35 < back / turns.sum() < 0.65


def test_the_obstacle_stands_in_the_way_and_one_thing_moves() -> None:
    state, events = draw(["two_ways"] * 300, range(300))
    assert state.blocked.all()
    way = state.goal - state.tool
    length = np.linalg.norm(way, axis=1)
    share = ((state.obstacle - state.tool) * way).sum(axis=1) / length**2
    ahead = state.obstacle - state.tool
    aside = np.abs(way[:, 0] * ahead[:, 1] - way[:, 1] * ahead[:, 0]) / length
    assert ((share > 0.4) & (share < 0.6)).all()
    assert (aside < 1e-9).all()
    assert (share * length > 4 * OBSTACLE_RADIUS).all()
    moved = events.apply(replace(state, tool=state.goal), 1)
    of_goal = (moved.goal != state.goal).any(axis=1)
    of_obstacle = (events.apply(replace(state, tool=state.obstacle), 2).obstacle
                   != state.obstacle).any(axis=1)  # fmt: skip
    assert (of_goal ^ of_obstacle).all()
    assert 0.4 < of_goal.mean() < 0.6


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(ValueError, match="push"):
        draw(["push"], [0])
