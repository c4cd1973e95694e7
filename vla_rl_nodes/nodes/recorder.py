"""recorder: one MCAP per episode of everything the graph says, as raw CDR."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray

from vla_rl_nodes.bags.gaps import Gaps
from vla_rl_nodes.bags.queued import QueuedWriter
from vla_rl_nodes.bags.room import DiskRoom
from vla_rl_nodes.bags.rosbag2 import Qos, Topic
from vla_rl_nodes.bags.snapshot import Entry, Ring
from vla_rl_nodes.bags.writer import EpisodeWriter
from vla_rl_nodes.contract.load import load_contract, named_file
from vla_rl_nodes.episodes.machine import OUTCOMES, State
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.episode_state import EpisodeState
from vla_rl_nodes.nodes.event import ERROR, OK, Event, to_message
from vla_rl_nodes.nodes.lean_node import LeanNode
from vla_rl_nodes.nodes.qos import LATCHED, RECORD, RECORD_LATCHED, RECORD_SENSOR
from vla_rl_nodes.nodes.recorder_snapshots import Snapshots
from vla_rl_nodes.nodes.spin import spin
from vla_rl_nodes.nodes.topics import Recorded, recorded_topics
from vla_rl_nodes.robots.load import load_robot

PROFILES = {
    "stream": (RECORD, Qos("reliable", "volatile", "keep_last", 20)),
    "sensor": (RECORD_SENSOR, Qos("best_effort", "volatile", "keep_last", 5)),
    "latched": (RECORD_LATCHED, Qos("reliable", "transient_local", "keep_last", 1)),
}
OPENING_S = 2.0  # that a bag may take to open without losing what comes meanwhile
# What a bag's metadata tell of its episode: what is settled when it begins, and what its end was.
BEGUN_WITH = (
    "seed", "task", "goal", "robot", "contract", "contract_sha256", "operator", "reset_mode",
    "reset_attempts", "time_limit_s",
)  # fmt: skip
ENDED_WITH = ("reason", "policy_version", "attempt", "retry_cause", "discarded")


class Recorder(LeanNode):
    """Opens a bag when an episode is ready and closes it a little after its outcome.

    What was heard shortly before is written first, because the first step's observation is
    captured before it. Callbacks only put bytes into memory: bags are opened, written and closed
    on other threads, so that a slow disk never keeps messages waiting in the middleware, where
    nobody would count those that it drops.
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
        self._robot_name = parameters.text(
            self, "robot_name", "",
            "This robot's own name, as its certificate has it; by default the kind of robot.",
        )  # fmt: skip
        max_bytes = parameters.integer(
            self, "max_bytes", 0, 0, 2**62, "Bytes of bags above which none is begun; 0: any."
        )
        self._room = DiskRoom(
            self._folder, max_bytes or None,
            parameters.integer(
                self, "min_free_bytes", 1 << 29, 0, 2**62,
                "Bytes that the disk must have free for a bag to be begun.",
            ),
        )  # fmt: skip
        sources = parameters.flag(
            self, "camera_sources", False, "Record the drivers' own images too, as they come."
        )
        snapshot_s = parameters.number(
            self, "snapshot_s", 10.0, 0.0, 600.0, "Seconds that a snapshot holds; 0: none."
        )
        snapshot_bytes = parameters.integer(
            self, "snapshot_bytes", 64 << 20, 1 << 20, 1 << 34, "Greatest size of a snapshot."
        )
        every_s = parameters.number(
            self, "snapshot_every_s", 10.0, 0.0, 3600.0, "Seconds between two snapshots at least."
        )
        self._complaints = Complaints(self.get_logger())
        self._lock = threading.Lock()
        self._gaps = Gaps()
        self._ring = Ring(max(before_s + OPENING_S, snapshot_s), snapshot_bytes)
        self._snapshot_ns = round(1e9 * snapshot_s)
        self._writer: QueuedWriter | None = None
        self._failure_told = False
        self._episode_id = ""
        self._recording_id = ""
        self._outcome: Event | None = None
        self._close_timer: Any = None
        self._worker = ThreadPoolExecutor(1, "bags")
        self._status = self.create_publisher(DiagnosticArray, "recorder/status", LATCHED)
        self._topics: list[Topic] = []
        robot = load_robot(self._contract.robot)
        for recorded in recorded_topics(self._contract, robot, sources):
            self._subscribe(recorded)
        self._snapshots = None
        if snapshot_s > 0:
            self._snapshots = Snapshots(
                self, self._complaints, self._last_seconds, self._folder, self._topics,
                self._contract_yaml, self._room, every_s,
            )  # fmt: skip
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
        entry = Entry(name, type_name, data, now, info.get("source_timestamp", 0) or now)
        missing = self._gaps.missing(name, info.get("publication_sequence_number"))
        # Of several publishers each counts for itself, and nothing says which one this was.
        if missing and (self._writer is None or self.count_publishers(name) != 1):
            missing = 0
        with self._lock:
            self._ring.add(entry)
            if self._writer is not None:
                if missing:
                    self._writer.lost({name: missing})
                self._write(self._writer, entry)
        if missing:
            self._complaints.say(f"{name}: {missing} messages never arrived", kind=f"gap {name}")

    def _write(self, writer: QueuedWriter, entry: Entry) -> None:
        if writer.put(*entry):
            return
        why = writer.failure or "the disk does not keep up"
        self._complaints.say(f"{entry.topic}: a message is not recorded: {why}", kind="dropped")
        if writer.failure is not None and not self._failure_told:
            self._failure_told = True  # at once: an episode without a bag is not worth running
            self._say("failed", self._recording_id, reason=writer.failure)

    def _last_seconds(self) -> tuple[list[Entry], dict[str, int], dict[str, str]]:
        start = self.get_clock().now().nanoseconds - self._snapshot_ns
        known = {
            "robot": self._contract.robot, "contract": self._contract.name,
            "contract_sha256": self._contract.sha256, "namespace": self.get_namespace(),
            "during_episode": self._recording_id,
        }  # fmt: skip
        with self._lock:
            return *self._ring.since(start), known

    def _changed(self, state: State, event: Event) -> None:
        episode_id = event.values.get("episode_id", "")
        if state is State.READY:
            self._finish()
            self._episode_id, self._outcome = episode_id, None
            start_ns = self.get_clock().now().nanoseconds
            self._worker.submit(self._open, episode_id, event, start_ns)
        elif state in OUTCOMES and episode_id == self._episode_id and self._outcome is None:
            self._outcome = event
            # The arm comes to rest after the outcome; the bag shows that it does.
            self._close_timer = self.create_timer(self._after_s, self._finish)
        elif state in (State.IDLE, State.RESETTING):
            self._finish()

    def _finish(self) -> None:
        if self._close_timer is not None:
            self.destroy_timer(self._close_timer)
            self._close_timer = None
        episode_id, self._episode_id = self._episode_id, ""
        if episode_id:
            self._worker.submit(self._close, episode_id, self._outcome)

    def _open(self, episode_id: str, event: Event, start_ns: int) -> None:
        """Begins a bag, with what was heard before and while it was opened. On the worker."""
        metadata = {key: event.values.get(key, "") for key in BEGUN_WITH}
        metadata["namespace"] = self.get_namespace()
        if self._robot_name:
            metadata["robot_name"] = self._robot_name
        try:
            self._room.require()
            writer = QueuedWriter(
                EpisodeWriter(
                    self._folder / episode_id, episode_id, self._topics,
                    contract_yaml=self._contract_yaml, metadata=metadata, start_ns=start_ns,
                )
            )  # fmt: skip
        except Exception as error:  # the worker's thread would keep it to itself
            self._fail(episode_id, error)
            return
        with self._lock:
            self._recording_id, self._failure_told = episode_id, False
            entries, lost = self._ring.since(start_ns - self._before_ns)
            writer.lost(lost)
            for entry in entries:
                self._write(writer, entry)
            self._writer = writer
        self._say("recording", episode_id)

    def _close(self, episode_id: str, outcome: Event | None) -> None:
        """Ends the bag. On the worker."""
        with self._lock:
            writer, self._writer = self._writer, None
            self._recording_id = ""
        if writer is None:
            return
        values = {} if outcome is None else outcome.values
        closing = {key: values.get(key, "") for key in ENDED_WITH}
        if outcome is None:
            closing["reason"] = "recording ended before an outcome"
        ended = State.ABORTED.value if outcome is None else outcome.message
        try:
            manifest = writer.close(ended, closing)  # type: ignore[arg-type]
        except Exception as error:
            self._fail(episode_id, error)
            return
        dropped = sum(manifest.dropped.values())
        if dropped:
            self.get_logger().error(f"{episode_id}: {dropped} messages were not recorded")
        self._say(
            "closed", episode_id, path=str((self._folder / episode_id).absolute()),
            messages=str(manifest.messages), dropped=str(dropped), outcome=ended,
        )  # fmt: skip

    def _fail(self, episode_id: str, error: Exception) -> None:
        said = str(error) if isinstance(error, InputError) else f"{episode_id}: {error!r}"
        self.get_logger().error(said)
        self._say("failed", episode_id, reason=said)

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
        self._worker.shutdown()
        if self._snapshots is not None:
            self._snapshots.close()


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return spin(Recorder, args)


if __name__ == "__main__":
    sys.exit(main())
