"""The plane's expert: a smooth law from one state, without memory, and its whole chunks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.sim.plane.state import GREATEST_ACTION, LAG, Array, PlaneState


@dataclass(frozen=True)
class ExpertSettings:
    """How the expert moves; metres and control ticks."""

    speed: float = 0.018  # cruise, m per tick
    acceleration: float = 0.0065  # greatest change of the action
    jerk: float = 0.0024  # greatest second difference of the action
    pull: float = 0.30  # speed per distance near the goal
    braking: float = 0.0025  # deceleration that the approach is planned with
    grip: float = 0.60  # acceleration per error of the speed
    clearance: float = 0.085  # from the obstacle's centre, to pass at
    # Lean to a side, see Expert.side, at which that side is taken three times out of four.
    undecided: float = 0.04


class Expert:
    """Goes to the object, predicted with its present velocity, and round the obstacle.

    A cascade from the position's error to a speed, to an acceleration, to a jerk, each within
    its bound: so that a chunk that continues committed actions after a surprise starts as
    gently as every other motion goes on.
    """

    def __init__(self, settings: ExpertSettings | None = None) -> None:
        self.settings = settings or ExpertSettings()

    def act(self, state: PlaneState, chance: Array) -> Array:
        """The action [B, 2], metres per tick.

        Args:
            state: B episodes.
            chance: uniform in (0, 1), [B]: decides the way round the obstacle where both are
                about as good; left above 0.5 where they are.
        """
        s = self.settings
        # Where the reference must be for the tool to keep up with the object.
        error = state.goal + LAG * state.velocity - state.reference
        distance = np.linalg.norm(error, axis=1)
        speed = np.minimum(
            np.minimum(s.pull * distance, np.sqrt(2.0 * s.braking * distance)), s.speed
        )
        wanted = _limited(
            state.velocity + speed[:, None] * self._heading(state, error, chance), s.speed
        )
        push = _limited(s.grip * (wanted - state.action), s.acceleration)
        jerk = _limited(push - (state.action - state.earlier), s.jerk)
        action = 2.0 * state.action - state.earlier + jerk
        return np.clip(action, -GREATEST_ACTION, GREATEST_ACTION)

    def continuation(
        self, state: PlaneState, committed: Array, delay: NDArray[np.int64], chance: Array
    ) -> Array:
        """Chunks [B, H, 2] whose first ``delay`` rows are committed and the others the expert's.

        Args:
            state: B episodes as they are observed now.
            committed: [B, H, 2]; rows from ``delay`` on are ignored.
            delay: int64 [B].
            chance: see :meth:`act`; one for the whole chunk.
        """
        chunk = np.empty_like(committed)
        for row in range(committed.shape[1]):
            fixed = (row < delay)[:, None]
            chunk[:, row] = np.where(fixed, committed[:, row], self.act(state, chance))
            state = state.after(chunk[:, row])
        return chunk

    def side(self, state: PlaneState) -> Array:
        """Which way round the obstacle the episodes lean, [B]: above 0 left, below 0 right.

        The sine of the goal's angle off the obstacle, plus the speed across the obstacle's
        direction as a share of the cruise speed. 0 where there is no obstacle.
        """
        ahead = _unit(state.obstacle - state.reference)
        toward = _unit(state.goal - state.reference)
        moving = _cross(ahead, state.action) / self.settings.speed
        # Beside the obstacle the goal lies to the side that was taken.
        return np.where(state.blocked, moving + _cross(ahead, toward), 0.0)

    def _heading(self, state: PlaneState, error: Array, chance: Array) -> Array:
        """Unit vectors [B, 2] to the object, or along the tangent that passes the obstacle."""
        s = self.settings
        straight = _unit(error)
        gap = state.obstacle - state.reference
        distance = np.maximum(np.linalg.norm(gap, axis=1), 1e-9)
        ahead = gap / distance[:, None]
        # Logistic: three to one at a lean of `undecided`, and all but certain at four times that.
        doubt = s.undecided / np.log(3.0) * np.log(chance / (1.0 - chance))
        sign = np.where(self.side(state) + doubt > 0.0, 1.0, -1.0)
        # Angles from the obstacle's direction, counted towards the side that is taken.
        goal_angle = sign * np.arctan2(_cross(ahead, straight), _dot(ahead, straight))
        tangent = np.arcsin(np.minimum(s.clearance / distance, 1.0))
        inside = np.maximum(1.0 - distance / s.clearance, 0.0)
        tangent = tangent + 1.5 * inside
        reach = np.linalg.norm(error, axis=1)
        before = reach < distance * np.cos(np.minimum(tangent, 0.5 * np.pi))
        free = ~state.blocked | before | (goal_angle > tangent) | (goal_angle < -0.5 * np.pi)
        angle = sign * np.where(free, goal_angle, tangent)
        c, k = np.cos(angle), np.sin(angle)
        turned = np.stack(
            [c * ahead[:, 0] - k * ahead[:, 1], k * ahead[:, 0] + c * ahead[:, 1]], axis=1
        )
        return np.where(free[:, None], straight, turned)


def _limited(vectors: Array, longest: float) -> Array:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    shorter: Array = vectors * np.minimum(1.0, longest / np.maximum(length, 1e-12))
    return shorter


def _unit(vectors: Array) -> Array:
    unit: Array = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return unit


def _dot(first: Array, second: Array) -> Array:
    total: Array = (first * second).sum(axis=1)
    return total


def _cross(first: Array, second: Array) -> Array:
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
