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
from vla_rl_nodes.bench.safety_physics.setting import Setting, contracts, load_setting

ROBOTS = ("fr3", "panda", "ur5e", "go2")
FULL_SPEED = 0.8  # share of a speed limit
UNFILTERED_EVERY = 10  # of so many states one is pushed from without the filter too
REST_S = 0.5  # for which an unfiltered push is held


@dataclass(frozen=True)
class PhysicsOptions:
    """How much is pushed.

    Attributes:
        states: how many random states.
        seed: of all that is drawn.
        seconds: simulated, of each push.
        targets: how many of the targets each state is pushed at, by turns; None: at all.
    """

    states: int
    seed: int = 0
    seconds: float = 2.5
    targets: int | None = None


def push_robot(
    name: str, options: PhysicsOptions, progress: Callable[[int], None] = lambda _: None
) -> dict[str, Any]:
    """Pushes a robot at everything from each state; plain numbers.

    A trial is bad that has a contact; a distance below its margin, or a tool or a trunk out of
    its limits, by more than the drives may use up; or a filter that stopped. The counts of each
    are ``contacts``, ``too_close``, ``outside`` and ``faults``.
    """
    setting = load_setting(name)
    meter = Meter(setting)
    variants = contracts(setting.robot)
    tally = Tally(setting)
    for state in range(options.states):
        contract = variants[state % len(variants)]
        aims = Aims(setting, meter, np.random.default_rng([options.seed, state]))
        start = aims.start(contract)
        first = state % len(aims.kinds)
        by_turns = aims.kinds[first:] + aims.kinds[:first]
        for aim in by_turns[: options.targets]:
            push = aims.push(aim, start, state)
            outcome = run_push(setting, contract, meter, push, options.seconds)
            label = f"state {state}, {aim}, {contract.name}"
            tally.add(aim, outcome, label)
            if state % UNFILTERED_EVERY == 0 and aim in (Aim.TABLE, Aim.BODY):
                tally.unfiltered.append(run_unfiltered(setting, meter, push, REST_S))
        progress(state + 1)
    return {
        "states": options.states,
        "pairs": len(meter.pairs),
        "allowance_mm": 1e3 * setting.allowance,
        **tally.report(),
    }


class Tally:
    """The extremes over many pushes.

    Args:
        setting: how much the drives may trail.
    """

    def __init__(self, setting: Setting) -> None:
        self._allowance = setting.allowance
        self._outermost = setting.limits.workspace_tolerance + setting.allowance
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
            f"{label}: {complaint}" for _, o, label in rows if (complaint := self._complaint(o))
        ]
        return {
            "trials": len(rows),
            "contacts": sum(o.peaks.contacts > 0 for _, o, _ in rows),
            "too_close": sum(_least(o.peaks) < -self._allowance for _, o, _ in rows),
            "outside": sum(self._outside(o.peaks) for _, o, _ in rows),
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

    def _outside(self, peaks: Peaks) -> bool:
        return peaks.box > self._outermost or peaks.height > self._allowance

    def _complaint(self, outcome: Outcome) -> str:
        """What is wrong with a push; empty: nothing."""
        peaks = outcome.peaks
        if peaks.contacts:
            return f"contact of {peaks.touching}"
        if _least(peaks) < -self._allowance:
            table = peaks.room[True] < peaks.room[False]
            return f"{peaks.nearest[table]} {-1e3 * peaks.room[table]:.2f} mm inside the margin"
        if self._outside(peaks):
            return f"tool or trunk {1e3 * max(peaks.box, peaks.height):.2f} mm out of its limits"
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
