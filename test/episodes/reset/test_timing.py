"""Ways in time: within every limit, along the way, at rest at its ends and corners."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.episodes.reset.check import finer
from vla_rl_nodes.episodes.reset.timing import Timing
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.limits import load_limits

FR3, LIMITS = load_robot("fr3"), load_limits("franka_pick")
KINEMATICS = Kinematics(FR3)
PERIOD, SHARE = 0.05, 0.3
TIMING = Timing(FR3, KINEMATICS, LIMITS, SHARE, PERIOD)
SPAN = FR3.position_max - FR3.position_min

places = st.lists(st.floats(0.15, 0.85), min_size=7, max_size=7).map(
    lambda shares: FR3.position_min + np.array(shares) * SPAN
)


@settings(max_examples=30)
@given(st.lists(places, min_size=2, max_size=4))
def test_every_limit_is_kept(points: list[np.ndarray]) -> None:
    way = np.array(points)
    rows = np.concatenate([way[:1], TIMING.positions(way)])
    velocities = np.diff(rows, axis=0) / PERIOD
    assert (np.abs(velocities) <= SHARE * FR3.velocity_max + 1e-9).all()
    accelerations = np.diff(np.concatenate([velocities[:1] * 0, velocities, velocities[:1] * 0]),
                            axis=0) / PERIOD  # fmt: skip
    assert (np.abs(accelerations) <= SHARE * FR3.acceleration_max + 1e-6).all()
    assert LIMITS.tool_speed_max is not None
    per_tick = np.sqrt((np.diff(KINEMATICS.tool_points(rows), axis=0) ** 2).sum(axis=1))
    assert per_tick.max() <= 0.95 * LIMITS.tool_speed_max * PERIOD


@settings(max_examples=30)
@given(st.lists(places, min_size=2, max_size=4))
def test_it_ends_at_the_end_and_keeps_to_the_way(points: list[np.ndarray]) -> None:
    way = np.array(points)
    rows = TIMING.positions(way)
    assert np.abs(rows[-1] - way[-1]).max() < 1e-9
    fine = finer(way, 0.002)
    for row in rows[:: max(len(rows) // 10, 1)]:
        assert np.abs(fine - row).max(axis=1).min() < 0.003


def test_a_corner_is_rested_at() -> None:
    home = FR3.home
    way = np.stack([home, home + np.eye(7)[0] * 0.5, home + np.eye(7)[1] * 0.3])
    rows = TIMING.positions(way)
    assert np.abs(rows - way[1]).max(axis=1).min() < 1e-9


def test_nothing_to_go_is_one_row() -> None:
    rows = TIMING.positions(np.stack([FR3.home, FR3.home]))
    assert rows.shape == (1, 7)


def test_a_slower_tool_takes_longer() -> None:
    way = np.stack([FR3.home, FR3.home + 0.3])
    slow = TIMING.positions(way, 0.05)
    assert len(slow) > 2 * len(TIMING.positions(way))
    points = KINEMATICS.tool_points(np.concatenate([way[:1], slow]))
    ways = np.sqrt((np.diff(points, axis=0) ** 2).sum(axis=1))
    assert ways.max() <= 0.05 * PERIOD * 1.02


def test_next_to_the_end_of_a_range_there_is_no_plan_towards_it() -> None:
    goal = FR3.home.copy()
    goal[0] = FR3.position_max[0]
    with pytest.raises(InputError, match="at the end of its range"):
        TIMING.positions(np.stack([FR3.home, goal]))
    away = TIMING.positions(np.stack([goal, FR3.home]))
    assert np.abs(away[-1] - FR3.home).max() < 1e-9
