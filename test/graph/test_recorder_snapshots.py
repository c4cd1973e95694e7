"""The recorder alone: snapshots on faults and on request, full disks, two recorders at once."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from std_srvs.srv import Trigger

from vla_rl_nodes.bags.manifest import load_manifest
from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.bringup import NodeSpec
from vla_rl_nodes.nodes.event import Event, to_message
from vla_rl_nodes.nodes.qos import LATCHED
from vla_rl_nodes.nodes.vector import vector_message

from .running import Graph, alone

pytestmark = pytest.mark.graph

JOINTS = "franka/joint_states"


@dataclass
class Recording:
    """A recorder and whoever talks to it."""

    graph: Graph
    bags: Path
    heard: list[DiagnosticArray]

    def say(self, topic: str, name: str, message: str, **values: str) -> None:
        event = Event(name, message, values, "", b"\x00", self.graph.now_ns())
        self.graph.publish(topic, to_message(event))

    def wait_for_status(self, message: str, episode_id: str) -> Event:
        def found() -> Event | None:
            event = self.graph.driver.event("recorder/status")
            same = event is not None and event.values.get("episode_id") == episode_id
            return event if same and event is not None and event.message == message else None

        result: Event = self.graph.wait(found, 15.0, f"recorder: {message} {episode_id}")
        return result

    def snapshots(self, cause: str) -> list[dict[str, str]]:
        """What the recorder said of its snapshots of one cause."""
        said = [{v.key: v.value for v in s.values} for m in self.heard for s in m.status]
        return [values for values in said if values.get("path", "").endswith(f"-{cause}")]

    def wait_for_snapshot(self, cause: str) -> dict[str, str]:
        result: dict[str, str] = self.graph.wait(
            lambda: self.snapshots(cause), 15.0, f"snapshot: {cause}"
        )[0]
        return result

    def joints_heard(self, first: int, count: int) -> None:
        """Publishes joint states, each with a number of its own in its first position."""
        for index in range(first, first + count):
            message = vector_message(self.graph.now_ns(), ["a"], [float(index)])
            self.graph.publish(JOINTS, message)


def numbers(bag: Path) -> list[int]:
    """The joint states in a closed bag."""
    reader = EpisodeReader(bag)
    topic = f"/fr3/{JOINTS}"
    if topic not in reader.topics:
        return []
    return [int(m.message.position[0]) for m in reader.messages(topic)]


@pytest.fixture(scope="module")
def recording(folder: Path) -> Iterator[Recording]:
    """One recorder that may take a snapshot ten times a second."""
    parameters = {"folder": str(folder / "bags"), "snapshot_s": 300.0, "snapshot_every_s": 0.1}
    with alone(folder, NodeSpec("recorder", parameters), "fr3") as graph:
        heard: list[DiagnosticArray] = []
        graph.driver.node.create_subscription(
            DiagnosticArray, "recorder/snapshots", heard.append, LATCHED
        )
        yield Recording(graph, folder / "bags", heard)


def test_a_fault_outside_of_an_episode_leaves_the_last_seconds(recording: Recording) -> None:
    published = 0

    def tried() -> bool:
        # Until everybody has found everybody, messages are lost on the way to the recorder.
        nonlocal published
        recording.joints_heard(published, 1)
        published += 1
        for state, status in (("armed", "0"), ("faulted", "20")):
            recording.say(
                "safety/status", "safety_filter", state, status=status, reasons="wrench,x"
            )
        return bool(recording.snapshots("faulted_wrench"))

    recording.graph.wait(tried, 15.0, "a snapshot")
    said = recording.wait_for_snapshot("faulted_wrench")
    bag = Path(said["path"])
    assert bag.parent == recording.bags and bag.name.startswith("snapshot-")
    assert bag.name.endswith("-faulted_wrench")
    got = numbers(bag)
    assert got == list(range(got[0], got[-1] + 1)) if got else published < 9
    assert said["dropped"] == "0"
    manifest = load_manifest(bag)
    assert manifest is not None and manifest.metadata["kind"] == "snapshot"
    assert manifest.metadata["cause"] == "faulted_wrench"
    assert manifest.messages == int(said["messages"]) >= len(got)
    # A fault that lasts is one fault.
    before = len(recording.heard)
    for _ in range(5):
        recording.say("safety/status", "safety_filter", "faulted", status="20", reasons="other")
    assert not recording.snapshots("faulted_other") and len(recording.heard) <= before + 1


def test_an_emergency_stop_in_an_episode_leaves_both_bags(recording: Recording) -> None:
    recording.say("episode/state", "episode", "ready", episode_id="ep-1", task="t")
    recording.wait_for_status("recording", "ep-1")
    recording.joints_heard(1000, 20)

    def tried() -> bool:
        for status in ("0", "21"):
            recording.say("safety/status", "safety_filter", "stopped", status=status)
        return bool(recording.snapshots("e_stop"))

    recording.graph.wait(tried, 15.0, "a snapshot")
    said = recording.wait_for_snapshot("e_stop")
    recording.joints_heard(1020, 20)
    recording.say("episode/state", "episode", "aborted", episode_id="ep-1", reason="stop")
    closed = recording.wait_for_status("closed", "ep-1")
    assert closed.values["outcome"] == "aborted"
    in_bag, in_snapshot = numbers(Path(closed.values["path"])), numbers(Path(said["path"]))
    late = [n for n in in_bag if n >= 1000]
    manifest = load_manifest(Path(closed.values["path"]))
    assert manifest is not None and late[-1] == 1039
    assert len(late) + manifest.dropped.get(f"/fr3/{JOINTS}", 0) >= 40
    assert set(in_snapshot) & set(range(1000, 1020)) <= set(in_bag)
    assert min(in_snapshot, default=1) < 1020
    snapshot = EpisodeReader(Path(said["path"]))
    assert snapshot.metadata["during_episode"] == "ep-1"


def test_a_snapshot_on_request_and_one_too_soon(recording: Recording) -> None:
    driver = recording.graph.driver
    client = driver.node.create_client(Trigger, "recorder/snapshot")
    recording.graph.wait(client.service_is_ready, 10.0, "the service")

    def ask(times: int) -> list[Any]:
        """The answers to requests that are sent at once."""
        futures = [client.call_async(Trigger.Request()) for _ in range(times)]
        recording.graph.wait(lambda: all(f.done() for f in futures), 5.0, "an answer")
        return [future.result() for future in futures]

    def taken() -> Any:
        (answer,) = ask(1)
        return answer if answer.success else None

    answer = recording.graph.wait(taken, 5.0, "a snapshot")
    assert answer.message.endswith("-asked")
    said = recording.wait_for_snapshot("asked")
    assert Path(said["path"]).name == answer.message
    assert EpisodeReader(Path(said["path"])).closed
    recording.graph.wait(lambda: not all(a.success for a in ask(3)), 5.0, "a refusal")
    recording.graph.wait_for_line("recorder", "too soon after the last")
    recording.graph.processes.check()
    assert "Traceback" not in recording.graph.log("recorder")


def test_a_full_folder_refuses_the_next_bag_and_says_so(tmp_path: Path) -> None:
    bags = tmp_path / "bags"
    (bags / "old").mkdir(parents=True)
    (bags / "old" / "x.mcap").write_bytes(bytes(90_000))
    parameters = {"folder": str(bags), "max_bytes": 90_000}
    with alone(tmp_path, NodeSpec("recorder", parameters), "second") as graph:
        recording = Recording(graph, bags, [])
        recording.say("episode/state", "episode", "ready", episode_id="ep-2")
        failed = recording.wait_for_status("failed", "ep-2")
        assert "holds 90000 bytes, 90000 are allowed" in failed.values["reason"]
        graph.wait_for_line("recorder", "90000 are allowed")
        # Where another recorder has begun the same episode, its bag is left alone.
        (bags / "old" / "x.mcap").unlink()
        (bags / "ep-3").mkdir()
        recording.say("episode/state", "episode", "ready", episode_id="ep-3")
        failed = recording.wait_for_status("failed", "ep-3")
        assert "exists already" in failed.values["reason"] and not list((bags / "ep-3").iterdir())
        recording.say("episode/state", "episode", "ready", episode_id="ep-4")
        recording.wait_for_status("recording", "ep-4")
        # The disk fills up while it records: said at once, not when the episode has ended.
        size = (bags / "ep-4" / "ep-4.mcap").stat().st_size
        pid = graph.processes.pid("recorder")
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (size + 200, resource.RLIM_INFINITY))

        def failed_now() -> bool:
            recording.joints_heard(0, 20)
            event = graph.driver.event("recorder/status")
            return event is not None and event.message == "failed"

        graph.wait(failed_now, 15.0, "a failure")
        failed = recording.wait_for_status("failed", "ep-4")
        assert "cannot be written (file too large)" in failed.values["reason"]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        recording.say("episode/state", "episode", "ready", episode_id="ep-5")
        recording.wait_for_status("recording", "ep-5")
    assert not EpisodeReader(bags / "ep-4", partial=True).closed
    assert EpisodeReader(bags / "ep-5").closed
