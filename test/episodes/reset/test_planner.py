"""Candidates in their order, each checked."""

from __future__ import annotations

import numpy as np
import pytest

from vla_rl_nodes.episodes.reset.check import finer
from vla_rl_nodes.episodes.reset.planner import choose, lifted_way, straight_way, tool_line
from vla_rl_nodes.episodes.reset.seen import AttemptFailed
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.safety.clearance import Clearance

from .walls import FR3, KINEMATICS, LEFT, LIMITS, RIGHT, TIMED, WALLED, at, planner


def test_a_free_way_is_direct() -> None:
    room, check = planner(LIMITS)
    assert choose([room], check, TIMED, LEFT, RIGHT, 0).name == "direct"


def test_a_wall_is_gone_round_and_every_point_keeps_its_distance() -> None:
    room, check = planner(WALLED)
    found = choose([room], check, TIMED, LEFT, RIGHT, 0)
    assert found.name != "direct" and found.way is not None
    assert (found.way[0] == LEFT).all() and (found.way[-1] == RIGHT).all()
    clearance = Clearance(FR3, WALLED)
    for q in finer(found.way, 0.01):
        assert (clearance.distances(q) >= clearance.margins - 1e-5).all()


def test_a_plan_that_failed_is_left_out_while_there_is_another() -> None:
    room, check = planner(LIMITS)
    second = choose([room], check, TIMED, LEFT, RIGHT, 0, {"direct"})
    assert second.name == "lift"
    everything = {"direct", "lift", "home", "home unlifted", "line", "rrt"}
    assert choose([room], check, TIMED, LEFT, RIGHT, 0, everything).name == "direct"


def test_a_way_that_cannot_be_gone_in_time_is_no_plan() -> None:
    room, check = planner(LIMITS)

    def crawls(way: np.ndarray) -> np.ndarray:
        if len(way) == 2:
            raise InputError("reset plan", "a joint is at the end of its range", "")
        return TIMED(way)

    assert choose([room], check, crawls, LEFT, RIGHT, 0).name == "lift"


def test_a_goal_inside_something_is_said_so() -> None:
    room, check = planner(WALLED)
    with pytest.raises(AttemptFailed, match=r"the goal is not allowed: .* of wall"):
        choose([room], check, TIMED, LEFT, at(0.5, 0.0, 0.2), 0)


def test_the_lift_is_straight_up_and_stays_in_the_box() -> None:
    way = lifted_way(FR3, KINEMATICS, LIMITS, LEFT, 0.12)
    assert way is not None
    points = KINEMATICS.tool_points(finer(way, 0.005))
    assert np.abs(points[:, :2] - points[0, :2]).max() < 1e-3
    assert points[-1, 2] - points[0, 2] == pytest.approx(0.12, abs=1e-5)
    high = at(0.5, 0.0, 0.59)
    assert lifted_way(FR3, KINEMATICS, LIMITS, high, 0.12) is None


def test_the_tool_goes_on_a_straight_line_from_corner_to_corner() -> None:
    one, other = at(0.62, -0.30, 0.2, -1.0), at(0.35, 0.30, 0.5, 1.0)
    way = tool_line(KINEMATICS, one, other)
    assert way is not None and (way[0] == one).all() and (way[-1] == other).all()
    points = KINEMATICS.tool_points(finer(way, 0.01))
    ends = points[-1] - points[0]
    along = (points - points[0]) @ ends / (ends @ ends)
    assert np.abs(points - points[0] - along[:, None] * ends).max() < 2e-3
    assert planner(LIMITS)[1].problem(way) == ""


def test_out_of_reach_there_is_no_straight_way() -> None:
    assert straight_way(FR3, KINEMATICS, LEFT, np.array([0.6, 0.0, 0.0])) is None
