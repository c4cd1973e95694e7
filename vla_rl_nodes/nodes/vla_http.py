"""vla_http: acts with a policy that is served elsewhere, one action at every control tick."""

from __future__ import annotations

import sys
import threading

from vla_rl_nodes.chunking.runtime import ChunkRuntime
from vla_rl_nodes.chunking.settings import load_chunking
from vla_rl_nodes.chunking.strategies.strategy import Job, Plan
from vla_rl_nodes.chunking.worker import InferenceWorker
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.ingest.observe import AlignedObservation
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.nodes.filter_status import FilterStatus
from vla_rl_nodes.nodes.spin import spin
from vla_rl_nodes.nodes.step_node import Step, StepNode
from vla_rl_nodes.remote.engine import load_remote
from vla_rl_nodes.remote.strategy import Served

RETRY_S = 0.25


class VlaHttp(StepNode):
    """Takes the place of the node policy; a server gives the chunks.

    Without an answer there is no action and the arm holds; the node says what is wrong in one
    line, connects again and goes on. The server may come up after the node.
    """

    def __init__(self) -> None:
        super().__init__("vla_http")
        remote = parameters.text(
            self, "remote", "franka_pick_served", "Served policy: name or path of its file."
        )
        chunking = parameters.text(
            self, "chunking", "",
            "Chunking strategy: name or path of its settings; empty: prefix where the server"
            " takes one, else sync.",
        )  # fmt: skip
        seed = parameters.integer(
            self, "noise_seed", 0, 0, 2**31 - 1, "Seed of the sampling noise that is sent."
        )
        self._engine = load_remote(remote, self.contract, self.get_logger().info)
        settings = load_chunking(
            chunking or ("prefix" if self._engine.supports_prefix else "sync")
        )
        strategy = Served(settings, self._engine)
        self._worker: InferenceWorker[Job, Plan] = InferenceWorker(strategy.plan)
        self._runtime = ChunkRuntime(
            self.contract, settings, strategy, self._engine.version, self._worker, seed
        )
        self._filter = FilterStatus(self, self.complaints)
        self._closing = threading.Event()
        self.get_logger().info(f"{self._engine.name}, strategy {strategy.name}")
        threading.Thread(target=self._meet, name="meet", daemon=True).start()
        self.start()

    @property
    def version(self) -> str:
        """Of file and server: ``remote:<name>@<digest>``."""
        return self._engine.version

    def close(self) -> None:
        """Stops the tick, then the inference, then the connection."""
        self._closing.set()
        super().close()
        self._worker.stop()
        self._engine.close()

    def start_episode(self, episode_id: str) -> None:
        """Empties the queue; a chunk still on its way is dropped when it arrives."""
        self._runtime.start_episode()

    def step(self, stamp: int, seen: AlignedObservation) -> Step:
        """Splices what has arrived, asks for the next chunk, takes the next action."""
        self._runtime.version = self._engine.version
        acted = self._runtime.tick(stamp, seen.observation, self._filter.following)
        for line in acted.problems:
            self.complaints.say(f"vla_http: {line}", kind=line.partition(":")[0])
        return Step(
            acted.action,
            chunk=acted.chunk,
            chunk_stamp_ns=acted.chunk_stamp_ns,
            values=acted.values,
        )

    def _meet(self) -> None:
        """The first connection, before an episode needs it; later ones are the worker's."""
        while not self._closing.is_set():
            try:
                self._engine.connect()
                return
            except InputError as error:
                self.complaints.say(f"vla_http: {error}", kind="no connection")
            self._closing.wait(RETRY_S)


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return spin(VlaHttp, args, realtime_priority=10)


if __name__ == "__main__":
    sys.exit(main())
