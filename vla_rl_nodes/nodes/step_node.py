"""What a node that acts at every control tick shares: observe, act, publish, and say so."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory

from vla_rl_nodes.contract.decode import stamp_ns
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Stream
from vla_rl_nodes.episodes.machine import State
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.ingest.observe import AlignedObservation, Observer
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.episode_state import EpisodeState
from vla_rl_nodes.nodes.event import ERROR, OK, Event, to_message
from vla_rl_nodes.nodes.lean_node import LeanNode
from vla_rl_nodes.nodes.qos import COMMAND_OFFERED, STREAM
from vla_rl_nodes.nodes.spin import end_after_failed_tick
from vla_rl_nodes.nodes.tick import TickThread
from vla_rl_nodes.nodes.vector import trajectory_message, vector_message


@dataclass(frozen=True)
class Step:
    """What one control tick decided.

    Attributes:
        action: proposed action [axes], or None for a starved tick: nothing is commanded then.
        residual: what is to be added within the filter's bound [axes], or None.
        chunk: a chunk to publish, row 0 at its stamp, or None.
        chunk_stamp_ns: the tick of the chunk's row 0.
        values: further entries of ``policy/status``.
    """

    action: NDArray[np.float64] | None
    residual: NDArray[np.float64] | None = None
    chunk: NDArray[np.float64] | None = None
    chunk_stamp_ns: int = 0
    values: dict[str, str] = field(default_factory=dict)


class StepNode(LeanNode, ABC):
    """Ticks at the contract's policy rate while an episode runs.

    While the episode is paused it does not step, and says nothing.

    Every tick's ``policy/status`` carries the stamps that the observation was built from and its
    hash, which is how a bag can show that it rebuilds what the policy saw.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.contract_name = parameters.text(
            self, "contract", "franka_pick", "Contract name or path."
        )
        self.contract = load_contract(self.contract_name)
        self.failed = False
        self.complaints = Complaints(self.get_logger())
        self._observer = Observer(self.contract)
        self._episode = EpisodeState(self, self.complaints, self.episode_changed)
        self._lock = threading.Lock()
        self._seen_episode: str | None = None
        self._tick_number = 0
        for stream in self.contract.streams:
            kind = Image if stream.kind == "image" else JointState
            self.create_subscription(kind, stream.topic, partial(self._hear, stream), STREAM)
        self._command = self.create_publisher(JointState, "policy/command", COMMAND_OFFERED)
        self._residual = self.create_publisher(JointState, "policy/residual", COMMAND_OFFERED)
        self._chunk = self.create_publisher(JointTrajectory, "policy/chunk", STREAM)
        self._status = self.create_publisher(DiagnosticArray, "policy/status", STREAM)
        self._ticks = TickThread(
            self.contract.period_ns, self._tick, partial(end_after_failed_tick, self), name
        )

    @property
    @abstractmethod
    def version(self) -> str:
        """What acts: goes into every status."""

    @abstractmethod
    def start_episode(self, episode_id: str) -> None:
        """Called in the tick's thread before the first step of an episode."""

    @abstractmethod
    def step(self, stamp: int, seen: AlignedObservation) -> Step:
        """Decides one tick, in the tick's thread, from the observation at ``stamp`` (ns)."""

    def episode_changed(self, state: State, event: Event) -> None:
        """Called in the executor's thread; see :class:`EpisodeState`."""
        return

    @property
    def running(self) -> bool:
        """Whether an episode is running."""
        return self._episode.running_id is not None

    @property
    def episode_seed(self) -> int:
        """The seed that the episode was started with, or -1."""
        return self._episode.seed

    def start(self) -> None:
        """Starts ticking; called at the end of the subclass's constructor."""
        self._ticks.start()

    def close(self) -> None:
        """Stops ticking."""
        self._ticks.stop()

    def _hear(self, stream: Stream, message: Any) -> None:
        try:
            now = self.get_clock().now().nanoseconds
            self._observer.add(stream.key, message, stamp_ns(message), now)
        except InputError as error:
            self.complaints.say(error, kind=f"{error.place} {error.remedy}")

    def _tick(self, lateness_ns: int) -> None:
        episode_id = self._episode.running_id
        if episode_id is None:
            self._seen_episode = None
            return
        if self._episode.paused:
            return
        if episode_id != self._seen_episode:
            self.start_episode(episode_id)
            self._seen_episode, self._tick_number = episode_id, 0
        stamp = self.get_clock().now().nanoseconds
        values = {
            "tick": str(self._tick_number),
            "episode_id": episode_id,
            "lateness_ms": f"{lateness_ns / 1e6:.3f}",
            "skipped_ticks": str(self._ticks.skipped),
        }
        self._tick_number += 1
        seen = self._observer.observe(stamp, self._episode.ready_ns)
        if isinstance(seen, str):
            self.complaints.say(
                f"{seen}: no sample young enough at this tick, so no action is given; check its"
                " publisher",
                kind=f"blind {seen}",
            )
            values["blind"] = seen
            self._say(stamp, values)
            return
        values["observation_sha256"] = seen.sha256
        values |= {f"stamp.{key}": str(at) for key, at in seen.stamps_ns.items()}
        decided = self.step(stamp, seen)
        names, frame = self.contract.action.names, self.contract.action.frame
        if decided.action is not None:
            # The residual first: the filter joins it to the command of the same stamp.
            if decided.residual is not None:
                self._residual.publish(vector_message(stamp, names, decided.residual, frame))
            self._command.publish(vector_message(stamp, names, decided.action, frame))
        if decided.chunk is not None:
            self._chunk.publish(
                trajectory_message(
                    decided.chunk_stamp_ns, names, decided.chunk, self.contract.period_ns,
                    frame_id=frame,
                )
            )  # fmt: skip
        self._say(stamp, values | decided.values)

    def _say(self, stamp: int, values: dict[str, str]) -> None:
        level = OK if "observation_sha256" in values else ERROR
        self._status.publish(
            to_message(Event("policy", "running", values, self.version, level, stamp))
        )
