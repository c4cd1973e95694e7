"""What happened in the last second or two, so that a person has the time to see it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


class Worst:
    """The greatest of the values of the last ``window_s`` seconds."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._values: deque[tuple[float, float]] = deque()

    def add(self, at_s: float, value: float) -> None:
        """One value; only those that may still become the greatest are kept."""
        while self._values and self._values[-1][1] <= value:
            self._values.pop()
        self._values.append((at_s, value))
        self._forget(at_s)

    def value(self, now_s: float) -> float | None:
        """The greatest; None when there is none."""
        self._forget(now_s)
        return self._values[0][1] if self._values else None

    def _forget(self, now_s: float) -> None:
        while self._values and self._values[0][0] < now_s - self._window_s:
            self._values.popleft()


class Lately:
    """The names that were said in the last ``window_s`` seconds, in the order they came first."""

    def __init__(self, window_s: float, most: int) -> None:
        self._window_s, self._most = window_s, most
        self._said: dict[str, float] = {}

    def add(self, at_s: float, names: Iterable[str]) -> None:
        """Names that are said now."""
        for name in names:
            if name in self._said or len(self._said) < self._most:
                self._said[name] = at_s

    def names(self, now_s: float) -> list[str]:
        """Those that were said lately."""
        self._said = {n: at for n, at in self._said.items() if at >= now_s - self._window_s}
        return list(self._said)
