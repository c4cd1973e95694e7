"""One clear line for each kind of bad input, and then a count instead of a flood."""

from __future__ import annotations

import threading
import time
from typing import Any

REPEAT_AFTER_NS = 5_000_000_000


class Complaints:
    """Logs the first occurrence of a line at once and repeats it at most every five seconds.

    Args:
        logger: an rclpy logger.
    """

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._lock = threading.Lock()
        self._said: dict[str, tuple[int, int]] = {}

    def say(self, line: object, kind: str | None = None) -> None:
        """Logs a line; lines of one ``kind`` (by default the line itself) count together."""
        text = " ".join(str(line).split())
        key = text if kind is None else kind
        now = time.monotonic_ns()
        with self._lock:
            if key not in self._said and len(self._said) >= 500:
                self._said.clear()  # hostile input must not grow this for ever
            said_ns, silent = self._said.get(key, (None, 0))
            if said_ns is not None and now - said_ns < REPEAT_AFTER_NS:
                self._said[key] = (said_ns, silent + 1)
                return
            self._said[key] = (now, 0)
        again = f" ({silent} more like it since)" if silent else ""
        self._logger.warning(text + again)
