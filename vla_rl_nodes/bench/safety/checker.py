"""The judge: rebuilds what a controller was made to do from the plans, and checks all of it.

Shares no code with the safety filter. It is given what a controller gets, plans (knots of
position, velocity and acceleration one period apart, of which the last rests) and the ticks at
which none came, and follows them as the controller does: joint_trajectory_controller along the
newest plan, and to its end when no other comes; a controller that is given positions or
velocities one at a time as :mod:`vla_rl_nodes.bench.safety.streams` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety.bounds import Bounds
from vla_rl_nodes.bench.safety.geometry_check import GeometryCheck, Samples
from vla_rl_nodes.bench.safety.knots import (
    PARTS,
    Broken,
    State,
    between,
    check_intervals,
    check_rest,
)
from vla_rl_nodes.bench.safety.streams import Controller, Leeway, Violation, gone_on
from vla_rl_nodes.bench.safety.surroundings import Surroundings

Array = NDArray[np.float64]

BATCH = 2000  # ticks that are checked together
TAIL_SHARE = 0.1  # of the plans whose whole tail's geometry is checked wherever it is
WIDTH = 1e-9  # m, rounding


class PlanLike(Protocol):
    """Knots [m, n]: rad, rad/s, rad/s^2."""

    @property
    def q(self) -> Array: ...
    @property
    def v(self) -> Array: ...
    @property
    def a(self) -> Array: ...


@dataclass(slots=True)
class _Entry:
    """One tick: the plan that came, where the controller was then, and how it got there."""

    tick: int
    passed: list[State]  # knots since the last tick, the one that the controller is at included
    plan: PlanLike
    rest: bool  # the plan is what was left of the one before: its rows are checked already
    width: float
    segment: int
    coasted: bool = False  # the controller left what had been planned


class Checker:
    """Judges one robot's commanded motion.

    Args:
        bounds: what it may do.
        dt: the filter's period, s.
        seed: of which tails are looked at closely.
        controller: what it does in ticks at which nothing comes.
    """

    def __init__(
        self, bounds: Bounds, dt: float, seed: int = 0, controller: Controller = "trajectory"
    ) -> None:
        self.violations: list[Violation] = []
        self.ticks = 0
        self._controller: Controller = controller
        self._leeway = Leeway()
        self._bounds, self._dt = bounds, dt
        self._geometry = GeometryCheck(bounds)
        self._random = np.random.default_rng(seed)
        self._entries: list[_Entry] = []
        self._plan: PlanLike | None = None
        self._at = 0  # the row of the plan that the controller is at
        self._width: float | None = None
        self._segment = -1
        self._measured: Array | None = None

    @property
    def surroundings(self) -> Surroundings:
        """The robot's shape, and what is around it."""
        return self._geometry.surroundings

    @property
    def excused(self) -> int:
        """Bounds that were broken because a controller coasted to where nothing was verified."""
        return self._leeway.excused

    @property
    def state(self) -> State | None:
        """Where the controller is: q, v, a [n]; None before the first start."""
        plan = self._plan
        return None if plan is None else (plan.q[self._at], plan.v[self._at], plan.a[self._at])

    def start(self, q: Array, width: float | None) -> None:
        """The filter was armed with the arm measured at rest at ``q`` [n].

        The next plan begins there, or where the controller has been holding the arm.
        """
        self._leeway.armed(self.ticks)
        if self._plan is not None and self._plan.v[self._at].any():
            self._report("start", 0.0, "armed while the controller still moves")
        self._measured, self._width = np.array(q), width
        if self._plan is None:
            self._hold(self._measured)
            self._segment = self._geometry.begin(self._measured, width or 0.0)

    def tick(self, plan: PlanLike | None, width: float | None, skipped: int = 0) -> None:
        """One tick's output, after ``skipped`` periods in which the filter did not run."""
        if self._plan is None:
            if plan is not None:
                self._report("start", 0.0, "a plan before the filter was armed")
            self.ticks += 1
            return
        if plan is not None and self._measured is not None:
            self._begin(plan, self._measured)
        coasted = skipped > 0 and self._go_on(skipped)
        last, before = self._plan, self._at
        # The first row is where the controller is when the next tick is due.
        at = min(before + (0 if coasted else skipped), len(last.q) - 1)
        then = min(at + 1, len(last.q) - 1)
        passed = [(last.q[row], last.v[row], last.a[row]) for row in range(before, at + 1)]
        if plan is None:
            self._at, rest = then, True
            plan = _Rows(last.q[then:], last.v[then:], last.a[then:])
        else:
            rest = _is_rest(plan, last, then)
            self._plan, self._at = plan, 0
        if rest and not coasted:
            self._leeway.follows(self.ticks)
        self._gripper(width, skipped)
        shown = 0.0 if self._width is None else self._width
        if coasted:  # what is too close where it will come to rest was so through no fault
            self._segment = self._geometry.begin(plan.q[-1], shown)
        self._entries.append(_Entry(self.ticks, passed, plan, rest, shown, self._segment, coasted))
        self.ticks += 1
        if len(self._entries) >= BATCH:
            self.flush()

    def _begin(self, plan: PlanLike, measured: Array) -> None:
        """A segment begins at whichever of the two places the plan leads back to.

        From rest, a constant jerk reaches the first knot's acceleration a over a sixth of
        ``a * dt * dt``.
        """
        assert self._plan is not None
        held = self._plan.q[self._at]
        start = plan.q[0] - plan.a[0] * (self._dt * self._dt / 6.0)
        if np.abs(start - measured).max() < np.abs(start - held).max():
            self._hold(measured)
        self._measured = None
        width = 0.0 if self._width is None else self._width
        self._segment = self._geometry.begin(self._plan.q[self._at], width)

    def _go_on(self, skipped: int) -> bool:
        """Lets the controller go on by itself; whether that was not along the plan."""
        assert self._plan is not None
        q, v = self._plan.q[self._at], self._plan.v[self._at]
        there = gone_on(self._controller, q, v, skipped * self._dt)
        if there is None or not v.any():
            return False
        zero = np.zeros(len(q))
        self._plan, self._at = _Rows(*(row[np.newaxis] for row in (*there, zero))), 0
        self._leeway.coasted(self.ticks)
        return True

    def _hold(self, q: Array) -> None:
        still = np.zeros((1, len(q)))
        self._plan, self._at = _Rows(q[np.newaxis], still, still), 0

    def flush(self) -> None:
        """Checks what is pending."""
        entries, self._entries = self._entries, []
        if not entries:
            return
        before, self.violations = self.violations, []
        fresh = [entry for entry in entries if not entry.rest]
        if fresh:
            self._check_plans(fresh)
        self._check_geometry(entries)
        self.violations = [*before, *self._leeway.judge(self.violations, self.ticks)]
        self._geometry.forget(entries[-1].segment)

    def _gripper(self, width: float | None, skipped: int) -> None:
        before, self._width = self._width, self._width if width is None else width
        if width is None or before is None:
            return
        bounds = self._bounds
        step = abs(width - before) - bounds.width_speed * self._dt * (1 + skipped) - WIDTH
        if not step <= 0.0:
            self._report("gripper", step, "faster than it may")
        if not -WIDTH <= width <= max(bounds.width_max, before) + WIDTH:
            self._report("gripper", width, "wider than it opens")

    def _check_plans(self, entries: Sequence[_Entry]) -> None:
        """All rows of all plans, from where the controller was to rest."""
        ends = tuple(
            np.concatenate([getattr(entry.plan, key) for entry in entries]) for key in "qva"
        )
        lengths = np.array([len(entry.plan.q) for entry in entries])
        last = np.cumsum(lengths) - 1
        first = last - lengths + 1
        starts = []
        for i, end in enumerate(ends):
            start = np.empty_like(end)
            start[1:] = end[:-1]
            start[first] = [entry.passed[-1][i] for entry in entries]
            starts.append(start)
        owner = np.repeat(np.arange(len(entries)), lengths)
        broken = check_intervals(
            self._bounds, (starts[0], starts[1], starts[2]), (ends[0], ends[1], ends[2]), self._dt
        )
        for fault in broken:
            entry = int(owner[fault.row])
            self._add(fault, entries[entry].tick, tail=fault.row > first[entry])
        for fault in check_rest(ends[1][last], ends[2][last]):
            self._add(fault, entries[fault.row].tick, tail=True)

    def _check_geometry(self, entries: Sequence[_Entry]) -> None:
        driven = _Intervals()
        for entry in entries:
            for start, end in pairwise(entry.passed):
                driven.add(entry, start, end)
            plan = entry.plan
            driven.add(entry, entry.passed[-1], (plan.q[0], plan.v[0], plan.a[0]))
        close: set[int] = set()
        for samples, knots in driven.samples(self._dt):
            found, near = self._geometry.check(samples, knots)
            for fault in found:
                self._add(fault, samples.ticks[fault.row], tail=False)
            close.update(samples.ticks[i] for i in np.flatnonzero(near))
        drawn = self._random.random(len(entries)) < TAIL_SHARE
        tails = [
            entry for entry, by_chance in zip(entries, drawn, strict=True)
            if len(entry.plan.q) > 1
            and (by_chance or entry.coasted or (entry.tick in close and not entry.rest))
        ]  # fmt: skip
        if not tails:
            return
        samples = Samples(
            np.concatenate([entry.plan.q[1:] for entry in tails]),
            np.concatenate([entry.plan.v[1:] for entry in tails]),
            np.concatenate([np.full(len(entry.plan.q) - 1, entry.width) for entry in tails]),
            np.concatenate([np.full(len(entry.plan.q) - 1, entry.segment) for entry in tails]),
            [entry.tick for entry in tails for _ in range(len(entry.plan.q) - 1)],
        )
        found, _ = self._geometry.check(samples, knots=True)
        for fault in found:
            self._add(fault, samples.ticks[fault.row], tail=True)

    def _add(self, fault: Broken, tick: int, *, tail: bool) -> None:
        self.violations.append(Violation(fault.kind, tick, tail, fault.excess, fault.detail))

    def _report(self, kind: str, excess: float, detail: str) -> None:
        self.violations.append(Violation(kind, self.ticks, False, float(excess), detail))


class _Rows(NamedTuple):
    q: Array
    v: Array
    a: Array


class _Intervals:
    """Pieces of motion that were really driven."""

    def __init__(self) -> None:
        self._starts: list[State] = []
        self._ends: list[State] = []
        self._entries: list[_Entry] = []

    def add(self, entry: _Entry, start: State, end: State) -> None:
        self._starts.append(start)
        self._ends.append(end)
        self._entries.append(entry)

    def samples(self, dt: float) -> list[tuple[Samples, bool]]:
        """The ends of all pieces, and places between; whether they are knots."""
        start = tuple(np.array([s[i] for s in self._starts]) for i in range(3))
        end = tuple(np.array([s[i] for s in self._ends]) for i in range(3))
        width = np.array([entry.width for entry in self._entries])
        segment = np.array([entry.segment for entry in self._entries])
        ticks = [entry.tick for entry in self._entries]
        # A piece that stands still looks the same throughout.
        moving = np.flatnonzero((start[0] != end[0]).any(axis=1))
        found = [(Samples(end[0], end[1], width, segment, ticks), True)]
        if len(moving):
            moved = [ticks[i] for i in moving]
            a, b = tuple(x[moving] for x in start), tuple(x[moving] for x in end)
            for part in PARTS:
                q, v = between((a[0], a[1], a[2]), (b[0], b[1], b[2]), dt, part)
                found.append((Samples(q, v, width[moving], segment[moving], moved), False))
        return found


def _is_rest(plan: PlanLike, last: PlanLike, row: int) -> bool:
    """Whether a plan is, bit for bit, what is left of the one before."""
    return len(plan.q) == len(last.q) - row and all(
        np.array_equal(getattr(plan, key), getattr(last, key)[row:]) for key in "qva"
    )
