"""Hours of ordinary motion through one filter: what a tick costs, and whether memory grows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety.events import values
from vla_rl_nodes.bench.safety.figures import Figures
from vla_rl_nodes.bench.safety.rig import Rig
from vla_rl_nodes.bench.safety.subjects import Subject
from vla_rl_nodes.safety.state import Source, State

Array = NDArray[np.float64]

SHARE = 0.03  # of each axis's range, the amplitude: within all limits
PERIODS = (2.1, 2.7, 3.3, 3.9, 4.7, 5.3)  # s, of the axes in turn: a curve that comes back
LOOKS = 90  # at the memory


def steady(subject: Subject, ticks: int, told: Callable[[int], None]) -> dict[str, Any]:
    """Moves along one smooth curve for so many ticks of one filter.

    Returns:
        Ticks, percentiles of a tick's time in us, the share of ticks in motion, how often the
        filter was not armed, violations that the judge found, memory growth in KiB.
    """
    figures = Figures()
    rig = Rig(subject, figures)
    rig.carry_to(subject.robot.home)
    rig.step()
    rig.arm()
    begun, found, astray = figures.ticks, 0, 0
    resident: list[int] = []
    every = max(ticks // LOOKS, 1)
    while (done := figures.ticks - begun) < ticks:
        if rig.action_due:
            rig.offer(Source.POLICY, values(rig, _curve(rig, done * subject.dt)))
        rig.step()
        astray += rig.filter.state is not State.ARMED
        if done % every == 0:
            found += len(rig.violations())
            resident.append(resident_kib())
            told(done)
    found += len(rig.violations())
    report = figures.report()
    kept = ("p50_us", "p99_us", "cpu_p50_us", "cpu_p99_us", "max_us", "moving_share")
    return {
        "contract": subject.name,
        "ticks": ticks,
        "violations": found,
        "not_armed": astray,
        "memory_growth_kib": growth(resident),
        **{key: report[key] for key in kept},
    }


def _curve(rig: Rig, seconds: float) -> Array:
    """An action as shares of its ranges: the same way back as there."""
    action = rig.subject.contract.action
    row = np.full(len(action.axes), 0.5)
    for axis, name in enumerate(action.names):
        period = PERIODS[axis % len(PERIODS)]
        if name == "gripper_width":
            row[axis] = 0.5 + 0.4 * np.sin(2.0 * np.pi * seconds / 7.0)
        else:
            row[axis] += SHARE * np.cos(2.0 * np.pi * seconds / period)
    return row


def growth(resident: Sequence[int]) -> int:
    """By how much the memory grew, KiB: the median of the last third over that of the middle
    third; the first third warms up, and single looks differ by what the judge holds."""
    third = len(resident) // 3
    if third == 0:
        return 0
    return int(np.median(resident[-third:]) - np.median(resident[-2 * third : -third]))


def resident_kib() -> int:
    """Memory that this process holds, KiB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("the kernel tells no VmRSS")
