"""Drives episodes from a program: seeds the simulation, starts, waits for the closed bag."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from std_srvs.srv import Trigger

from vla_rl_nodes.closable import Closable
from vla_rl_nodes.episodes.machine import OUTCOMES, State
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.event import Event, from_message
from vla_rl_nodes.nodes.lean_node import LeanNode
from vla_rl_nodes.nodes.qos import LATCHED, STREAM

STEADY = 0.97  # real-time factor of a simulation that keeps up


@dataclass(frozen=True)
class EpisodeResult:
    """One finished episode and where its bag lies; None when it ended before it was recorded."""

    episode_id: str
    seed: int
    outcome: str
    reason: str
    bag: Path | None


class Driver(Closable):
    """A client of one robot's graph.

    Args:
        namespace: the robot's namespace.
        check: called while waiting; raises when the graph is broken.
    """

    def __init__(self, namespace: str, check: Callable[[], None] = lambda: None) -> None:
        self._check = check
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self.node = LeanNode("episode_driver", namespace=namespace, context=self._context)
        self._complaints = Complaints(self.node.get_logger())
        self._changed = threading.Condition()
        self._events: dict[str, Event] = {}
        self._steady_reports = 0
        for topic, profile in (
            ("episode/state", LATCHED),
            ("recorder/status", LATCHED),
            ("safety/status", STREAM),
            ("sim/status", LATCHED),
        ):
            self.node.create_subscription(
                DiagnosticArray, topic, partial(self._heard, topic), profile
            )
        self._start = self.node.create_client(Trigger, "episode/start")
        self._abort = self.node.create_client(Trigger, "episode/abort")
        self._reset = self.node.create_client(Trigger, "reset/request")
        self._parameters = {
            name: AsyncParameterClient(self.node, name) for name in ("sim_cameras", "episode")
        }
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, name="driver", daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except (ExternalShutdownException, InvalidHandle):
            return  # closed while it waited
        except AttributeError:
            # rclpy's executor has dropped its guard condition already, a race of its own.
            if self._context.ok():
                raise

    def _heard(self, topic: str, message: DiagnosticArray) -> None:
        event = from_message(message, topic, self._complaints)
        if event is not None:
            with self._changed:
                self._events[topic] = event
                if topic == "sim/status":
                    steady = _number(event.values.get("real_time_factor", "")) > STEADY
                    self._steady_reports = self._steady_reports + 1 if steady else 0
                self._changed.notify_all()

    def event(self, topic: str) -> Event | None:
        """The last event heard on ``episode/state``, ``recorder/status`` or the like."""
        with self._changed:
            return self._events.get(topic)

    def wait(self, condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
        """Waits until a condition gives something true.

        Raises:
            InputError: it did not in time, or the graph broke meanwhile.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            value = condition()
            if value:
                return value
            self._check()
            left = deadline - time.monotonic()
            if left <= 0:
                raise InputError(what, f"did not come within {timeout_s:g} s", "read the logs")
            with self._changed:
                self._changed.wait(min(left, 0.05))

    def wait_until_up(self, timeout_s: float = 60.0) -> None:
        """Waits until every node that an episode needs has been heard."""
        clients = (self._start, self._reset, *self._parameters.values())
        self.wait(
            lambda: all(
                c.services_are_ready() if isinstance(c, AsyncParameterClient)
                else c.service_is_ready() for c in clients
            ),
            timeout_s, "the graph's services",
        )  # fmt: skip
        for topic in ("episode/state", "recorder/status", "safety/status", "sim/status"):
            self.wait(partial(self.event, topic), timeout_s, topic)
        # Starting and finding each other is hard work: an episode begins when it is over.
        self.wait(lambda: self._steady_reports >= 4, timeout_s, "a simulation in real time")

    def set_parameter(self, node: str, name: str, value: bool | int) -> None:
        """Sets a parameter of ``sim_cameras`` or ``episode``.

        Raises:
            InputError: the node refused it or did not answer.
        """
        future = self._parameters[node].set_parameters([Parameter(name, value=value)])
        self.wait(future.done, 5.0, f"{node}: {name}")
        answer = future.result().results[0]
        if not answer.successful:
            raise InputError(f"{node}: {name}", answer.reason or "refused", "check the value")

    def start_episode(self, seed: int) -> str:
        """Seeds and starts an episode; returns its id while it is resetting."""
        self.set_parameter("episode", "seed", seed)
        future = self._start.call_async(Trigger.Request())
        self.wait(future.done, 5.0, "episode/start")
        response = future.result()
        if not response.success:
            raise InputError("episode/start", response.message, "wait for the last episode")
        return str(response.message)

    def abort(self) -> None:
        """Asks for the end of the episode under way."""
        future = self._abort.call_async(Trigger.Request())
        self.wait(future.done, 5.0, "episode/abort")

    def state(self, episode_id: str) -> str:
        """State of an episode, empty while nothing was heard of it."""
        event = self.event("episode/state")
        if event is None or event.values.get("episode_id") != episode_id:
            return ""
        return event.message

    def finish(self, episode_id: str, seed: int, timeout_s: float) -> EpisodeResult:
        """Waits for the outcome and for the closed bag."""
        outcomes = [state.value for state in OUTCOMES]
        self.wait(lambda: self.state(episode_id) in outcomes, timeout_s, f"{episode_id}: outcome")
        ended = self.event("episode/state")
        assert ended is not None

        def recorder() -> Event | None:
            event = self.event("recorder/status")
            return event if event and event.values.get("episode_id") == episode_id else None

        def closed() -> bool:
            event = recorder()
            return event is not None and event.message in ("closed", "failed")

        if ended.message == State.ABORTED.value and recorder() is None:
            return EpisodeResult(episode_id, seed, ended.message, ended.values["reason"], None)
        self.wait(closed, 20.0, f"{episode_id}: closed bag")
        event = recorder()
        assert event is not None
        if event.message == "failed":
            raise InputError(episode_id, event.values.get("reason", "no bag"), "check the disk")
        return EpisodeResult(
            episode_id, seed, ended.message, ended.values.get("reason", ""),
            Path(event.values["path"]),
        )  # fmt: skip

    def run_episode(self, seed: int, timeout_s: float = 60.0) -> EpisodeResult:
        """One whole episode."""
        return self.finish(self.start_episode(seed), seed, timeout_s)

    def close(self) -> None:
        """Leaves the graph."""
        self._executor.shutdown(timeout_sec=1.0)
        self._thread.join(timeout=2.0)
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
