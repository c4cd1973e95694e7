"""Real-time priorities thread by thread, and a node that ends even when nothing wakes it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from vla_rl_nodes.nodes.spin import take_realtime_priority
from vla_rl_nodes.nodes.tick import TickThread

# The context ends without the executor being woken: what a signal in an unlucky moment does.
QUIET_END = """
import threading
from pathlib import Path

import rclpy
from rclpy.node import Node

from vla_rl_nodes.nodes.spin import spin


def main_waits() -> bool:
    fields = Path(f"/proc/self/task/{threading.main_thread().native_id}/stat").read_text()
    return fields.rpartition(")")[2].split()[0] == "S"


def end_quietly(spinning: threading.Event, node: Node) -> None:
    spinning.wait()
    seen = 0
    while seen < 50:  # asleep each time it is looked at: it waits in the executor
        seen = seen + 1 if main_waits() else 0
    with node.context.handle:
        node.context.handle.shutdown()


def make() -> Node:
    node = rclpy.create_node("quiet")
    spinning = threading.Event()
    guard = node.create_guard_condition(spinning.set)
    guard.trigger()
    threading.Thread(target=end_quietly, args=(spinning, node), daemon=True).start()
    return node


raise SystemExit(spin(make, []))
"""


# The context ends while the executor collects what to wait for.
END_IN_BETWEEN = """
import rclpy
from rclpy.node import Node

from vla_rl_nodes.nodes.spin import spin


class Unlucky(Node):
    spinning = False

    @property
    def timers(self):
        if self.spinning and self.context.ok():
            with self.context.handle:
                self.context.handle.shutdown()
        return super().timers

    def spins(self):
        self.spinning = True


def make() -> Node:
    node = Unlucky("unlucky")
    node.create_guard_condition(node.spins).trigger()
    return node


raise SystemExit(spin(make, []))
"""

# A callback of a live node that fails is no orderly end.
FAILING = """
import rclpy
from rclpy.node import Node

from vla_rl_nodes.nodes.spin import spin


def fail() -> None:
    raise RuntimeError("arm on fire")


def make() -> Node:
    node = rclpy.create_node("failing")
    node.create_guard_condition(fail).trigger()
    return node


raise SystemExit(spin(make, []))
"""


class _Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, line: str) -> None:
        self.lines.append(line)


class _Node:
    """As much of a node as is asked for a priority."""

    def __init__(self) -> None:
        self.log = _Log()

    def get_logger(self) -> _Log:
        return self.log


def test_the_thread_that_ticks_stands_above_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[int, tuple[int, int]] = {}

    def give(thread: int, policy: int, parameter: os.sched_param) -> None:
        given[thread] = policy, parameter.sched_priority

    monkeypatch.setattr(os, "sched_setscheduler", give)
    ticked, ending = threading.Event(), threading.Event()
    numbers: list[int] = []

    def tick(late_ns: int) -> None:
        numbers.append(threading.get_native_id())
        ticked.set()

    other = threading.Thread(target=ending.wait)
    other.start()
    ticks = TickThread(1_000_000, tick, lambda line: None)
    ticks.start()
    assert ticked.wait(5.0)
    node = _Node()
    take_realtime_priority(node, 10)
    ticks.stop()
    ending.set()
    other.join()
    assert other.native_id is not None
    assert given[numbers[0]] == (os.SCHED_FIFO, 11)
    assert given[other.native_id] == given[threading.get_native_id()] == (os.SCHED_FIFO, 10)
    assert [thread for thread, (_, own) in given.items() if own > 10] == [numbers[0]]
    assert node.log.lines == ["real-time priority 10"]


def test_without_the_right_to_it_the_node_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: int, policy: int, parameter: os.sched_param) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    node = _Node()
    take_realtime_priority(node, 10)
    assert len(node.log.lines) == 1
    assert "no real-time priority" in node.log.lines[0]


def _run(script: str) -> subprocess.CompletedProcess[bytes]:
    environment = dict(os.environ) | {"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"}
    return subprocess.run(
        [sys.executable, "-c", script], env=environment, timeout=60, capture_output=True
    )


@pytest.mark.graph
@pytest.mark.parametrize("script", [QUIET_END, END_IN_BETWEEN], ids=["unheard", "in between"])
def test_a_node_ends_in_order_whenever_its_context_ends(script: str) -> None:
    ended = _run(script)
    assert ended.returncode == 0, ended.stderr.decode()
    assert not ended.stderr


@pytest.mark.graph
def test_a_callback_that_fails_ends_the_node_with_its_error() -> None:
    ended = _run(FAILING)
    assert ended.returncode == 1
    assert b"arm on fire" in ended.stderr
