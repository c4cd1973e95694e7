"""The multi-step flow teacher of a bundle: its velocity, and the guidance towards a target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.bundle import MANIFEST, Bundle
from vla_rl_nodes.policy.checked_engine import trial
from vla_rl_nodes.policy.graph import (
    Graph,
    Port,
    batch_of,
    chunk_port,
    observation_feed,
    stream_ports,
)

CONTEXT = "context.onnx"
VELOCITY = "velocity.onnx"
FIELD = "field.onnx"

Floats = NDArray[np.float32]


class FlowField:
    """``context.onnx``, ``velocity.onnx`` and ``field.onnx``: the observation once, the field as
    often as needed, and in the last with the correction, whose cost the plain teacher is spared.

    Flow time τ is 0 at noise and 1 at data, and every row of a chunk has its own: committed rows
    are pinned at 1. The chunks x here are normalised; :meth:`normalised` and :meth:`actions`
    convert.

    Attributes:
        steps: equal Euler steps that the teacher was made for.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        """Opens both graphs, checks them against contract and manifest, and tries them.

        Raises:
            InputError: the manifest declares no flow or one that does not fit the contract, a
                graph is missing or does not fit, or a trial run fails.
        """
        manifest = bundle.path / MANIFEST
        flow = bundle.manifest.flow
        if flow is None:
            raise InputError(manifest, "declares no flow", "export the policy with its teacher")
        self._contract = bundle.contract
        action = bundle.contract.action
        self._shape = (action.chunk_length, len(action.names))
        for name, values in (("mean", flow.action_mean), ("spread", flow.action_spread)):
            if len(values) != self._shape[1]:
                raise InputError(
                    f"{manifest}: flow.action_{name}",
                    f"has {len(values)} axes, the contract {self._shape[1]}",
                    "export it for this contract",
                )
        self.steps = flow.steps
        self._mean = np.array(flow.action_mean, np.float32)
        self._spread = np.array(flow.action_spread, np.float32)
        # float32, because a bound such as 0.15 rounds upwards in it.
        self._minimum = action.minimum.astype(np.float32)
        self._maximum = action.maximum.astype(np.float32)
        self._encoder = Graph(
            bundle,
            CONTEXT,
            stream_ports(bundle.contract),
            {"context": Port("float32", (None,))},
            threads,
        )
        chunk, rows = chunk_port(bundle.contract), Port("float32", self._shape[:1])
        self._field = Graph(
            bundle,
            FIELD,
            {
                "context": self._encoder.outputs["context"],
                "x": chunk,
                "tau": rows,
                "target": chunk,
                "weight": rows,
            },
            {"velocity": chunk, "correction": chunk},
            threads,
        )
        self._plain = Graph(
            bundle,
            VELOCITY,
            {"context": self._encoder.outputs["context"], "x": chunk, "tau": rows},
            {"velocity": chunk},
            threads,
        )
        self._try(bundle)

    def context(self, observation: Mapping[str, NDArray[Any]]) -> Floats:
        """What the field is conditioned on, float32 [C].

        Args:
            observation: stream key to array, as contract.observation.assemble makes it.

        Raises:
            InputError: a stream is missing, of another shape or type, or not finite; or the
                graph's output is not finite.
        """
        feed = observation_feed(self._contract, observation)
        context: Floats = self._encoder.run(feed, ["context"], 1)[0][0]
        return context

    def velocity(self, context: Floats, x: Floats, tau: Floats) -> Floats:
        """The field v [N, H, A] at normalised chunks.

        Args:
            context: float32 [C] of :meth:`context`, the same for all chunks.
            x: normalised chunks, float32 [N, H, A].
            tau: flow time of every row, float32 [N, H], 0 to 1.

        Raises:
            InputError: an argument has another shape or type, is not finite or out of range, or
                the graph's output is not finite.
        """
        feed = self._feed(context, x, tau)
        velocity: Floats = self._plain.run(feed, ["velocity"], len(x))[0]
        return velocity

    def velocity_and_correction(
        self, context: Floats, x: Floats, tau: Floats, target: Floats, weight: Floats
    ) -> tuple[Floats, Floats]:
        """The field, and the direction that takes its clean estimate towards a target.

        With Â(x) = x + (1 - τ)·v(x, τ) and its Jacobian J, the correction is Jᵀ[(target - Â)·W],
        computed exactly inside the graph (real-time chunking, arXiv 2506.07339, equation 2).

        Args:
            context: float32 [C] of :meth:`context`.
            x: normalised chunks, float32 [N, H, A].
            tau: flow time of every row, float32 [N, H], 0 to 1.
            target: normalised chunks, float32 [N, H, A].
            weight: W of every row, float32 [H], not negative.

        Returns:
            velocity and correction, float32 [N, H, A] each.

        Raises:
            InputError: as :meth:`velocity`.
        """
        feed = self._feed(context, x, tau)
        if target.shape != x.shape:
            raise InputError("target", "has not one chunk for each x", "give as many")
        batch_of("target", target, self._shape)
        batch_of("weight", weight[None], self._shape[:1])
        if (weight < 0).any():
            raise InputError("weight", "is negative", "give weights of 0 or more")
        feed["target"] = target
        feed["weight"] = np.repeat(weight[None], len(x), axis=0)
        velocity, correction = self._field.run(feed, ["velocity", "correction"], len(x))
        return velocity, correction

    def normalised(self, actions: Floats) -> Floats:
        """Actions [..., A] of the contract in the field's units, float32."""
        x: Floats = (actions - self._mean) / self._spread
        return x

    def actions(self, x: Floats) -> Floats:
        """Normalised actions [..., A] in the contract's units, clipped to its bounds, float32."""
        actions: Floats = np.clip(x * self._spread + self._mean, self._minimum, self._maximum)
        return actions

    def _feed(self, context: Floats, x: Floats, tau: Floats) -> dict[str, NDArray[Any]]:
        size = self._encoder.outputs["context"].shape
        batch_of("context", context[None], [n for n in size if n is not None])
        rows = batch_of("x", x, self._shape)
        if batch_of("tau", tau, self._shape[:1]) != rows:
            raise InputError("tau", "has not one row for each x", "give as many")
        if (tau < 0).any() or (tau > 1).any():
            raise InputError("tau", "is outside 0 to 1", "0 is noise, 1 is data")
        return {"context": np.repeat(context[None], rows, axis=0), "x": x, "tau": tau}

    def _try(self, bundle: Bundle) -> None:
        """A run of every output with one chunk and with three; the first calls are the slowest."""
        generator = np.random.default_rng(0)
        observation, _ = trial(bundle, generator)
        context = self.context(observation)
        for count in (1, 3):
            x = generator.standard_normal((count, *self._shape), np.float32)
            tau = generator.random((count, self._shape[0]), np.float32)
            weight = generator.random(self._shape[0], np.float32)
            plain = self.velocity(context, x, tau)
            both, _ = self.velocity_and_correction(context, x, tau, x, weight)
            if not np.allclose(plain, both, rtol=1e-3, atol=1e-3):
                raise InputError(
                    bundle.path / VELOCITY, f"differs from {FIELD}", "export the policy again"
                )
