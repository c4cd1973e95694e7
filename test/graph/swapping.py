"""A graph whose policy is given other bundles, and what it says of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bundles import Maker
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient

from vla_rl_nodes.bringup import Value
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.event import Event, from_message
from vla_rl_nodes.nodes.qos import LATCHED, STREAM

from .running import CONTRACT, Graph, start


class Swapping:
    """The running graph, the maker of its bundles, and everything heard of the policy.

    Attributes:
        graph: that runs.
        maker: whose key the policy trusts.
        ticks: events of policy/status.
        news: events of policy/bundle.
        version: of the bundle that it was started with.
    """

    def __init__(self, graph: Graph, maker: Maker) -> None:
        self.graph, self.maker = graph, maker
        self.ticks: list[Event] = []
        self.news: list[Event] = []
        node = graph.driver.node
        complaints = Complaints(node.get_logger())
        for topic, kept, profile in (
            ("policy/status", self.ticks, STREAM),
            ("policy/bundle", self.news, LATCHED),
        ):

            def keep(message: Any, topic: str = topic, kept: list[Event] = kept) -> None:
                event = from_message(message, topic, complaints)
                if event is not None:
                    kept.append(event)

            node.create_subscription(DiagnosticArray, topic, keep, profile)
        self._parameters = AsyncParameterClient(node, "policy")
        graph.wait(self._parameters.services_are_ready, 20.0, "the policy's parameters")
        graph.wait(lambda: self.news, 20.0, "policy/bundle")
        self.version = self.news[0].values["serving"]
        self._seed = 40
        self._episode_id = ""

    def ask(self, path: Path) -> str:
        """Sets the parameter ``bundle``; the reason why it was refused, or an empty text."""
        future = self._parameters.set_parameters([Parameter("bundle", value=str(path))])
        self.graph.wait(future.done, 10.0, "an answer to the parameter")
        answer = future.result().results[0]
        assert answer.successful == (not answer.reason)
        return str(answer.reason)

    def heard(self, what: str, since: int, timeout_s: float = 20.0) -> Event:
        """The first event of policy/bundle with that text, after so many."""

        def found() -> Event | None:
            return next((e for e in self.news[since:] if e.message == what), None)

        event: Event = self.graph.wait(found, timeout_s, f"{what} in policy/bundle")
        return event

    def state(self) -> str:
        """State of the episode under way."""
        return self.graph.driver.state(self._episode_id)

    def begin(self) -> str:
        """Starts an episode when the last one is over; its id, when it is running."""
        driver = self.graph.driver
        if self._episode_id:
            driver.finish(self._episode_id, self._seed, 30.0)
        for _ in range(3):  # a machine that stalls for a quarter of a second aborts one
            self._seed += 1
            self._episode_id = driver.start_episode(self._seed)
            state = self.graph.wait(
                lambda: self.state() if self.state() in ("running", "aborted") else "",
                30.0, "an episode",
            )  # fmt: skip
            if state == "running":
                return self._episode_id
        raise AssertionError("three episodes were aborted")

    def goes_on(self, count: int) -> bool:
        """Waits for so many more ticks of the running episode; false if it was ended before.

        A machine that stalls for a quarter of a second ends one, as it should.
        """
        seen = len(self.ticks)
        self.graph.wait(
            lambda: len(self.ticks) > seen + count or self.state() != "running", 20.0, "ticks"
        )
        return len(self.ticks) > seen + count

    def keep_running(self) -> str:
        """The id of an episode that is running; starts one if none is."""
        return self._episode_id if self.state() == "running" else self.begin()

    def end(self) -> str:
        """Waits for the outcome of the episode."""
        outcome = self.graph.driver.finish(self._episode_id, self._seed, 30.0).outcome
        self._episode_id = ""
        return outcome

    def whole_episode(self) -> str:
        """Runs an episode to its end; its id. One that is aborted is run again."""
        for _ in range(3):
            episode_id = self.begin()
            if self.end() != "aborted":
                return episode_id
        raise AssertionError("three episodes were aborted")

    def ticks_of(self, episode_id: str) -> list[Event]:
        """The ticks of an episode."""
        return [e for e in self.ticks if e.values.get("episode_id") == episode_id]


@contextmanager
def swapping(folder: Path, **parameters: Value) -> Iterator[Swapping]:
    """The graph with a policy that trusts a key of this test's own."""
    maker = Maker(folder / "bundles", load_contract(CONTRACT))
    given: dict[str, Value] = {
        "bundle": str(maker("first")),
        "trusted_keys": str(maker.trusted),
        **parameters,
    }
    with start(folder, parameters={"policy": given}) as graph:
        yield Swapping(graph, maker)
