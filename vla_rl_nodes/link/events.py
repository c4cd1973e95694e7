"""The learner's log: one line per event, on stderr."""

from __future__ import annotations

import sys


def tell(line: str) -> None:
    """A line of the log, whatever is in it."""
    print("".join(c if c.isprintable() else " " for c in line), file=sys.stderr, flush=True)
