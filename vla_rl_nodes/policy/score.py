"""A graph that gives every candidate chunk one number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.policy.bundle import Bundle
from vla_rl_nodes.policy.checked_engine import trial
from vla_rl_nodes.policy.graph import (
    Graph,
    Port,
    batch_of,
    chunk_port,
    observation_feed,
    stream_ports,
)


class ChunkScore:
    """The streams, once, and N chunks in the contract's units -> N numbers."""

    def __init__(self, bundle: Bundle, name: str, output: str, threads: int) -> None:
        """Opens the bundle's file ``name`` and tries it with one chunk and with three.

        Raises:
            InputError: it is missing, does not fit the contract, or a trial run fails.
        """
        self._contract, self._output = bundle.contract, output
        action = bundle.contract.action
        self._shape = (action.chunk_length, len(action.names))
        self._graph = Graph(
            bundle,
            name,
            {**stream_ports(bundle.contract), "chunk": chunk_port(bundle.contract)},
            {output: Port("float32", ())},
            threads,
        )
        generator = np.random.default_rng(0)
        observation, chunk = trial(bundle, generator)
        for count in (1, 3):
            self.of(observation, np.repeat(chunk[None], count, axis=0))

    def of(
        self, observation: Mapping[str, NDArray[Any]], chunks: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """One number for each of the chunks [N, H, A], float32 [N].

        Raises:
            InputError: an argument or the result does not fit or is not finite.
        """
        feed = observation_feed(self._contract, observation)
        feed["chunk"] = chunks
        count = batch_of("chunks", chunks, self._shape)
        scores: NDArray[np.float32] = self._graph.run(feed, [self._output], count)[0]
        return scores
