"""What an attack is made of: each event does something to the filter for some ticks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety.rig import MS, Rig
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.safety.state import Source

Array = NDArray[np.float64]

FLAWS = ("nan", "infinite", "huge", "short", "long", "names", "old", "future", "again", "burst")


class Event(Protocol):
    """One step of an attack."""

    def apply(self, rig: Rig) -> None:
        """Does it."""


@dataclass(frozen=True, eq=False)
class Drive:
    """Commands at the policy's rate, with missed and late ticks on the way.

    Attributes:
        rows: [periods, axes] shares 0..1 of the way from each axis's minimum to its maximum.
        source: whose.
        residuals: [periods, axes] shares of the axis's whole range, or None.
        rival: [periods, axes] like ``rows``, of a source that may be out of command, or None.
        skipped: [periods] ticks that are missed in each period.
        late_ms: [periods] how late the first tick of each is called.
        shift_ms: of the stamps.
    """

    rows: Array
    source: Source = Source.POLICY
    residuals: Array | None = None
    rival: Array | None = None
    skipped: tuple[int, ...] = ()
    late_ms: tuple[float, ...] = ()
    shift_ms: float = 0.0

    def apply(self, rig: Rig) -> None:
        """Offers each row when its period begins."""
        shift = round(self.shift_ms * MS)
        for i, row in enumerate(self.rows):
            while not rig.action_due:
                rig.step()
            rig.offer(self.source, values(rig, row), shift_ns=shift)
            if self.rival is not None:
                other = Source.POLICY
                if self.source is Source.POLICY:
                    other = Source.INTERVENTION
                rig.offer(other, values(rig, self.rival[i]), shift_ns=shift)
            if self.residuals is not None:
                action = rig.subject.contract.action
                span = action.maximum - action.minimum
                rig.correct((self.residuals[i] * span).tolist(), shift_ns=shift)
            skipped = self.skipped[i] if i < len(self.skipped) else 0
            late = self.late_ms[i] if i < len(self.late_ms) else 0.0
            rig.step(skipped, round(late * MS))
            while not rig.action_due:
                rig.step()


@dataclass(frozen=True)
class Flawed:
    """A command (or a residual) that no filter may take as it is."""

    flaw: str
    share: float = 0.5
    source: Source = Source.POLICY
    residual: bool = False

    def apply(self, rig: Rig) -> None:
        """Offers it now, and runs one tick."""
        row = values(rig, np.full(len(rig.names), self.share))
        names, shift = list(rig.names), 0
        match self.flaw:
            case "nan":
                row[len(row) // 2] = float("nan")
            case "infinite":
                row[-1] = float("inf")
            case "huge":
                row = [value * 1e12 for value in row]
            case "short":
                row = row[:-1]
            case "long":
                row = [*row, 0.0]
            case "names":
                names = [*names[1:], "nothing"]
            case "old":
                shift = -300 * MS
            case "future":
                shift = 250 * MS
            case "again":
                rig.offer(self.source, row)
            case "burst":
                for k in range(20):
                    rig.offer(self.source, row, shift_ns=k)
        if self.residual:
            rig.correct(row, shift_ns=shift)
        else:
            rig.offer(self.source, row, shift_ns=shift, names=names)
        rig.step()


@dataclass(frozen=True)
class Silence:
    """No commands for some ticks; ``blind``: no joint states either."""

    ticks: int
    blind: bool = False

    def apply(self, rig: Rig) -> None:
        """Ticks without input."""
        rig.blind = self.blind
        for _ in range(self.ticks):
            rig.step()
        rig.blind = False


@dataclass(frozen=True)
class Skip:
    """The filter does not run for some ticks."""

    ticks: int

    def apply(self, rig: Rig) -> None:
        """One tick after the gap."""
        rig.step(self.ticks)


@dataclass(frozen=True)
class ClockJump:
    """The clocks are set, each by so much."""

    ros_ms: float
    steady_ms: float = 0.0

    def apply(self, rig: Rig) -> None:
        """Jumps, then one tick."""
        rig.pass_time(round(self.ros_ms * MS), round(self.steady_ms * MS))
        rig.step()


@dataclass(frozen=True)
class Engage:
    """A source takes command or gives it back."""

    source: Source
    engaged: bool

    def apply(self, rig: Rig) -> None:
        """Without a tick: the next event's commands decide."""
        rig.engage(self.source, self.engaged)


@dataclass(frozen=True)
class EStop:
    """Pressed for some ticks, then released; it stays latched."""

    ticks: int

    def apply(self, rig: Rig) -> None:
        """Presses, runs, releases."""
        rig.filter.e_stop(True, rig.now)
        for _ in range(self.ticks):
            rig.step()
        rig.filter.e_stop(False, rig.now)


@dataclass(frozen=True)
class LetGo:
    """The enabling switch is let go for some ticks."""

    ticks: int

    def apply(self, rig: Rig) -> None:
        """Runs without it."""
        rig.held = False
        for _ in range(self.ticks):
            rig.step()
        rig.held = True


@dataclass(frozen=True, eq=False)
class Push:
    """A force [3] in N on the tool for some ticks, while commands go on."""

    force: Array
    drive: Drive
    silent: bool = False

    def apply(self, rig: Rig) -> None:
        """Drives under the force; ``silent``: without a measurement of it."""
        rig.force, rig.wrench_silent = self.force, self.silent
        self.drive.apply(rig)
        rig.force, rig.wrench_silent = np.zeros(3), False


@dataclass(frozen=True, eq=False)
class Tilt:
    """A legged robot's trunk tilts by ``angle`` rad about its x while commands go on."""

    angle: float
    drive: Drive

    def apply(self, rig: Rig) -> None:
        """Drives tilted."""
        rig.up = np.array([0.0, np.sin(self.angle), np.cos(self.angle)])
        self.drive.apply(rig)
        rig.up = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True, eq=False)
class Stuck:
    """The arm does not follow while commands go on."""

    drive: Drive

    def apply(self, rig: Rig) -> None:
        """Drives an arm that stands still."""
        rig.stuck = True
        self.drive.apply(rig)
        rig.stuck = False


@dataclass(frozen=True)
class Disarm:
    """An order to disarm."""

    ticks: int = 0

    def apply(self, rig: Rig) -> None:
        """Disarms, then runs."""
        rig.filter.disarm()
        for _ in range(self.ticks):
            rig.step()


@dataclass(frozen=True)
class Tighten:
    """The velocity and tool speed limits are lowered to a share of what they are."""

    share: float

    def apply(self, rig: Rig) -> None:
        """Asks for it; the filter may refuse, in words."""
        limits = rig.filter.limits
        update: dict[str, float] = {"velocity_scale": limits.velocity_scale * self.share}
        if limits.tool_speed_max is not None:
            update["tool_speed_max"] = limits.tool_speed_max * self.share
        try:
            rig.filter.tighten(limits.model_copy(update=update))
        except InputError:
            return
        rig.tightened = True


def values(rig: Rig, shares: Array) -> list[float]:
    """An action from shares 0..1 of the way from each axis's minimum to its maximum."""
    action = rig.subject.contract.action
    row: list[float] = (action.minimum + shares * (action.maximum - action.minimum)).tolist()
    return row
