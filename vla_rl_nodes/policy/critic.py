"""The critic of a bundle: what an observation and a chunk are worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.policy.bundle import Bundle
from vla_rl_nodes.policy.score import ChunkScore

CRITIC = "critic.onnx"


class Critic:
    """``critic.onnx``: the discounted return to expect from a chunk; higher is better."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        """Opens the graph, checks it and tries it.

        Raises:
            InputError: it is missing, does not fit the contract, or a trial run fails.
        """
        self._score = ChunkScore(bundle, CRITIC, "value", threads)

    def values(
        self, observation: Mapping[str, NDArray[Any]], chunks: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """The value of each of N chunks, float32 [N].

        Args:
            observation: stream key to array, as contract.observation.assemble makes it.
            chunks: candidates in the contract's units, float32 [N, H, A].

        Raises:
            InputError: an argument or the result does not fit or is not finite.
        """
        return self._score.of(observation, chunks)
