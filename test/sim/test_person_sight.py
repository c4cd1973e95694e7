"""What is seen, how late, and what it says of the task."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.sim.expert import CLOSED, OPEN, Expert, ExpertState
from vla_rl_nodes.sim.person_sight import (
    Sight,
    View,
    about_to_land,
    between,
    empty_handed,
    finger_above,
    remaining_s,
)

CUBE = np.array([0.5, 0.1, 0.02])
EDGE = 0.04


def state(tool: list[float], width: float = OPEN, speed: float = 0.0) -> ExpertState:
    pose = np.array(tool)
    return ExpertState(pose, pose, width, speed, CUBE, 0.0)


HELD = state([0.5, 0.1, 0.02, 0.0], 0.04)


@given(st.lists(st.floats(0.0, 0.2), min_size=1, max_size=30), st.floats(0.0, 0.5))
def test_nothing_is_known_before_its_time(steps: list[float], delay_s: float) -> None:
    sight, now = Sight(delay_s), 0.0
    looked: list[float] = []
    for step in steps:
        now += step
        sight.look(View(now, "e", HELD))
        looked.append(now)
        seen = sight.at(now)
        known = [at for at in looked if at + delay_s <= now]
        assert (seen.at_s if seen else None) == (known[-1] if known else None)


def test_a_view_from_before_the_last_one_is_none() -> None:
    sight = Sight(0.0)
    sight.look(View(2.0, "e", HELD))
    sight.look(View(1.0, "e", HELD))
    seen = sight.at(3.0)
    assert seen is not None and seen.at_s == 2.0


def test_the_time_that_is_left_falls_on_the_experts_way() -> None:
    expert, at = Expert(), state([0.42, 0.03, 0.30, 0.3])
    left = [remaining_s(expert, at)]
    for action in expert.branch(at, 80):
        at = expert._predicted(at, action)
        left.append(remaining_s(expert, at))
    assert left[0] > 2.0 and left[-1] < 0.1
    # Over any 0.8 s until it is lifted there is headway, and never a leap back.
    over = np.array(left)
    lifting = int(np.argmax(over < 0.15))
    assert (over[:-16][:lifting] - over[16:][:lifting] > 0.15).all()
    assert (np.diff(over) < 0.2).all()


@pytest.mark.parametrize(
    "worse",
    [
        replace(HELD, width=0.0),
        replace(HELD, cube=CUBE + np.array([0.1, 0.0, 0.0]), width=OPEN),
        replace(HELD, tool=np.array([0.5, 0.13, 0.02, 0.0]), width=OPEN),
    ],
    ids=["lost", "pushed away", "beside it"],
)
def test_it_leaps_up_when_the_object_is_lost(worse: ExpertState) -> None:
    expert = Expert()
    assert remaining_s(expert, worse) > remaining_s(expert, HELD) + 0.5


def test_between_and_empty() -> None:
    assert between(HELD) and not empty_handed(HELD)
    assert between(replace(HELD, tool=np.array([0.5, 0.1, 0.02, 0.7])))
    assert not between(replace(HELD, tool=np.array([0.5, 0.1, 0.06, 0.0])))
    assert empty_handed(state([0.5, 0.2, 0.02, 0.0], CLOSED))
    assert not empty_handed(state([0.5, 0.2, 0.02, 0.0], OPEN))


def sinking(across: float, moving: float = 0.0) -> tuple[View, View]:
    """Two views 0.1 s apart of a tool that sinks by 0.2 m/s, 9 cm over the cube."""
    low = 0.11
    before = state([0.5, 0.1 + across - 0.1 * moving, low + 0.02, 0.0])
    return View(0.0, "e", before), View(0.1, "e", state([0.5, 0.1 + across, low, 0.0]))


@pytest.mark.parametrize(
    ("across", "moving", "lands"),
    [
        (0.0, 0.0, False),
        (0.03, 0.0, True),
        (-0.03, 0.0, True),
        (0.09, 0.0, False),
        (0.03, -0.06, True),  # it slows down on its way
        (0.03, -0.2, False),
        (-0.03, 0.2, False),
        (0.0, 0.2, True),
    ],
)
def test_a_finger_over_the_object_is_seen_before_it_lands(
    across: float, moving: float, lands: bool
) -> None:
    assert about_to_land(*sinking(across, moving), EDGE, ahead_s=0.5) == lands


def test_a_tool_that_does_not_sink_does_not_land() -> None:
    _, now = sinking(0.03)
    assert not about_to_land(replace(now, at_s=0.0), now, EDGE, 0.5)
    before, now = sinking(0.03)
    assert not about_to_land(replace(before, at_s=0.05), now, EDGE, 0.5)  # too short to tell


@pytest.mark.parametrize(
    ("across", "along", "height", "above"),
    [
        (0.03, 0.0, 0.05, True),
        (-0.03, 0.02, 0.05, True),
        (0.0, 0.0, 0.05, False),
        (0.03, 0.06, 0.05, False),
        (0.08, 0.0, 0.05, False),
        (0.03, 0.0, -0.01, False),
    ],
)
def test_a_finger_above_the_object(
    across: float, along: float, height: float, above: bool
) -> None:
    tool = [float(CUBE[0]) + along, float(CUBE[1]) + across, float(CUBE[2]) + height, 0.0]
    assert finger_above(state(tool), EDGE) == above
