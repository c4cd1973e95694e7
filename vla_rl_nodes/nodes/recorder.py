"""recorder: one MCAP per episode of everything the graph says, as raw CDR."""

from __future__ import annotations

import sys
import threading
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from vla_rl_nodes.bags.queued import QueuedWriter
from vla_rl_nodes.bags.rosbag2 import Qos, Topic
from vla_rl_nodes.bags.writer import EpisodeWriter
from vla_rl_nodes.contract.load import load_contract, named_file
from vla_rl_nodes.episodes.machine import OUTCOMES, State
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.episode_state import EpisodeState
from vla_rl_nodes.nodes.event import ERROR, OK, Event, to_message
from vla_rl_nodes.nodes.qos import LATCHED, RECORD, RECORD_LATCHED, RECORD_SENSOR
from vla_rl_nodes.nodes.spin import spin
from vla_rl_nodes.nodes.topics import Recorded, recorded_topics
from vla_rl_nodes.robots.load import load_robot

PROFILES = {
    "stream": (RECORD, Qos("reliable", "volatile", "keep_last", 20)),
    "sensor": (RECORD_SENSOR, Qos("best_effort", "volatile", "keep_last", 5)),
    "latched": (RECORD_LATCHED, Qos("reliable", "transient_local", "keep_last", 1)),
}
OUTCOME_VALUES = ("seed", "task", "robot", "contract", "contract_sha256", "reason")


class Recorder(Node):
    """Opens a bag when an episode is ready and closes it a little after its outcome.

    What was heard shortly before is written first, because the first step's observation is
    captured before it. Callbacks only queue bytes; a thread of the bags room writes them.
    """

    def __init__(self) -> None:
        super().__init__("recorder")
        contract_name = parameters.text(self, "contract", "franka_pick", "Contract name or path.")
        self._contract = load_contract(contract_name)
        self._contract_yaml = named_file("contracts", contract_name).read_text(encoding="utf-8")
        self._folder = Path(
            parameters.text(self, "folder", "bags/recorded", "Folder that bags are made in.")
        ).expanduser()
        before_s = parameters.number(
            self, "before_s", 0.6, 0.0, 10.0, "Seconds kept from before the episode."
        )
        self._before_ns = round(1e9 * before_s)
        self._after_s = parameters.number(
            self, "after_s", 0.4, 0.0, 10.0, "Seconds recorded after the outcome."
        )
        self._complaints = Complaints(self.get_logger())
        self._lock = threading.Lock()
        self._recent: deque[tuple[str, str, bytes, int, int]] = deque()
        self._writer: QueuedWriter | None = None
        self._recording_id = ""
        self._outcome: Event | None = None
        self._close_timer: Any = None
        self._status = self.create_publisher(DiagnosticArray, "recorder/status", LATCHED)
        self._topics: list[Topic] = []
        for recorded in recorded_topics(self._contract, load_robot(self._contract.robot)):
            self._subscribe(recorded)
        self._episode = EpisodeState(self, self._complaints, self._changed)
        self._say("idle", "")

    def _subscribe(self, recorded: Recorded) -> None:
        profile, offered = PROFILES[recorded.kind]
        name = self.resolve_topic_name(recorded.topic)
        self._topics.append(Topic(name, recorded.type_name, (offered,)))
        self.create_subscription(
            recorded.message, recorded.topic,
            partial(self._heard, name, recorded.type_name), profile, raw=True,
        )  # fmt: skip

    def _heard(self, name: str, type_name: str, data: bytes, info: dict[str, int]) -> None:
        now = self.get_clock().now().nanoseconds
        entry = (name, type_name, data, now, info.get("source_timestamp", 0) or now)
        with self._lock:
            if self._writer is not None:
                self._write(self._writer, entry)
                return
            self._recent.append(entry)
            while self._recent and now - self._recent[0][3] > self._before_ns:
                self._recent.popleft()

    def _write(self, writer: QueuedWriter, entry: tuple[str, str, bytes, int, int]) -> None:
        if not writer.put(*entry):
            why = writer.failure or "the disk does not keep up"
            self._complaints.say(f"{entry[0]}: a message is not recorded: {why}", kind="dropped")

    def _changed(self, state: State, event: Event) -> None:
        episode_id = event.values.get("episode_id", "")
        if state is State.READY:
            self._finish()
            self._open(episode_id, event)
        elif state in OUTCOMES and episode_id == self._recording_id and self._outcome is None:
            self._outcome = event
            # The arm comes to rest after the outcome; the bag shows that it does.
            self._close_timer = self.create_timer(self._after_s, self._finish)
        elif state in (State.IDLE, State.RESETTING):
            self._finish()

    def _open(self, episode_id: str, event: Event) -> None:
        metadata = {key: event.values.get(key, "") for key in OUTCOME_VALUES if key != "reason"}
        metadata["namespace"] = self.get_namespace()
        try:
            writer = QueuedWriter(
                EpisodeWriter(
                    self._folder / episode_id, episode_id, self._topics,
                    contract_yaml=self._contract_yaml, metadata=metadata,
                    start_ns=self.get_clock().now().nanoseconds,
                )
            )  # fmt: skip
        except InputError as error:
            self.get_logger().error(str(error))
            self._say("failed", episode_id, reason=str(error))
            return
        with self._lock:
            for entry in self._recent:
                self._write(writer, entry)
            self._recent.clear()
            self._writer = writer
        self._recording_id, self._outcome = episode_id, None
        self._say("recording", episode_id)

    def _finish(self) -> None:
        if self._close_timer is not None:
            self.destroy_timer(self._close_timer)
            self._close_timer = None
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is None:
            return
        outcome = self._outcome.message if self._outcome is not None else State.ABORTED.value
        values = self._outcome.values if self._outcome is not None else {}
        closing = {
            "reason": values.get("reason", "recording ended before an outcome"),
            "policy_version": values.get("policy_version", ""),
        }
        episode_id, self._recording_id = self._recording_id, ""
        try:
            manifest = writer.close(outcome, closing)  # type: ignore[arg-type]
        except InputError as error:
            self.get_logger().error(str(error))
            self._say("failed", episode_id, reason=str(error))
            return
        dropped = sum(manifest.dropped.values())
        if dropped:
            self.get_logger().error(f"{episode_id}: {dropped} messages were not recorded")
        self._say(
            "closed", episode_id, path=str((self._folder / episode_id).absolute()),
            messages=str(manifest.messages), dropped=str(dropped), outcome=outcome,
        )  # fmt: skip

    def _say(self, message: str, episode_id: str, **values: str) -> None:
        stamp = self.get_clock().now().nanoseconds
        level = ERROR if message == "failed" else OK
        self._status.publish(
            to_message(
                Event("recorder", message, {"episode_id": episode_id, **values}, "", level, stamp)
            )
        )

    def close(self) -> None:
        """Closes the bag in progress, so that a stopped node leaves a readable one."""
        self._finish()


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return spin(Recorder, args)


if __name__ == "__main__":
    sys.exit(main())
