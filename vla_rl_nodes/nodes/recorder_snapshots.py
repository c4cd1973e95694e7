"""When the recorder writes the last seconds to a bag of their own, and what it says of that."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from std_srvs.srv import Trigger

from vla_rl_nodes.bags.room import DiskRoom
from vla_rl_nodes.bags.rosbag2 import Topic
from vla_rl_nodes.bags.snapshot import Entry, Limiter, snapshot_name, write_snapshot
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.event import ERROR, OK, Event, from_message, to_message
from vla_rl_nodes.nodes.qos import LATCHED, STREAM
from vla_rl_nodes.safety.state import State
from vla_rl_nodes.safety.status import Status

STATUS_TOPIC = "safety/status"


class Snapshots:
    """Takes a snapshot when the safety filter faults, at an emergency stop, and when asked.

    Callbacks only take references to what is in memory; a thread writes it. What was done is said
    on ``recorder/snapshots``: written with its path, or failed with the reason.

    Args:
        node: owns the service ``~/snapshot``, the subscription and the publisher.
        complaints: for bad messages.
        take: gives the messages of the last seconds, how many per topic there was no room for,
            and what is known of the present, such as the episode.
        folder: of the bags.
        topics: all that are recorded.
        contract_yaml: attached to each snapshot.
        room: says whether there is any.
        every_s: least time between two.
    """

    def __init__(
        self,
        node: Node,
        complaints: Complaints,
        take: Callable[[], tuple[list[Entry], dict[str, int], dict[str, str]]],
        folder: Path,
        topics: list[Topic],
        contract_yaml: str,
        room: DiskRoom,
        every_s: float,
    ) -> None:
        self._node, self._complaints, self._take = node, complaints, take
        self._folder, self._topics, self._contract_yaml = folder, topics, contract_yaml
        self._room = room
        self._limiter = Limiter(every_s)
        self._written = self._failed = self._refused = 0
        self._bad: bool | None = None
        self._worker = ThreadPoolExecutor(1, "snapshots")
        self._writing: Future[None] = Future()
        self._writing.set_result(None)
        self._said = node.create_publisher(DiagnosticArray, "recorder/snapshots", LATCHED)
        node.create_subscription(DiagnosticArray, STATUS_TOPIC, self._heard, STREAM)
        node.create_service(Trigger, "~/snapshot", self._asked)

    def close(self) -> None:
        """Waits for what is being written."""
        self._worker.shutdown()

    def _heard(self, message: DiagnosticArray) -> None:
        event = from_message(message, STATUS_TOPIC, self._complaints)
        if event is None:
            return
        stopped = event.values.get("status") == str(int(Status.E_STOP))
        bad = stopped or event.message == State.FAULTED.value
        if bad and self._bad is False:
            reasons = event.values.get("reasons", "").split(",")[0]
            self._request("e_stop" if stopped else f"faulted_{reasons}")
        self._bad = bad

    def _asked(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        name = self._request("asked")
        response.success = bool(name)
        response.message = name or "not so soon after the last; wait some seconds"
        return response

    def _request(self, cause: str) -> str:
        """The new bag's name; empty when the last one is being written or was only just."""
        if not self._writing.done() or not self._limiter.ask(time.monotonic_ns()):
            self._refused += 1
            self._complaints.say(
                f"no snapshot of '{cause}': too soon after the last ({self._refused} so far)",
                kind="snapshot",
            )
            return ""
        stamp = int(self._node.get_clock().now().nanoseconds)
        entries, lost, known = self._take()
        name = snapshot_name(stamp, cause)
        known["cause"] = cause
        self._writing = self._worker.submit(self._write, name, entries, lost, known, stamp)
        return name

    def _write(
        self, name: str, entries: list[Entry], lost: Mapping[str, int],
        metadata: Mapping[str, str], stamp_ns: int,
    ) -> None:  # fmt: skip
        try:
            self._room.require()
            manifest = write_snapshot(
                self._folder, name, self._topics, entries, lost,
                contract_yaml=self._contract_yaml, metadata=metadata, stamp_ns=stamp_ns,
            )  # fmt: skip
        except Exception as error:  # the worker's thread would keep it to itself
            said = str(error) if isinstance(error, InputError) else f"{name}: {error!r}"
            self._failed += 1
            self._node.get_logger().error(f"no snapshot: {said}")
            self._say("failed", name, reason=said)
            return
        self._written += 1
        path = (self._folder / manifest.episode_id).absolute()
        self._node.get_logger().info(f"snapshot of {manifest.messages} messages: {path}")
        self._say(
            "written", name, path=str(path), messages=str(manifest.messages),
            dropped=str(sum(manifest.dropped.values())),
        )  # fmt: skip

    def _say(self, message: str, name: str, **values: str) -> None:
        counts = {
            "written": str(self._written), "failed": str(self._failed),
            "refused": str(self._refused),
        }  # fmt: skip
        level = ERROR if message == "failed" else OK
        stamp = int(self._node.get_clock().now().nanoseconds)
        event = Event("snapshot", message, {"name": name, **counts, **values}, "", level, stamp)
        self._said.publish(to_message(event))
