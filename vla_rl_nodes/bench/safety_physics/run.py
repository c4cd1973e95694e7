"""All pushes of one robot, and what they add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vla_rl_nodes.bench.safety_physics.aims import Aim, Aims
from vla_rl_nodes.bench.safety_physics.measure import LOOK, Meter, Peaks
from vla_rl_nodes.bench.safety_physics.push import Outcome, run_push, run_unfiltered
from vla_rl_nodes.bench.safety_physics.setting import contracts, load_setting

ROBOTS = ("fr3", "panda", "ur5e", "go2")
LAG = 0.002  # m of a margin that the drives, which trail behind their commands, may use up
FULL_SPEED = 0.8  # share of a speed limit
UNFILTERED_EVERY = 10  # of so many states one is pushed from without the filter too
REST_S = 0.5  # for which an unfiltered push is held


@dataclass(frozen=True)
class PhysicsOptions:
    """How many random states, for how many simulated seconds each push, from which seed."""

    states: int
    seed: int = 0
    seconds: float = 2.5


def push_robot(
    name: str, options: PhysicsOptions, progress: Callable[[int], None] = lambda _: None
) -> dict[str, Any]:
    """Pushes a robot at everything from each state; plain numbers.

    A trial is bad that has a contact, a distance below its margin or a tool out of its box (with
    its tolerance) by more than ``LAG``, or a filter that stopped: the counts of each are
    ``contacts``, ``too_close``, ``outside`` and ``faults``.
    """
    setting = load_setting(name)
    meter = Meter(setting)
    variants = contracts(setting.robot)
    tally = Tally(setting.limits.workspace_tolerance)
    for state in range(options.states):
        contract = variants[state % len(variants)]
        aims = Aims(setting, meter, np.random.default_rng([options.seed, state]))
        start = aims.start(contract)
        for aim in aims.kinds:
            push = aims.push(aim, start, state)
            outcome = run_push(setting, contract, meter, push, options.seconds)
            label = f"state {state}, {aim}, {contract.name}"
            tally.add(aim, outcome, label)
            if state % UNFILTERED_EVERY == 0 and aim in (Aim.TABLE, Aim.BODY):
                tally.unfiltered.append(run_unfiltered(setting, meter, push, REST_S))
        progress(state + 1)
    return {"states": options.states, "pairs": len(meter.pairs), **tally.report()}


class Tally:
    """The extremes over many pushes.

    Args:
        tolerance: by which the tool may be out of its box, m.
    """

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance
        self.unfiltered: list[Peaks] = []
        self._outcomes: list[tuple[Aim, Outcome, str]] = []

    def add(self, aim: Aim, outcome: Outcome, label: str) -> None:
        """One push."""
        self._outcomes.append((aim, outcome, label))

    def report(self) -> dict[str, Any]:
        """Counts and extremes as plain numbers: mm, mrad, shares of limits."""
        rows = self._outcomes
        fast = [
            o for _, o, _ in rows
            if max(o.joint_speed, o.peaks.joint_speed, o.peaks.tool_speed) > FULL_SPEED
        ]  # fmt: skip
        bad = [
            f"{label}: {complaint}"
            for _, o, label in rows
            if (complaint := _complaint(o, self._tolerance))
        ]
        return {
            "trials": len(rows),
            "contacts": sum(o.peaks.contacts > 0 for _, o, _ in rows),
            "too_close": sum(_least(o.peaks) < -LAG for _, o, _ in rows),
            "outside": sum(_outside(o.peaks, self._tolerance) for _, o, _ in rows),
            "faults": sum(bool(o.fault) for _, o, _ in rows),
            "by_target": {a.value: _extremes([o for b, o, _ in rows if b is a])
                          for a in dict.fromkeys(a for a, _, _ in rows)},
            "all": _extremes([o for _, o, _ in rows]),
            "full_speed_share": round(len(fast) / max(len(rows), 1), 3),
            "unfiltered": {
                "trials": len(self.unfiltered),
                "with_contact": sum(p.contacts > 0 for p in self.unfiltered),
            },
            "bad": bad[:20],
        }  # fmt: skip


def _outside(peaks: Peaks, tolerance: float) -> bool:
    return peaks.box > tolerance + LAG


def _complaint(outcome: Outcome, tolerance: float) -> str:
    peaks = outcome.peaks
    if peaks.contacts:
        return f"contact of {peaks.touching}"
    if _least(peaks) < -LAG:
        table = peaks.room[True] < peaks.room[False]
        return f"{peaks.nearest[table]} {-1e3 * peaks.room[table]:.2f} mm inside the margin"
    if _outside(peaks, tolerance):
        return f"the tool {1e3 * peaks.box:.2f} mm out of its box"
    return f"stopped by {outcome.fault}" if outcome.fault else ""


def _least(peaks: Peaks) -> float:
    return min(peaks.room.values())


def _extremes(outcomes: list[Outcome]) -> dict[str, Any]:
    peaks = [outcome.peaks for outcome in outcomes]
    reasons: Counter[str] = Counter()
    for outcome in outcomes:
        reasons.update(r.name.lower() for r in outcome.reasons if r.name is not None)
    return {
        "trials": len(peaks),
        "table_room_mm": _room(peaks, table=True),
        "body_room_mm": _room(peaks, table=False),
        "commanded_room_mm": round(1e3 * min((p.asked for p in peaks), default=LOOK), 4),
        "box_overshoot_mm": _most([1e3 * p.box for p in peaks]),
        "height_overshoot_mm": _most([1e3 * p.height for p in peaks]),
        "stop_overshoot_mrad": _most([1e3 * p.stops for p in peaks]),
        "joint_speed_share": _most([p.joint_speed for p in peaks]),
        "joint_speed_commanded_share": _most([o.joint_speed for o in outcomes]),
        "tool_speed_share": _most([p.tool_speed for p in peaks]),
        "reasons": dict(sorted(reasons.items())),
    }


def _room(peaks: list[Peaks], *, table: bool) -> float | None:
    """Smallest distance less margin, mm; None where nothing came within ``LOOK`` of one."""
    least = min((p.room[table] for p in peaks), default=LOOK)
    return None if least >= LOOK else round(1e3 * least, 3)


def _most(values: list[float]) -> float | None:
    finite = [value for value in values if np.isfinite(value)]
    return round(max(finite), 4) if finite else None
