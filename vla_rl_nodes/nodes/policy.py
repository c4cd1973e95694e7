"""policy: runs a policy bundle with real-time chunking, one action at every control tick."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.chunking.queue import ActionQueue, Request
from vla_rl_nodes.chunking.worker import Done, InferenceWorker
from vla_rl_nodes.contract.observation import Observation
from vla_rl_nodes.ingest.observe import AlignedObservation
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.nodes.spin import spin
from vla_rl_nodes.nodes.step_node import Step, StepNode
from vla_rl_nodes.policy.bundle import load_bundle
from vla_rl_nodes.policy.engine import OnnxEngine
from vla_rl_nodes.policy.trust import trusted_keys
from vla_rl_nodes.resources import resource


@dataclass(frozen=True)
class Job:
    """One inference: the request, the observation of its tick, and the noise it starts from."""

    request: Request
    stamp_ns: int
    observation: Observation
    noise_seed: int


Chunk = NDArray[np.float64]


class Policy(StepNode):
    """Loads a bundle, refuses one that does not fit the contract, and steps it."""

    def __init__(self) -> None:
        super().__init__("policy")
        action = self.contract.action
        path = parameters.text(self, "bundle", "", "Policy bundle folder; empty: the shipped one.")
        keys = parameters.text(
            self, "trusted_keys", "", "Folder of public keys (*.pub); empty: the shipped one."
        )
        self._seed = parameters.integer(
            self, "noise_seed", 0, 0, 2**31 - 1, "Seed of the policy's sampling noise."
        )
        replan_every = parameters.integer(
            self, "replan_every", 4, 1, action.chunk_length, "Ticks between two chunks."
        )
        bundle = load_bundle(
            Path(path).expanduser() if path else resource(f"config/policies/{self.contract.name}"),
            self.contract,
            trusted_keys(Path(keys) if keys else None),
        )
        self._engine = OnnxEngine(bundle)
        self._version = bundle.version
        self._queue = ActionQueue(
            action.chunk_length, len(action.names), action.max_delay,
            min(replan_every, action.chunk_length - action.max_delay),
        )  # fmt: skip
        self._worker: InferenceWorker[Job, Chunk] = InferenceWorker(self._infer)
        self._chunk_values: dict[str, str] = {}
        self._acted = False
        self.get_logger().info(f"bundle {bundle.version} on onnxruntime")
        self.start()

    @property
    def version(self) -> str:
        """The bundle's version."""
        return self._version

    def close(self) -> None:
        """Stops the tick, then the inference."""
        super().close()
        self._worker.stop()

    def start_episode(self, episode_id: str) -> None:
        """Empties the queue; a chunk still being computed is dropped when it arrives."""
        self._queue.start_episode()
        self._chunk_values, self._acted = {}, False

    def step(self, stamp: int, seen: AlignedObservation) -> Step:
        """Splices what has arrived, takes the next action, asks for the next chunk."""
        arrived = self._splice()
        request = self._queue.request()
        planned = self._queue.take()
        if request is not None:
            # One seed for each chunk makes the noise a recorded, reproducible input.
            seed = (self._seed * 1_000_003 + stamp) % 2**63
            self._worker.submit(Job(request, stamp, seen.observation, seed))
        values = dict(self._chunk_values)
        if planned is not None:
            values["chunk_id"] = str(planned.chunk_id)
            values["chunk_index"] = str(planned.chunk_index)
        # Until the first chunk of an episode has come, the arm waits; it is not starved.
        self._acted = self._acted or planned is not None
        values["starved"] = str(int(planned is None and self._acted))
        if arrived is None or arrived.answer is None:
            return Step(None if planned is None else planned.action, values=values)
        return Step(
            None if planned is None else planned.action,
            chunk=arrived.answer,
            chunk_stamp_ns=arrived.job.stamp_ns,
            values=values,
        )

    def _infer(self, job: Job) -> Chunk:
        action = self.contract.action
        shape = (action.chunk_length, len(action.names))
        noise = np.random.default_rng(job.noise_seed).standard_normal(shape, dtype=np.float32)
        prefix = np.zeros(shape, dtype=np.float32)
        prefix[: job.request.delay] = job.request.prefix
        chunk = self._engine.infer(job.observation, prefix, job.request.delay, noise)
        return chunk.astype(np.float64)

    def _splice(self) -> Done[Job, Chunk] | None:
        used = None
        for done in self._worker.finished():
            request = done.job.request
            if done.answer is None:
                self._queue.failed(request)
                self.complaints.say(f"policy: no chunk: {done.error}", kind="no chunk")
                continue
            spliced = self._queue.splice(request, done.answer)
            if not spliced.used:
                self.get_logger().info(f"a chunk was dropped: {spliced.reason}")
                continue
            used = done
            self._chunk_values = {
                "delay": str(spliced.consumed_delay),
                "prefix_length": str(request.delay),
                "noise_seed": str(done.job.noise_seed),
                "inference_ms": f"{done.milliseconds:.3f}",
            }
        return used


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return spin(Policy, args, realtime_priority=10)


if __name__ == "__main__":
    sys.exit(main())
