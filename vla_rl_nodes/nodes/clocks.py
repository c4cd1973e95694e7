"""The two clocks of a node: the one that stamps messages, and the steady one that ticks count."""

from __future__ import annotations

import time

from rclpy.node import Node

from vla_rl_nodes.safety.state import Instant

READS = 5  # of both clocks; the quickest says best how far apart they are
MOVED_NS = 200_000  # a smaller change is the reading's own error


def instant(node: Node) -> Instant:
    """Now, on both clocks."""
    return Instant(node.get_clock().now().nanoseconds, time.monotonic_ns())


class SteadyOffset:
    """How far the node's clock is ahead of the steady one, ns.

    Both run at the same rate on Linux; they drift apart only when the node's clock is set. To
    read them takes a moment, and a busy machine may put a pause in between, so the offset is
    measured once and kept: stamps that are made with it lie on the ticks' own grid exactly.

    Args:
        node: its clock.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._offset_ns = self._measure()

    def _measure(self) -> int:
        best: tuple[int, int] | None = None
        for _ in range(READS):
            before = time.monotonic_ns()
            now = self._node.get_clock().now().nanoseconds
            after = time.monotonic_ns()
            if best is None or after - before < best[0]:
                best = (after - before, now - (before + after) // 2)
        assert best is not None
        return best[1]

    def follow(self, now: Instant) -> None:
        """Measures again where the clock was set meanwhile. Only while nothing moves."""
        if abs(now.ros_ns - now.steady_ns - self._offset_ns) > MOVED_NS:
            self._offset_ns = self._measure()

    def ros_ns(self, steady_ns: int) -> int:
        """A time of the steady clock on the node's clock."""
        return steady_ns + self._offset_ns
