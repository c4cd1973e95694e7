"""When the machine stood still: a process of its own that wants to wake every few milliseconds.

Run as ``python stalls.py FILE``, it appends a line to the file for each time that it was kept from
waking for :data:`STALL_S` or longer: from when until when, in seconds of the monotonic clock. It
ends with its parent.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

EVERY_S = 0.005
STALL_S = 0.1  # the filter's tick is 0.01 s, a stream's deadline from 0.1 s


def watch(file: Path) -> None:
    """Writes stalls until the parent is gone."""
    parent = os.getppid()
    with file.open("a", buffering=1, encoding="ascii") as log:
        last = time.monotonic()
        while os.getppid() == parent:
            time.sleep(EVERY_S)
            now = time.monotonic()
            if now - last - EVERY_S >= STALL_S:
                log.write(f"{last:.3f} {now:.3f}\n")
            last = now


def longest(file: Path, since_s: float, until_s: float) -> float:
    """The longest stall that overlaps a time, s; 0.0 where there was none."""
    found = 0.0
    for line in file.read_text(encoding="ascii").splitlines():
        start, end = (float(word) for word in line.split())
        if start < until_s and end > since_s:
            found = max(found, end - start)
    return found


if __name__ == "__main__":
    watch(Path(sys.argv[1]))
