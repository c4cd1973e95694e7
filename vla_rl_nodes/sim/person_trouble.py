"""What can become of a SpaceMouse while somebody has a hand on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.sim.person import Deed, Hands
from vla_rl_nodes.sim.person_hand import AXES

TROUBLES = ("unplugged", "frozen", "noisy", "nan")
AFTER_S = 0.6  # from the take-over
LASTS_S = 2.5


@dataclass(frozen=True)
class Reading:
    """What the device's driver says: six axes, -1 to 1 where it is well, and two buttons."""

    axes: NDArray[np.float64]
    buttons: tuple[int, int]


class Trouble:
    """Comes once an episode, in the middle of its first help, and is over after a while.

    ``unplugged``: nothing is said any more. ``frozen``: the same reading again and again.
    ``noisy``: full deflections one way and the other at random. ``nan``: axes that are no numbers.

    Args:
        kind: one of :data:`TROUBLES`, or empty for none.
        seed: of the noise.

    Raises:
        InputError: no such kind.
    """

    def __init__(self, kind: str, seed: int) -> None:
        if kind not in ("", *TROUBLES):
            raise InputError(f"trouble '{kind}'", "is unknown", f"give one of {TROUBLES}")
        self._kind, self._rng = kind, np.random.default_rng([seed, 0x7B0B])
        self.start()

    def start(self) -> None:
        """A new episode."""
        self._begins_s = np.inf
        self._frozen: Reading | None = None
        self._on = False
        self._deeds: list[tuple[float, str]] = []

    def deeds(self, episode: str) -> list[Deed]:
        """When it began and ended, since the last call, for the record."""
        found = [Deed(at, what, episode, self._kind, at) for at, what in self._deeds]
        self._deeds = []
        return found

    def reading(self, now_s: float, hands: Hands, deeds: Sequence[Deed]) -> Reading | None:
        """What the driver says of the hands; None where it says nothing.

        Args:
            now_s: s.
            hands: what a device that is well would read.
            deeds: what the person has done since the last call.
        """
        well = Reading(hands.axes, hands.buttons)
        if not self._kind:
            return well
        if self._begins_s == np.inf and any(deed.what == "take_over" for deed in deeds):
            self._begins_s = now_s + AFTER_S
        on = self._begins_s <= now_s < self._begins_s + LASTS_S
        if on != self._on:
            self._on, self._frozen = on, well
            self._deeds.append((now_s, "trouble" if on else "trouble_over"))
        if not on:
            return well
        if self._kind == "unplugged":
            return None
        if self._kind == "frozen":
            return self._frozen
        if self._kind == "nan":
            return Reading(np.full(AXES, np.nan), hands.buttons)
        return Reading(self._rng.choice([-1.0, 1.0], AXES), hands.buttons)
