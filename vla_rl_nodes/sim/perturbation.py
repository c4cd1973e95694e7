"""Disturbances of a demonstration, so that its states cover what a learned policy runs into."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

# Greatest residual per tick on tool x, y, z (m), yaw (rad) and gripper width (m).
RESIDUAL_BOUND = (0.012, 0.012, 0.012, 0.08, 0.08)
FULL_WIDTH = 0.08


@dataclass(frozen=True)
class PerturbationSettings:
    """How an episode is disturbed; times in control ticks."""

    correlation: float = 0.8  # of the noise from one tick to the next
    # Of the noise at the highest level, per tick: x, y, z in m, yaw in rad. Less along z: pressing
    # the hand on the table teaches nothing and trips the safety filter.
    deviation: tuple[float, float, float, float] = (0.007, 0.007, 0.004, 0.045)
    kick_chance: float = 0.035  # that a kick starts at a tick
    kick_ticks: tuple[int, int] = (3, 6)
    burst_chance: float = 0.025  # that a wrong gripper command starts at a tick
    burst_ticks: tuple[int, int] = (2, 6)
    quiet_from: tuple[int, int] = (35, 60)  # nothing is disturbed from some tick in this range on


class Perturbation:
    """The residual to add to the expert's clean action, tick by tick, of one episode.

    Noise that is correlated in time with a level drawn per episode, kicks of the tool that last a
    few ticks, and short spells in which the gripper is told the opposite. All of it is drawn from
    the seed at once: the same seed gives the same episode, and late ticks are quiet, so that the
    expert has the time to finish.

    Args:
        seed: of the episode.
        ticks: control ticks that an episode can last.
        settings: how strong and how frequent.
    """

    def __init__(
        self, seed: int, ticks: int = 120, settings: PerturbationSettings | None = None
    ) -> None:
        s = settings or PerturbationSettings()
        rng = np.random.default_rng([seed, 0x9E27])
        bound = np.array(RESIDUAL_BOUND)
        self.level = float(rng.uniform())
        self.quiet_from = int(rng.integers(*s.quiet_from))
        self._residual = np.zeros((ticks, 5))
        self._opposite = np.zeros(ticks, dtype=np.bool_)
        scale = self.level * np.array(s.deviation)
        noise = rng.standard_normal(4)
        for tick in range(min(self.quiet_from, ticks)):
            fresh = rng.standard_normal(4)
            noise = s.correlation * noise + np.sqrt(1.0 - s.correlation**2) * fresh
            self._residual[tick, :4] += scale * noise
            if rng.uniform() < s.kick_chance:
                end = min(tick + int(rng.integers(*s.kick_ticks)), self.quiet_from)
                self._residual[tick:end, :4] += rng.uniform(-1.0, 1.0, 4) * bound[:4]
            if rng.uniform() < s.burst_chance:
                end = min(tick + int(rng.integers(*s.burst_ticks)), self.quiet_from)
                self._opposite[tick:end] = True
        self._residual = np.clip(self._residual, -bound, bound)

    def residual(self, tick: int, clean: Vector) -> Vector:
        """The residual [5] at a tick for the clean action [5], in the action's units.

        Each component stays within :data:`RESIDUAL_BOUND`. In a wrong-gripper spell the sum of
        both is the mirrored width: closed where the expert opens, and the other way round.
        """
        if tick >= len(self._residual):
            return np.zeros(5)
        residual = self._residual[tick].copy()
        if self._opposite[tick]:
            residual[4] = np.clip(FULL_WIDTH - 2.0 * clean[4], -FULL_WIDTH, FULL_WIDTH)
        return np.asarray(residual)
