"""Whatever an episode node needs to hear, said by a test: policy, filter, recorder and reset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.task import Future
from std_srvs.srv import Trigger

from vla_rl_nodes.nodes.event import Event, from_message, to_message
from vla_rl_nodes.nodes.qos import LATCHED, STREAM
from vla_rl_nodes.nodes.vector import vector_message

from .running import Graph

TICK_S = 0.05
RESET = "mode=start attempts=2 seconds=1.5"


@dataclass
class FakeRobot:
    """Says at 20 Hz that policy and filter live, records every episode, and answers resets.

    Attributes:
        graph: with the episode node, and a client of it.
        filter_says: state of the filter; None: it is silent.
        filter_reasons: of its status.
        policy_lives: whether the policy ticks while an episode runs and is not paused.
        recorder_lives: whether it records what becomes ready.
        reset_says: whether resets succeed, and the answer; None: they are never over.
        retreat_says: the same of a retreat.
        asked: the calls of reset services, in order.
        ticks: stamps of the policy's ticks.
    """

    graph: Graph
    filter_says: str | None = "armed"
    filter_reasons: str = ""
    policy_lives: bool = True
    recorder_lives: bool = True
    reset_says: tuple[bool, str] | None = (True, RESET)
    retreat_says: tuple[bool, str] | None = (True, "retreated")
    asked: list[str] = field(default_factory=list)
    ticks: list[int] = field(default_factory=list)
    states: list[Event] = field(default_factory=list)
    labels: list[Event] = field(default_factory=list)
    waiting: list[Future] = field(default_factory=list)

    def __post_init__(self) -> None:
        node = self.graph.driver.node
        self._policy = node.create_publisher(DiagnosticArray, "policy/status", STREAM)
        self._filter = node.create_publisher(DiagnosticArray, "safety/status", STREAM)
        self._recorder = node.create_publisher(DiagnosticArray, "recorder/status", LATCHED)
        self._reset_status = node.create_publisher(DiagnosticArray, "reset/status", LATCHED)
        self._clients = {
            name: node.create_client(Trigger, f"episode/{name}")
            for name in ("start", "success", "failure", "abort", "discard", "pause", "resume")
        }
        self._parameters = AsyncParameterClient(node, "episode")
        for topic, kept in (("episode/state", self.states), ("episode/label", self.labels)):
            node.create_subscription(DiagnosticArray, topic, self._keeper(kept), LATCHED)
        for what in ("request", "retreat", "cancel"):
            # In a group of its own: an answer that waits would hold up all others.
            group = ReentrantCallbackGroup()
            node.create_service(Trigger, f"reset/{what}", self._answer(what), callback_group=group)
        node.create_timer(TICK_S, self._tick)
        self.graph.wait(
            lambda: all(c.service_is_ready() for c in self._clients.values()), 20.0, "services"
        )
        self.graph.wait(self._parameters.services_are_ready, 20.0, "parameters")
        self.graph.wait(lambda: self.states, 20.0, "episode/state")

    def _keeper(self, kept: list[Event]) -> Callable[[DiagnosticArray], None]:
        def keep(message: DiagnosticArray) -> None:
            event = from_message(message, "episode", self.graph.driver.node.get_logger())
            if event is not None:
                kept.append(event)

        return keep

    def _answer(self, what: str) -> Callable[[Any, Any], Any]:
        async def answer(request: Trigger.Request, response: Trigger.Response) -> Any:
            self.asked.append(what)
            says = {"request": self.reset_says, "retreat": self.retreat_says}.get(what, (True, ""))
            if says is None:
                future = Future(executor=self.graph.driver.node.executor)
                self.waiting.append(future)
                says = await future
            response.success, response.message = says
            return response

        return answer

    def _tick(self) -> None:
        now, values = self.graph.now_ns(), self.values
        episode_id = values.get("episode_id", "")
        if self.filter_says is not None:
            said = {"reasons": self.filter_reasons, "source": "policy", "command_stamp": ""}
            self.tell(self._filter, "safety_filter", self.filter_says, **said)
        runs = self.state == "running" and values.get("paused") == "0"
        if self.policy_lives and runs:
            self.ticks.append(now)
            event = Event("policy", "running", {"episode_id": episode_id}, "v7", stamp_ns=now)
            self._policy.publish(to_message(event))
        if self.recorder_lives and self.state == "ready":
            self.tell(self._recorder, "recorder", "recording", episode_id=episode_id)

    def tell(self, publisher: Any, name: str, message: str, **values: str) -> None:
        """Publishes an event stamped now."""
        event = Event(name, message, values, stamp_ns=self.graph.now_ns())
        publisher.publish(to_message(event))

    def reset_status(self, message: str, episode_id: str) -> None:
        """A heartbeat of the reset."""
        self.tell(self._reset_status, "reset", message, episode_id=episode_id)

    def record(self, message: str, episode_id: str) -> None:
        """What the recorder says."""
        self.tell(self._recorder, "recorder", message, episode_id=episode_id)

    def send(self, topic: str, name: str, message: str, **values: str) -> None:
        """An event on another topic, once somebody listens."""
        event = Event(name, message, values, stamp_ns=self.graph.now_ns())
        self.graph.publish(topic, to_message(event))

    def reward(self, success: float, stamp_ns: int | None = None, source: str = "judge") -> None:
        """A sample of the reward."""
        stamp = self.graph.now_ns() if stamp_ns is None else stamp_ns
        self.graph.publish("reward", vector_message(stamp, ["success"], [success], source))

    @property
    def state(self) -> str:
        """Of the episode, as it was told last."""
        return self.states[-1].message if self.states else ""

    @property
    def values(self) -> dict[str, str]:
        """Everything that was told last."""
        return dict(self.states[-1].values) if self.states else {}

    def call(self, name: str) -> tuple[bool, str]:
        """Calls an operator's service."""
        future = self._clients[name].call_async(Trigger.Request())
        self.graph.wait(future.done, 10.0, f"episode/{name}")
        return bool(future.result().success), str(future.result().message)

    def set(self, **values: bool | int | float | str) -> str:
        """Sets parameters of the episode node; the reason of a refusal, or an empty text."""
        parameters = [Parameter(name, value=value) for name, value in values.items()]
        future = self._parameters.set_parameters(parameters)
        self.graph.wait(future.done, 10.0, "parameters")
        return next((r.reason for r in future.result().results if not r.successful), "")

    def wait_for(self, state: str, **values: str) -> Event:
        """The newest event, once it says this."""

        def said() -> Event | None:
            event = self.states[-1]
            fits = all(event.values.get(key) == value for key, value in values.items())
            return event if event.message == state and fits else None

        what = f"{state} {values}; is {self.state} {self.values.get('reason', '')}"
        found: Event = self.graph.wait(said, 20.0, what)
        return found

    def running(self) -> str:
        """Starts an episode; its id once it runs."""
        self.wait_until_over()
        done, episode_id = self.call("start")
        assert done, episode_id
        self.wait_for("running", episode_id=episode_id)
        return episode_id

    def wait_until_over(self) -> None:
        """Ends what an earlier test has left under way, and everything is well again."""
        self.filter_says, self.filter_reasons = "armed", ""
        self.policy_lives = self.recorder_lives = True
        self.reset_says, self.retreat_says = (True, RESET), (True, "retreated")
        self.call("abort")
        for future in self.waiting:
            if not future.done():
                future.set_result((False, "cancelled"))
        self.waiting.clear()
        self.set(automatic=False, seed=-1, operator="", goal="", reset_mode="")
        self.asked.clear()
