"""A person takes the arm from an acting policy and gives it back: it begins anew each time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool

from vla_rl_nodes.bringup import Actor, Value
from vla_rl_nodes.contract.decode import stamp_ns
from vla_rl_nodes.contract.load import load_contract, named_file
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.event import Event, from_message
from vla_rl_nodes.nodes.vector import vector_message
from vla_rl_nodes.robots.load import load_robot

from .running import CONTRACT, Graph, in_motion, start
from .test_vla_http import Served

pytestmark = pytest.mark.graph

AXES = load_contract(CONTRACT).action.names
TAKEOVERS = 3


class Person:
    """Answers every tick of the policy with a command of its own while it is in command.

    Attributes:
        ticks: events of policy/status.
        proposed: stamps of policy/command.
        commanded: stamps of its own commands.
        executed: stamps of safety/executed.
    """

    def __init__(self, running: Graph) -> None:
        self._running = running
        self._acts = False
        self.ticks: list[Event] = []
        self.proposed: list[int] = []
        self.commanded: list[int] = []
        self.executed: list[int] = []
        node = running.driver.node
        self._complaints = Complaints(node.get_logger())
        # Its listeners are there before it acts.
        running.publish("intervention/active", Bool(data=False))
        running.publish("intervention/command", self._command(running.now_ns()))
        self.statuses = running.listen(DiagnosticArray, "safety/status", sensor=False)
        for kind, topic, hear in (
            (DiagnosticArray, "policy/status", self._tick),
            (JointState, "policy/command", lambda m: self.proposed.append(stamp_ns(m))),
            (JointState, "safety/executed", lambda m: self.executed.append(stamp_ns(m))),
        ):
            node.create_subscription(kind, topic, hear, 100)

    def _command(self, stamp: int) -> JointState:
        return vector_message(stamp, AXES, [0.0, 0.004, 0.006, 0.0, 0.08])

    def _tick(self, message: Any) -> None:
        event = from_message(message, "policy/status", self._complaints)
        assert event is not None
        self.ticks.append(event)
        if self._acts:
            self.commanded.append(event.stamp_ns)
            self._running.publish("intervention/command", self._command(event.stamp_ns))

    def in_command(self) -> str:
        """Who is, as the filter said last."""
        event = self._running.driver.event("safety/status")
        return "" if event is None else event.values.get("source", "")

    def take(self) -> None:
        """Takes over and acts for some ticks."""
        self._turn(True, "intervention", lambda e: e.values.get("followed") == "0", 9)

    def give_back(self) -> None:
        """Gives the arm back; the policy has acted again when this returns."""
        self._turn(False, "policy", lambda e: e.values.get("followed") == "1", 9)

    def _turn(self, acts: bool, source: str, counts: Any, ticks: int) -> None:
        self._acts = acts
        self._running.publish("intervention/active", Bool(data=acts))
        self._running.wait(lambda: self.in_command() == source, 5.0, source)
        before = len(self.ticks)
        self._running.wait(
            lambda: sum(counts(e) for e in self.ticks[before:]) >= ticks, 10.0, f"{source}'s way"
        )


def stretches(ticks: list[Event]) -> list[list[Event]]:
    """The ticks, parted where the arm changed hands."""
    found: list[list[Event]] = []
    for event in ticks:
        if found and found[-1][-1].values.get("followed") == event.values.get("followed"):
            found[-1].append(event)
        else:
            found.append([event])
    return found


@pytest.fixture(params=["policy", "vla_http"])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Graph]:
    actor: Actor = request.param
    # A machine that stalls must not end the episode before the hand-overs are through.
    parameters: dict[str, dict[str, Value]] = {
        "safety_filter": {"command_timeout_s": 1.0, "stop_after_s": 3.0},
    }
    server = Served(tmp_path)
    if actor == "vla_http":
        server.start()
        remote = yaml.safe_load(named_file("remote", "franka_pick_served").read_text())
        remote["server"]["url"] = f"ws://127.0.0.1:{server.port}"
        file = tmp_path / "served.yaml"
        file.write_text(yaml.safe_dump(remote))
        parameters["vla_http"] = {"remote": str(file)}
    with start(tmp_path, actor, parameters) as graph:
        if actor == "vla_http":
            graph.wait_for_line("vla_http", "answers; it is", 30.0)
        yield graph
    server.kill()


def test_after_a_hand_back_it_acts_from_what_it_sees_then(running: Graph) -> None:
    joints = running.listen(JointState, load_robot("fr3").topics.joint_states)
    person = Person(running)
    episode_id = in_motion(running, joints)
    for _ in range(TAKEOVERS):
        person.take()
        person.give_back()
    result = running.driver.finish(episode_id, 11, 20.0)
    assert result.outcome != "aborted", result.reason

    ticks = [e for e in person.ticks if e.values.get("episode_id") == episode_id]
    parts = stretches([e for e in ticks if "followed" in e.values])
    assert [p[0].values["followed"] for p in parts] == ["1", *["0", "1"] * TAKEOVERS]
    assert {e.values["starved"] for part in parts for e in part} == {"0"}
    reprimed = 0
    for part in parts[2::2]:
        acted = [e for e in part if "chunk_id" in e.values]
        # The seed of a plan's noise is the tick that it was made at.
        assert min(int(e.values["noise_seed"]) for e in acted) >= part[0].stamp_ns
        assert acted[0].values["chunk_index"] == "0"
        reprimed += part.index(acted[0])
        assert int(acted[0].values["reprimed_ticks"]) == reprimed
        seams = {e.values["prefix_error"] for e in acted if "prefix_error" in e.values
                 and int(e.values["delay"]) <= int(e.values["prefix_length"])}  # fmt: skip
        assert seams <= {"0"}
    for part in parts[1::2]:
        assert all("chunk_id" in e.values for e in part)  # a proposal at every tick
        assert {e.values["prefix_length"] for e in part[-4:]} == {"0"}  # made anew by then
        assert not any("prefix_error" in e.values for e in part)
    intervened = set(person.commanded) & set(person.executed)
    assert len(intervened) >= 6 * TAKEOVERS
    assert intervened <= set(person.proposed)
