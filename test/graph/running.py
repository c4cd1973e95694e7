"""A running graph and a client of it, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vla_rl_nodes.bringup import Actor, NodeSpec, Processes, Value, graph
from vla_rl_nodes.demo.run import isolate
from vla_rl_nodes.episodes.machine import OUTCOMES
from vla_rl_nodes.nodes.driver import Driver
from vla_rl_nodes.nodes.qos import COMMAND, LATCHED, SENSOR, STREAM

isolate()

CONTRACT, ROBOT = "franka_pick", "fr3"
MOVING = 0.15  # rad/s, of the fastest joint


class Graph:
    """A running graph, a client of it, and whatever a test subscribes to or publishes."""

    def __init__(self, processes: Processes, driver: Driver, folder: Path) -> None:
        self.processes, self.driver, self.folder = processes, driver, folder
        self._publishers: dict[str, Any] = {}
        self._heard: dict[str, list[Any]] = {}

    def wait(self, condition: Callable[[], Any], timeout_s: float = 10.0, what: str = "it") -> Any:
        """What a condition gives once it is true."""
        return self.driver.wait(condition, timeout_s, what)

    def now_ns(self) -> int:
        """The nodes' clock."""
        return int(self.driver.node.get_clock().now().nanoseconds)

    def listen(self, kind: type[Any], topic: str, sensor: bool = True) -> list[Any]:
        """Collects (arrival on the nodes' clock, message) from now on; ends an earlier collection.

        One subscription a topic, however often it is called: dozens at 250 Hz would starve the
        test's own heartbeats.
        """
        known = topic in self._heard
        heard: list[Any] = []
        self._heard[topic] = heard  # a list may grow while it is read

        def keep(message: Any) -> None:
            self._heard[topic].append((self.now_ns(), message))

        if not known:
            profile = SENSOR if sensor else STREAM
            self.driver.node.create_subscription(kind, topic, keep, profile)
        return heard

    def publish(self, topic: str, message: Any) -> None:
        """Publishes once somebody listens."""
        if topic not in self._publishers:
            # Latched topics are heard only from a publisher that latches.
            profile = LATCHED if topic == "episode/state" else COMMAND
            publisher = self.driver.node.create_publisher(type(message), topic, profile)
            self._publishers[topic] = publisher
            self.wait(lambda: publisher.get_subscription_count() > 0, 10.0, f"listener of {topic}")
        self._publishers[topic].publish(message)

    def log(self, node: str) -> str:
        """Everything that a node has written."""
        path = self.folder / "logs" / f"{node}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_for_line(self, node: str, part: str, timeout_s: float = 10.0) -> str:
        """The line of a node's log that holds a text."""

        def found() -> str:
            return next((line for line in self.log(node).splitlines() if part in line), "")

        line: str = self.wait(found, timeout_s, f"'{part}' in the log of {node}")
        return line


@contextmanager
def start(
    folder: Path,
    actor: Actor = "policy",
    parameters: dict[str, dict[str, Value]] | None = None,
    without: tuple[str, ...] = (),
) -> Iterator[Graph]:
    """The whole simulated graph, up and heard."""
    parameters = dict(parameters or {})
    parameters.setdefault("recorder", {})["folder"] = str(folder / "bags")
    nodes = graph(CONTRACT, sim=True, actor=actor, parameters=parameters)
    with Processes(folder / "logs") as processes:
        processes.start([node for node in nodes if node.executable not in without], ROBOT)
        with Driver(ROBOT) as driver:
            driver.wait_until_up()
            yield Graph(processes, driver, folder)


@contextmanager
def some(folder: Path, specs: Sequence[NodeSpec], namespace: str) -> Iterator[Graph]:
    """These nodes and no others."""
    with Processes(folder / "logs") as processes:
        processes.start(specs, namespace)
        with Driver(namespace, processes.check) as driver:
            yield Graph(processes, driver, folder)


@contextmanager
def alone(folder: Path, spec: NodeSpec, namespace: str) -> Iterator[Graph]:
    """One node by itself."""
    with some(folder, [spec], namespace) as running:
        yield running


def speeds(heard: list[Any]) -> list[tuple[int, float]]:
    """(header stamp ns, largest |joint velocity| rad/s) of collected joint states."""
    rows = []
    for _, message in list(heard):
        stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        rows.append((stamp, float(np.abs(message.velocity).max())))
    return rows


def in_motion(running: Graph, joints: list[Any]) -> str:
    """The id of an episode in which the arm moves now.

    A machine that stalls for a quarter of a second ends an episode before the arm has moved, as
    it should; the next one is tried then.
    """
    driver = running.driver
    for seed in (11, 12, 13):
        episode_id = driver.start_episode(seed)

        def moves_or_is_over(episode_id: str = episode_id) -> str:
            if driver.state(episode_id) in [outcome.value for outcome in OUTCOMES]:
                return "over"
            state = driver.state(episode_id)
            moving = bool(joints) and speeds(joints)[-1][1] > MOVING
            return "moves" if state == "running" and moving else ""

        if running.wait(moves_or_is_over, 30.0, "motion") == "moves":
            return episode_id
        driver.finish(episode_id, seed, 10.0)
    raise AssertionError("three episodes ended before the arm moved")
