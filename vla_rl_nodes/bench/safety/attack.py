"""Draws attacks: what a policy, a network, a clock, an operator and an arm could do wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety.aim import Aimed
from vla_rl_nodes.bench.safety.events import (
    FLAWS,
    ClockJump,
    Disarm,
    Drive,
    Engage,
    EStop,
    Event,
    Flawed,
    LetGo,
    Push,
    Silence,
    Skip,
    Stuck,
    Tighten,
    Tilt,
)
from vla_rl_nodes.bench.safety.resets import Joints, Pause
from vla_rl_nodes.safety.state import Source

Array = NDArray[np.float64]

TROUBLE = 0.25  # how often something other than commands follows


class Attacker:
    """Endless events for one rig, from a random generator.

    Args:
        axes: of an action.
        absolute: whether actions say where the joints go, not by how much.
        random: all that is drawn.
        joints: how many a reset may command.
    """

    def __init__(
        self, axes: int, absolute: bool, random: np.random.Generator, joints: int
    ) -> None:
        self._axes, self._absolute, self._random = axes, absolute, random
        self._joints = joints
        self._styles: tuple[Callable[[int], Array], ...] = (
            self._extremes, self._bang_bang, self._walk, self._noise, self._chunks, self._one_axis,
        )  # fmt: skip
        self._troubles: tuple[Callable[[], Iterator[Event]], ...] = (
            self._flaw, self._skip, self._late, self._silence, self._clock, self._hand_over,
            self._press, self._let_go, self._push, self._tilt, self._stuck, self._disarm,
            self._blind, self._stamps, self._tighten, self._reset, self._pause,
        )  # fmt: skip

    def scenario(self, events: int) -> Iterator[Event]:
        """Commands of one style, corrected by residuals or not, and some trouble."""
        random = self._random
        style = self._styles[random.integers(len(self._styles))]
        storm = random.random() < 0.3
        troubles = random.choice(len(self._troubles), 3, replace=False)
        trouble = TROUBLE if random.random() < 0.7 else 0.0
        aimed = 0.4 if random.random() < 0.4 else 0.0
        for _ in range(events):
            if random.random() < aimed:
                yield self._aimed()
            else:
                yield self._drive(style, storm)
            if random.random() < trouble:
                yield from self._troubles[random.choice(troubles)]()

    def _drive(self, style: Callable[[int], Array] | None = None, storm: bool = False) -> Drive:
        random = self._random
        if style is None:
            style = self._styles[random.integers(len(self._styles))]
        periods = int(random.integers(3, 16))
        residuals = None
        if storm:
            size = random.choice((0.02, 0.2, 5.0))
            residuals = size * random.standard_normal((periods, self._axes))
            if random.random() < 0.1:
                residuals[random.integers(periods), 0] = np.nan
        return Drive(style(periods), residuals=residuals)

    def _aimed(self) -> Aimed:
        random = self._random
        periods, choice = int(random.integers(3, 20)), float(random.random())
        return Aimed(periods, choice, limits=bool(random.random() < 0.3))

    def _corner(self) -> Array:
        return self._random.integers(0, 2, self._axes).astype(np.float64)

    def _extremes(self, periods: int) -> Array:
        return np.tile(self._corner(), (periods, 1))

    def _bang_bang(self, periods: int) -> Array:
        corner, every = self._corner(), int(self._random.choice((1, 1, 2, 3)))
        flips = (np.arange(periods) // every) % 2
        return np.asarray(np.where(flips[:, None] == 1, 1.0 - corner, corner))

    def _walk(self, periods: int) -> Array:
        random = self._random
        steps = random.uniform(0.02, 0.3) * random.standard_normal((periods, self._axes))
        return np.clip(random.uniform(0.2, 0.8, self._axes) + np.cumsum(steps, axis=0), 0.0, 1.0)

    def _noise(self, periods: int) -> Array:
        return self._random.uniform(-0.1, 1.1, (periods, self._axes))

    def _chunks(self, periods: int) -> Array:
        """Smooth chunks, each beginning elsewhere than the one before ended."""
        random = self._random
        rows: list[Array] = []
        while len(rows) < periods:
            start, end = random.uniform(0.0, 1.0, (2, self._axes))
            length = int(random.integers(2, 9))
            rows += list(start + np.linspace(0.0, 1.0, length)[:, None] * (end - start))
        return np.array(rows[:periods])

    def _one_axis(self, periods: int) -> Array:
        """One axis as far as it goes, the others where they are: pushes into whatever is there."""
        random = self._random
        row = random.uniform(0.0, 1.0, self._axes) if self._absolute else np.full(self._axes, 0.5)
        row[random.integers(self._axes)] = float(random.integers(2))
        return np.tile(row, (periods, 1))

    def _flaw(self) -> Iterator[Event]:
        random = self._random
        for _ in range(int(random.integers(1, 4))):
            flaw = FLAWS[random.integers(len(FLAWS))]
            yield Flawed(flaw, random.uniform(), residual=bool(random.random() < 0.2))

    def _skip(self) -> Iterator[Event]:
        yield Skip(int(self._random.choice((1, 1, 2, 3, 5, 8, 9, 12, 15))))

    def _late(self) -> Iterator[Event]:
        random = self._random
        drive = self._drive()
        count = len(drive.rows)
        late = tuple(float(x) for x in random.exponential(4.0, count))
        skipped = tuple(int(x) for x in random.integers(0, 4, count))
        yield Drive(drive.rows, skipped=skipped, late_ms=late)

    def _stamps(self) -> Iterator[Event]:
        drive = self._drive()
        yield Drive(drive.rows, shift_ms=float(self._random.uniform(-110.0, 18.0)))

    def _silence(self) -> Iterator[Event]:
        yield Silence(int(self._random.choice((3, 10, 14, 40))))

    def _blind(self) -> Iterator[Event]:
        yield Silence(int(self._random.integers(2, 9)), blind=True)

    def _clock(self) -> Iterator[Event]:
        size = float(self._random.choice((-2000.0, -60.0, -15.0, 5.0, 15.0, 60.0, 5000.0)))
        yield ClockJump(size, float(self._random.choice((0.0, 0.0, max(size, 0.0)))))

    def _hand_over(self) -> Iterator[Event]:
        random = self._random
        other = Source.INTERVENTION if random.random() < 0.8 else Source.RESET
        yield Engage(other, True)
        drive = self._drive()
        yield Drive(drive.rows, source=other, rival=self._bang_bang(len(drive.rows)))
        yield Engage(other, False)

    def _reset(self) -> Iterator[Event]:
        """Joints to one place after the other, or all over the place."""
        random = self._random
        periods = int(random.integers(6, 40))
        places = random.uniform(-0.05, 1.05, (int(random.integers(1, 5)), self._joints))
        rows = places[np.arange(periods) * len(places) // periods]
        flaw = float(random.choice((np.nan, np.inf, 1e9))) if random.random() < 0.15 else None
        reach = float(random.choice((0.02, 0.1, 1.0)))
        yield Joints(rows, reach, flaw, rival=bool(random.random() < 0.3))

    def _pause(self) -> Iterator[Event]:
        yield Pause(int(self._random.choice((0, 1, 5, 40))))

    def _press(self) -> Iterator[Event]:
        yield EStop(int(self._random.integers(0, 12)))

    def _let_go(self) -> Iterator[Event]:
        yield LetGo(int(self._random.integers(1, 30)))

    def _push(self) -> Iterator[Event]:
        size = float(self._random.choice((5.0, 30.0, 61.0, 200.0)))
        way = self._random.standard_normal(3)
        silent = bool(self._random.random() < 0.1)
        yield Push(size * way / np.linalg.norm(way), self._drive(), silent)

    def _tilt(self) -> Iterator[Event]:
        yield Tilt(float(self._random.uniform(-0.6, 0.6)), self._drive())

    def _stuck(self) -> Iterator[Event]:
        yield Stuck(self._drive())

    def _tighten(self) -> Iterator[Event]:
        yield Tighten(float(self._random.uniform(0.3, 1.0)))

    def _disarm(self) -> Iterator[Event]:
        yield Disarm(int(self._random.integers(0, 5)))
