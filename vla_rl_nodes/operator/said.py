"""What was heard of the graph, as plain values, and how it is read without trusting it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

LONGEST_TEXT = 240

WARN, ERROR = 1, 2


@dataclass(frozen=True)
class Said:
    """An event of a node.

    Attributes:
        message: its state in a word.
        values: as text.
        level: 0 good, 1 warning, 2 error.
        stamp_ns: of its header, nodes' clock.
        version: of what acts, where the event names one.
        at_s: when it came, steady clock.
    """

    message: str
    values: Mapping[str, str] = field(default_factory=dict)
    level: int = 0
    stamp_ns: int = 0
    version: str = ""
    at_s: float = 0.0

    def text(self, key: str) -> str:
        """A value, not longer than a page has room for."""
        return shortened(self.values.get(key, ""))

    def number(self, key: str) -> float | None:
        """A value as a finite number, if it is one."""
        return finite(self.values.get(key, ""))

    def flag(self, key: str) -> bool:
        """Whether a value says yes."""
        return self.values.get(key, "") == "1"


def shortened(text: str) -> str:
    """One line of bounded length."""
    line = " ".join(text[: 4 * LONGEST_TEXT].split())
    return line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 1] + "…"


def finite(text: str) -> float | None:
    """The finite number that a text is, if it is one."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
