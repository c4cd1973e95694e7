"""Episodes of the plane: success, failure, limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vla_rl_nodes.sim.plane.state import TASKS
from vla_rl_nodes.sim.plane.world import GOALS, OBSTACLE_RADIUS, PlaneWorld

from .episodes import at_once

STILL = np.zeros((1, 2))


def settled(task: str) -> PlaneWorld:
    """An episode that has had its surprise, and whose tool rests on the object."""
    world = PlaneWorld([task], [0])
    for far in (0.0, 5.0):  # metres: the object's surprise, the obstacle's, and neither near
        at = world.state.goal + np.array([[far, 0.0]])
        world.state = replace(world.state, tool=at, reference=at)
        world.step(STILL)
    move(world, 0.0)
    return world


def move(world: PlaneWorld, off: float) -> None:
    """Puts the resting tool ``off`` metres beside the object."""
    at = world.state.goal + np.array([[off, 0.0]])
    world.state = replace(world.state, tool=at, reference=at, action=STILL)


@pytest.mark.parametrize("task", ["kick", "two_ways"])
def test_success_needs_the_whole_stay(task: str) -> None:
    goal = GOALS[task]
    world = settled(task)
    move(world, 0.9 * goal.within)
    for _ in range(goal.ticks - 1):
        world.step(STILL)
    assert world.running.all()
    world.step(STILL)
    assert world.success.all()
    assert not world.running.any()


def test_just_beside_is_not_there() -> None:
    world = settled("kick")
    move(world, 1.1 * GOALS["kick"].within)
    for _ in range(GOALS["kick"].ticks + 2):
        world.step(STILL)
    assert world.running.all()


def test_leaving_starts_the_stay_anew() -> None:
    world = settled("kick")
    ticks = GOALS["kick"].ticks
    for _ in range(ticks - 1):
        world.step(STILL)
    move(world, 0.5)
    world.step(STILL)
    move(world, 0.0)
    for _ in range(ticks - 1):
        world.step(STILL)
    assert world.running.all()
    world.step(STILL)
    assert world.success.all()


def test_touching_the_obstacle_fails_for_good() -> None:
    world = PlaneWorld(["two_ways"], [3])
    inside = world.state.obstacle + np.array([[0.99 * OBSTACLE_RADIUS, 0.0]])
    world.state = replace(world.state, tool=inside, reference=inside)
    world.step(STILL)
    assert world.touched.all()
    assert not world.success.any()
    assert not world.running.any()
    # Where there is no obstacle, its place means nothing.
    world = PlaneWorld(["kick"], [3])
    world.state = replace(world.state, tool=STILL, reference=STILL)
    world.step(STILL)
    assert world.running.all()


@pytest.mark.parametrize("task", TASKS)
def test_the_limit_ends_an_episode_without_success(task: str) -> None:
    world = PlaneWorld([task] * 2, [0, 1])
    for _ in range(GOALS[task].limit):
        assert world.running.all()
        world.step(np.zeros((2, 2)))
    assert not world.running.any()
    assert not world.success.any()
    assert world.finished_at.tolist() == [GOALS[task].limit] * 2


def test_what_has_ended_stands_still_while_others_go_on() -> None:
    world = PlaneWorld(["kick", "two_ways"], [0, 0])
    push = np.array([[0.01, 0.0], [0.0, 0.0]])
    while world.running.all():
        world.step(push)
    assert world.running.tolist() == [False, True]
    before = world.state
    world.step(push + 0.001)
    assert np.array_equal(world.state.tool[0], before.tool[0])
    assert not np.array_equal(world.state.tool[1], before.tool[1])


def test_actions_are_cut_off_at_the_contracts_bounds() -> None:
    world = PlaneWorld(["moving"], [0])
    start = world.state.reference
    world.step(np.array([[0.5, -0.5]]))
    assert np.allclose(world.state.reference - start, [[0.02, -0.02]])


@pytest.mark.parametrize("task", TASKS)
def test_the_limits_are_the_stated_multiple_of_the_experts_time(task: str) -> None:
    world = at_once(task, range(1000))
    assert world.success.all()
    p95 = float(np.percentile(world.finished_at, 95))
    assert 1.5 <= GOALS[task].limit / p95 <= 1.6


def test_as_many_seeds_as_tasks() -> None:
    with pytest.raises(ValueError, match="one seed"):
        PlaneWorld(["kick", "moving"], [0])
    with pytest.raises(ValueError, match="at least one"):
        PlaneWorld([], [])
