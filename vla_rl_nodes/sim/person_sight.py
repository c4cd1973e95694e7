"""What a scripted person sees of the task, how late, and how much of it is still to be done."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.sim.expert import (
    HELD_WITHIN,
    OPEN,
    Expert,
    ExpertState,
    nearest_cube_yaw,
)

Vector = NDArray[np.float64]

# What a careful hand does the parts of the task with, for the estimate alone.
TRAVEL_M_S = 0.2
TURN_RAD_S = 1.6
FINGERS_M_S = 0.1
BESIDE_M = 0.02  # further off sideways than this and the tool has to come down from above
GLANCE_S = 0.09
SINKING_M_S = 0.05
CLEAR_M = 0.045  # height of the tool over the object for travelling sideways
LOW_M = 0.04  # the finger tips touch the object's top about there
SPARE_M = 0.003  # on each side, for the fingers to go down past the object
FINGER_M = 0.015  # how thick a finger is
ALONG_M = 0.04
BELIEVED = 0.5  # of how far the tool will still go sideways: it slows down on its way
EMPTY_M = 0.02  # fingers that are closer than this hold nothing
PINCHED = 0.8  # of the object's edge: fingers give way by less


@dataclass(frozen=True)
class View:
    """What there is to see at one time.

    Args:
        at_s: when, on the clock that :class:`Sight` is asked with, s.
        episode: the id of the running episode, empty while none runs.
        state: the arm and the object; its ``reference`` is what is measured, since nobody sees
            a command.
    """

    at_s: float
    episode: str
    state: ExpertState


class Sight:
    """Views, each of which is known only some time after it was there to be seen.

    Args:
        delay_s: from the world to the mind.
    """

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._coming: deque[View] = deque()
        self._seen: View | None = None

    def look(self, view: View) -> None:
        """One more view; a view from before the last one is none."""
        if not self._coming or view.at_s >= self._coming[-1].at_s:
            self._coming.append(view)

    def at(self, now_s: float) -> View | None:
        """The newest view that is known by now; None before the first is."""
        while self._coming and self._coming[0].at_s + self._delay_s <= now_s:
            self._seen = self._coming.popleft()
        return self._seen


def offset(tool: Vector, cube: Vector) -> Vector:
    """The object relative to the tool's pose: along the pads, across, up [3], m."""
    gap = cube - tool[:3]
    c, s = np.cos(tool[3]), np.sin(tool[3])
    return np.array([c * gap[0] + s * gap[1], s * gap[0] - c * gap[1], gap[2]])


def between(state: ExpertState) -> bool:
    """Whether the object is where closed fingers would have it."""
    return bool((np.abs(offset(state.tool, state.cube)) < HELD_WITHIN).all())


def about_to_land(before: View, now: View, edge_m: float, ahead_s: float) -> bool:
    """Whether a finger will have come down on the object soon if the tool goes on like this.

    Args:
        before: a view of a moment ago, for the velocity; nothing is seen of it from one that is
            younger than :data:`GLANCE_S`.
        now: the newest one.
        edge_m: of the object, m.
        ahead_s: how soon.
    """
    passed = now.at_s - before.at_s
    if passed < GLANCE_S:
        return False
    velocity = (now.state.tool - before.state.tool) / passed
    down_s = (now.state.tool[2] - now.state.cube[2] - LOW_M) / max(-velocity[2], 1e-6)
    if velocity[2] > -SINKING_M_S or down_s > ahead_s:
        return False
    here = offset(now.state.tool, now.state.cube)[:2]
    way = BELIEVED * max(down_s, 0.0) * velocity
    there = offset(now.state.tool + way, now.state.cube)[:2]
    # A tool on its way over the object stops there, so a change of side counts as being above it.
    return _on_it(now.state, np.where(here * there < 0.0, 0.0, np.abs(there)), edge_m)


def finger_above(state: ExpertState, edge_m: float) -> bool:
    """Whether one of the fingers is right above the object, or on it."""
    away = offset(state.tool, state.cube)
    return away[2] < 0.0 and _on_it(state, np.abs(away[:2]), edge_m)


def _on_it(state: ExpertState, away: Vector, edge_m: float) -> bool:
    """Whether the fingers as they are would meet an object of an edge so far along and across."""
    turn = nearest_cube_yaw(state.cube_yaw, float(state.tool[3])) - float(state.tool[3])
    half = edge_m / 2.0 * (abs(np.cos(turn)) + abs(np.sin(turn)))
    astride = away[1] + half + SPARE_M < state.width / 2.0
    beside = away[1] - half > state.width / 2.0 + FINGER_M
    return bool(away[0] < ALONG_M and not astride and not beside)


def empty_handed(state: ExpertState) -> bool:
    """Whether the fingers have closed on nothing."""
    return state.width < EMPTY_M and not between(state)


def remaining_s(expert: Expert, state: ExpertState) -> float:
    """About how long the task would still take somebody who does it well, s.

    The parts one after the other: rise when the tool is low beside the object, go and turn,
    open, come down, close, lift. It falls by about a second a second while the task goes on
    well, and leaps up when the object is pushed away or lost.
    """
    lift_to, edge = expert.settings.lift_to_m, expert.settings.cube_edge_m
    height = float(state.tool[2] - state.cube[2])
    if expert.gripping(state):
        return max(lift_to - float(state.tool[2]), 0.0) / TRAVEL_M_S
    lift = (lift_to - float(state.cube[2])) / TRAVEL_M_S
    if between(state) and state.width > PINCHED * edge:
        return max(state.width - edge, 0.0) / FINGERS_M_S + lift
    sideways = float(np.linalg.norm(state.cube[:2] - state.tool[:2]))
    turn = abs(nearest_cube_yaw(state.cube_yaw, float(state.tool[3])) - float(state.tool[3]))
    way = max(sideways / TRAVEL_M_S, turn / TURN_RAD_S)
    rise = max(CLEAR_M - height, 0.0) if sideways > BESIDE_M else 0.0
    vertical = (rise + max(height + rise, 0.0)) / TRAVEL_M_S
    fingers = (OPEN - state.width + OPEN - edge) / FINGERS_M_S
    return way + vertical + fingers + lift
