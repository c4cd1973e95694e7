"""Planned times lie on the ticks' grid whatever the reading of the clocks costs."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from vla_rl_nodes.nodes.clocks import MOVED_NS, SteadyOffset
from vla_rl_nodes.safety.state import Instant

MS = 1_000_000


class Clocks:
    """A node's clock and the steady one; each reading takes some time."""

    def __init__(self, ahead_ns: int, costs_ns: list[int]) -> None:
        self.steady_ns, self.ahead_ns = 7_000 * MS, ahead_ns
        self._costs = costs_ns
        self._reads = 0

    def _pass(self) -> None:
        self.steady_ns += self._costs[self._reads % len(self._costs)]
        self._reads += 1

    def monotonic_ns(self) -> int:
        self._pass()
        return self.steady_ns

    def now(self) -> SimpleNamespace:
        self._pass()
        return SimpleNamespace(nanoseconds=self.steady_ns + self.ahead_ns)

    def get_clock(self) -> Clocks:
        return self


def test_the_quickest_reading_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(123_456 * MS, [200, 5 * MS, 300, 100, 100, 100, 9 * MS])
    monkeypatch.setattr(time, "monotonic_ns", clocks.monotonic_ns)
    offset = SteadyOffset(clocks)
    assert abs(offset.ros_ns(0) - clocks.ahead_ns) <= 100
    before = offset.ros_ns(0)
    assert offset.ros_ns(41 * MS) - before == 41 * MS


def test_a_clock_that_was_set_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(500 * MS, [50])
    monkeypatch.setattr(time, "monotonic_ns", clocks.monotonic_ns)
    offset = SteadyOffset(clocks)
    before = offset.ros_ns(0)
    near = clocks.ahead_ns + MOVED_NS // 2
    offset.follow(Instant(clocks.steady_ns + near, clocks.steady_ns))
    assert offset.ros_ns(0) == before
    clocks.ahead_ns -= 300 * MS
    offset.follow(Instant(clocks.steady_ns + clocks.ahead_ns, clocks.steady_ns))
    assert abs(offset.ros_ns(0) - clocks.ahead_ns) <= 100
