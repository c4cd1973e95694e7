"""How busy the machine was during a measurement, and the clock that it was made with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_CLOCK_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")


def clock() -> str:
    """The clock of deadlines and starts, and the hardware that it is read from."""
    return f"CLOCK_MONOTONIC on {_read(_CLOCK_SOURCE).strip() or 'unknown'}"


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


@dataclass(frozen=True)
class Load:
    """How busy the machine has been since it started, in clock ticks of all cores.

    Attributes:
        busy: not idle and not waiting for a disk, stolen time included.
        stolen: taken by the host of a virtual machine.
        total: all.
    """

    busy: int
    stolen: int
    total: int

    @classmethod
    def now(cls) -> Load:
        """From /proc/stat; zeros where there is none."""
        return cls.parse(_read(Path("/proc/stat")))

    @classmethod
    def parse(cls, text: str) -> Load:
        """From the text of /proc/stat, whose first line is, see proc(5), ``cpu`` and the times in
        user, nice, system, idle, iowait, irq, softirq and steal."""
        words = text.split("\n", 1)[0].split()
        if len(words) < 9 or words[0] != "cpu":
            return cls(0, 0, 0)
        counts = [int(word) for word in words[1:9]]
        return cls(sum(counts) - counts[3] - counts[4], counts[7], sum(counts))

    def since(self, earlier: Load) -> dict[str, float | None]:
        """Shares of the time since then, 0 to 1; None where the system does not say."""
        total = self.total - earlier.total
        if total <= 0:
            return {"cpu_busy": None, "cpu_stolen": None}
        return {
            "cpu_busy": round((self.busy - earlier.busy) / total, 4),
            "cpu_stolen": round((self.stolen - earlier.stolen) / total, 4),
        }
