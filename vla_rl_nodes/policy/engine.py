"""What an engine is: a policy that turns an observation and committed actions into chunks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from vla_rl_nodes.policy.bundle import Bundle
from vla_rl_nodes.policy.checked_engine import Candidates, Floats
from vla_rl_nodes.policy.onnx_engine import OnnxEngine

__all__ = ["Candidates", "Engine", "OnnxEngine"]


class Engine(Protocol):
    """The interface of every engine; see checked_engine.CheckedEngine for what is checked.

    Attributes:
        name: ``onnxruntime-cpu``, ``onnxruntime-cuda``, ``onnxruntime-tensorrt`` or ``tensorrt``.
        bundle: what it runs.
    """

    name: str
    bundle: Bundle

    def infer(
        self, observation: Mapping[str, NDArray[Any]], prefix: Floats, delay: int, noise: Floats
    ) -> Floats:
        """One chunk, float32 [H, A], in action units.

        Args:
            observation: stream key to array, as contract.observation.assemble makes it.
            prefix: float32 [H, A]; its first ``delay`` rows are committed, the rest is ignored.
            delay: number of committed actions, 0 to the contract's max_delay.
            noise: float32 [H, A], standard normal.

        Raises:
            InputError: an argument must not be used, or the answer must not.
        """

    def infer_many(
        self, observation: Mapping[str, NDArray[Any]], prefix: Floats, delay: int, noise: Floats
    ) -> Candidates:
        """One chunk for each noise of float32 [N, H, A]; else as :meth:`infer`."""
