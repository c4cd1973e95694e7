"""What a policy node does at every tick: the same work whichever way the tick comes."""

from __future__ import annotations

import os
import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState

from vla_rl_nodes.bench.tick.measure import Block
from vla_rl_nodes.bench.tick.variants import PERIOD_NS, Variant
from vla_rl_nodes.chunking.models import open_models
from vla_rl_nodes.chunking.runtime import ChunkRuntime
from vla_rl_nodes.chunking.settings import BestOfN, ChunkingSettings
from vla_rl_nodes.chunking.strategies.make import make_strategy
from vla_rl_nodes.chunking.strategies.strategy import Job, Plan
from vla_rl_nodes.chunking.worker import InferenceWorker
from vla_rl_nodes.contract.decode import stamp_ns
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.observation import Observation
from vla_rl_nodes.contract.spec import Stream
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.ingest.observe import Observer
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.event import OK, Event, to_message
from vla_rl_nodes.nodes.qos import COMMAND_OFFERED, STREAM
from vla_rl_nodes.nodes.vector import vector_message
from vla_rl_nodes.policy.bundle import load_bundle
from vla_rl_nodes.policy.trust import trusted_keys
from vla_rl_nodes.resources import resource

HEARD_FIRST = 20  # messages of every stream before the ticks count
WARM_UP = 50  # ticks with all their work before those that are measured
# Chunks back to back, each the best of so many samples on the CPU: an inference thread that
# computes for most of the time, for several ticks at a stretch.
SAMPLES = 64
CHUNKING = ChunkingSettings(
    chunking=1, strategy=BestOfN(name="best_of_n", samples=SAMPLES), replan_every=1
)


class PolicyWork:
    """Hears the contract's streams, and at each tick observes, acts, asks for a chunk, publishes.

    Args:
        node: the node under test.
        contract_name: contract with a shipped policy.
        variant: what is measured.
        seed: of the policy's sampling noise.
        ticks: how many deadlines are measured.
        finished: called once, in the tick's thread, after the last of them.
    """

    def __init__(
        self,
        node: Node,
        contract_name: str,
        variant: Variant,
        seed: int,
        ticks: int,
        finished: Callable[[], None],
    ) -> None:
        self._node, self._variant, self._finished = node, variant, finished
        self._ticks = ticks
        self._contract = load_contract(contract_name)
        self._observer = Observer(self._contract)
        self._complaints = Complaints(node.get_logger())
        self._heard: Counter[str] = Counter()
        self._lock = threading.Lock()
        for stream in self._contract.streams:
            node.create_subscription(
                Image if stream.kind == "image" else JointState,
                stream.topic,
                partial(self._hear, stream),
                STREAM,
                # A plain node would put its timer at the mercy of its own subscriptions without.
                callback_group=MutuallyExclusiveCallbackGroup() if variant.plain else None,
            )
        self._command = node.create_publisher(JointState, "policy/command", COMMAND_OFFERED)
        self._status = node.create_publisher(DiagnosticArray, "policy/status", STREAM)
        bundle = load_bundle(
            resource(f"config/policies/{self._contract.name}"), self._contract, trusted_keys(None)
        )
        models = open_models(bundle, "onnxruntime-cpu", candidates=SAMPLES)
        strategy = make_strategy(CHUNKING, models)
        self._worker: InferenceWorker[Job, Plan] = InferenceWorker(strategy.plan)
        self._runtime = ChunkRuntime(
            self._contract, CHUNKING, strategy, bundle.version, self._worker, seed
        )
        self._started, self._starter = False, os.getppid()
        self._done_ticks = self._blind = self._acted = 0
        self._end_ns = 0
        self._realtime = False
        self._times = array("q")
        self._inference_ms = array("d")

    def close(self) -> None:
        """Stops the inference."""
        self._worker.stop()

    def block(self) -> Block:
        """What was measured; after the end."""
        return Block(
            variant=self._variant.name,
            period_ns=PERIOD_NS,
            ticks=self._ticks,
            deadlines_ns=list(self._times[0::3]),
            starts_ns=list(self._times[1::3]),
            ends_ns=list(self._times[2::3]),
            inference_ms=list(self._inference_ms),
            blind=self._blind,
            acted=self._acted,
            realtime=self._realtime,
        )

    def tick(self, deadline_ns: int, start_ns: int) -> None:
        """One tick.

        Args:
            deadline_ns: when it was due, monotonic clock.
            start_ns: when it started, same clock.
        """
        if not self._started:
            self._started = self._all_heard()
            if os.getppid() != self._starter:
                self._finished()  # nobody waits for the result any more
            return
        if self._end_ns and deadline_ns >= self._end_ns:
            self._finished()
            return
        blind, acted = self._work(start_ns)
        self._done_ticks += 1
        if self._done_ticks <= WARM_UP:
            self._inference_ms = array("d")
            return
        if not self._end_ns:
            # Half a period of slack: a deadline is known to some microseconds only.
            self._end_ns = deadline_ns + self._ticks * PERIOD_NS - PERIOD_NS // 2
            # Asked of the system, in the thread that ticks, rather than taken from a setting.
            self._realtime = os.sched_getscheduler(0) == os.SCHED_FIFO
        self._blind += blind
        self._acted += acted
        self._times.extend((deadline_ns, start_ns, time.monotonic_ns()))

    def _all_heard(self) -> bool:
        with self._lock:
            heard = min((self._heard[s.key] for s in self._contract.streams), default=0)
        return heard >= HEARD_FIRST and self._command.get_subscription_count() > 0

    def _hear(self, stream: Stream, message: Any) -> None:
        try:
            now = self._node.get_clock().now().nanoseconds
            self._observer.add(stream.key, message, stamp_ns(message), now)
        except InputError as error:
            self._complaints.say(error, kind=f"{error.place} {error.remedy}")
        with self._lock:
            self._heard[stream.key] += 1

    def _work(self, start_ns: int) -> tuple[bool, bool]:
        """A policy node's tick; whether it was blind, and whether it acted."""
        stamp = self._node.get_clock().now().nanoseconds
        values = {"tick": str(self._done_ticks), "start_ns": str(start_ns)}
        seen = self._observer.observe(stamp)
        if isinstance(seen, str):
            self._say(stamp, values | {"blind": seen})
            return True, False
        values["observation_sha256"] = seen.sha256
        values |= {f"stamp.{key}": str(at) for key, at in seen.stamps_ns.items()}
        action, chunk_values = self._act(stamp, seen.observation)
        self._command.publish(
            vector_message(stamp, self._contract.action.names, action, self._variant.name)
        )
        self._say(stamp, values | chunk_values)
        return False, "chunk_id" in chunk_values

    def _act(
        self, stamp: int, observation: Observation
    ) -> tuple[NDArray[np.float64], dict[str, str]]:
        """The action [A] and what the log says of it.

        A node without inference commands as well: the smallest action is one like another.
        """
        least = self._contract.action.minimum
        if not self._variant.inference:
            return least, {}
        acted = self._runtime.tick(stamp, observation)
        for line in acted.problems:
            self._complaints.say(line, kind=line.partition(":")[0])
        if acted.answered is not None:
            self._inference_ms.append(float(acted.values["inference_ms"]))
        return least if acted.action is None else acted.action, acted.values

    def _say(self, stamp: int, values: dict[str, str]) -> None:
        self._status.publish(
            to_message(Event("policy", "running", values, self._runtime.version, OK, stamp))
        )
