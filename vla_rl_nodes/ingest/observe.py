"""The live observation: what the contract's rule chooses from what has arrived."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from vla_rl_nodes.contract.observation import Observation, assemble, digest, sample
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.ingest.buffer import Sample, StampedBuffer


@dataclass(frozen=True)
class AlignedObservation:
    """One step's observation, the stamps it was built from, and its hash."""

    observation: Observation
    stamps_ns: dict[str, int]
    sha256: str


class Observer:
    """Collects the contract's streams and builds the observation of a step. Thread-safe."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self._lock = threading.Lock()
        self._streams = {stream.key: stream for stream in contract.streams}
        self._buffers = {s.key: StampedBuffer(s.topic) for s in contract.streams}

    def add(self, key: str, message: Any, stamp_ns: int, now_ns: int) -> None:
        """Stores one message of a stream.

        Raises:
            InputError: it breaks the contract, or its stamp is stale, repeated or in the future.
        """
        value = sample(self._streams[key], message)
        with self._lock:
            self._buffers[key].add(Sample(stamp_ns, value), now_ns)

    def observe(self, at_ns: int, not_before_ns: int = 0) -> AlignedObservation | str:
        """The observation at a step, or the key of the first stream that has no usable sample.

        Args:
            at_ns: the step's time; nothing captured later is used.
            not_before_ns: the end of the reset; nothing captured before it is used.
        """
        chosen: dict[str, Sample] = {}
        with self._lock:
            for stream in self.contract.streams:
                newest = self._buffers[stream.key].newest(at_ns, stream.max_age_ns)
                if newest is None or newest.stamp_ns < not_before_ns:
                    return stream.key
                chosen[stream.key] = newest
        observation = assemble(self.contract, {k: s.value for k, s in chosen.items()})
        stamps = {key: s.stamp_ns for key, s in chosen.items()}
        return AlignedObservation(observation, stamps, digest(observation))
