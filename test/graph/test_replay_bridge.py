"""The bridge as a real node: its status, its wake-up, its offers, and its end."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rclpy
import yaml
from bundles import Maker
from diagnostic_msgs.msg import DiagnosticArray
from link.fake_learner import FakeLearner
from link.robot_side import Side, side
from link.test_bundle_unpack import packed
from rcl_interfaces.msg import SetParametersResult

from vla_rl_nodes.bringup import NodeSpec, command_line
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.event import Event, from_message, to_message
from vla_rl_nodes.nodes.qos import LATCHED

from .running import Graph, alone

pytestmark = pytest.mark.graph

NAMESPACE = "bridge_test"


def settings_file(robot: Side, **changes: Any) -> Path:
    """robot.yaml."""
    settings = robot.settings(**changes)
    path = robot.folder / "robot.yaml"
    path.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    return path


class Bridge:
    """The node, its learner, and a policy node that takes what it is given."""

    def __init__(self, graph: Graph, robot: Side, learner: FakeLearner, maker: Maker) -> None:
        self.graph, self.robot, self.learner, self.maker = graph, robot, learner, maker
        node = graph.driver.node
        complaints = Complaints(node.get_logger())
        self.heard: list[Event] = []

        def hear(message: DiagnosticArray) -> None:
            event = from_message(message, "replay_bridge/status", complaints)
            if event is not None:
                self.heard.append(event)

        node.create_subscription(DiagnosticArray, "replay_bridge/status", hear, LATCHED)
        graph.wait(lambda: self.heard, 30.0, "replay_bridge/status")
        self._recorder = node.create_publisher(DiagnosticArray, "recorder/status", LATCHED)

    def closed(self) -> None:
        """The recorder says that it has closed a bag."""
        self._recorder.publish(to_message(Event("recorder", "closed", {"episode_id": "x"})))

    def status(self, condition: Any, what: str) -> Event:
        """The first status from now on that is as wanted."""
        since = len(self.heard)
        event: Event = self.graph.wait(
            lambda: next((e for e in self.heard[since:] if condition(e.values)), None), 20.0, what
        )
        return event


@pytest.fixture(scope="module")
def bridge(folder: Path) -> Iterator[Bridge]:
    maker = Maker(folder / "bundles", load_contract("franka_pick"))
    with side(folder) as (robot, learner):
        path = settings_file(
            robot, upload={"scan_s": 3000.0, "patience_s": 60.0},
            bundles={"take": "auto", "trusted_keys": maker.trusted},
        )  # fmt: skip
        spec = NodeSpec("replay_bridge", {"settings": str(path), "status_s": 0.1})
        with alone(folder, spec, NAMESPACE) as graph:
            yield Bridge(graph, robot, learner, maker)


def test_a_closed_episode_wakes_it_and_is_stored(bridge: Bridge) -> None:
    bridge.status(lambda v: v["queue"] == "0", "an empty queue")
    bridge.robot.episode("e")
    # It looks by itself once in 50 minutes: only the recorder's word makes it look now.
    bridge.closed()
    event = bridge.status(lambda v: v["stored_here"] == "1", "a stored episode")
    assert event.message == "up" and event.values["queue"] == "0"
    assert list(bridge.learner.stored) == ["e"]


def test_a_bundle_goes_to_the_policy_node_and_its_fate_to_the_learner(bridge: Bridge) -> None:
    driver = bridge.graph.driver
    asked: list[str] = []

    def take(parameters: list[Any]) -> SetParametersResult:
        asked.extend(str(p.value) for p in parameters if p.name == "bundle")
        return SetParametersResult(successful=True)

    policy = rclpy.create_node("policy", namespace=NAMESPACE, context=driver._context)
    policy.declare_parameter("bundle", "")
    policy.add_on_set_parameters_callback(take)
    news = policy.create_publisher(DiagnosticArray, "policy/bundle", LATCHED)

    def tell(what: str, version: str, **state: str) -> None:
        values = {"version": version, "reason": "", "phase": "serving", "serving": "old", **state}
        news.publish(to_message(Event("bundle", what, values)))

    driver._executor.add_node(policy)
    try:
        tell("serving", "old")
        folder = bridge.maker("one", policy=b"a graph")
        data = packed(folder)
        version = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()[:12]
        bridge.learner.bundles[version] = data
        bridge.graph.wait(lambda: asked, 20.0, "the parameter")
        assert Path(asked[0]) == bridge.robot.state / "bundles" / version

        def states() -> list[str]:
            return [b["state"] for v, b in bridge.learner.reports if v == version]

        bridge.graph.wait(lambda: states() == ["fetched", "offered"], 20.0, "two reports")
        tell("trial", version, phase="trial", serving=version, standby="old")
        bridge.graph.wait(lambda: states() == ["fetched", "offered", "taken"], 20.0, "the third")
        tell("rolled back", version)
        bridge.graph.wait(lambda: states()[-1:] == ["rolled_back"], 20.0, "the fourth")
        assert len(asked) == 1
    finally:
        driver._executor.remove_node(policy)
        policy.destroy_node()


def test_it_ends_quickly_and_cleanly_while_the_learner_is_silent(bridge: Bridge) -> None:
    async def never(request: Any) -> None:
        await asyncio.Event().wait()

    bridge.learner.behave = never
    bridge.robot.episode("f", seed=1)
    bridge.closed()
    asked = len(bridge.learner.seen)
    bridge.graph.wait(lambda: len(bridge.learner.seen) > asked, 20.0, "a request")
    pid = bridge.graph.processes.pid("replay_bridge")
    os.kill(pid, signal.SIGINT)
    process = bridge.graph.processes._running["replay_bridge"]
    assert process.wait(20.0) == 0  # the learner would have been waited for for a minute
    log = bridge.graph.log("replay_bridge")
    assert "Traceback" not in log and "Task was destroyed" not in log


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({}, "parameter settings: is empty; give a file"),
        ({"settings": "key"}, "fr3.key: no such file"),
    ],
)
def test_bad_settings_are_one_line(tmp_path: Path, given: dict[str, str], line: str) -> None:
    with side(tmp_path) as (robot, _):
        if given.get("settings") == "key":
            given = {"settings": str(settings_file(robot))}
            robot.certificates.key.unlink()
        spec = NodeSpec("replay_bridge", given)
        ended = subprocess.run(
            command_line(spec, NAMESPACE), capture_output=True, text=True, timeout=60,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        assert ended.returncode == 2 and line in ended.stderr, ended.stderr
        assert "Traceback" not in ended.stderr
