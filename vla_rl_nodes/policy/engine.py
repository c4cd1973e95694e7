"""Runs a verified bundle with onnxruntime on the CPU, one chunk of actions a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vla_rl_nodes.contract.observation import assemble
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.bundle import MODEL, Bundle

_WARM_UP_RUNS = 3
_TYPES = {"uint8": "tensor(uint8)", "float32": "tensor(float)", "int64": "tensor(int64)"}


class OnnxEngine:
    """A policy that turns an observation and the actions already committed into a chunk.

    The graph takes every stream of the contract, ``prefix``, ``delay`` and ``noise``, and gives
    ``chunk``; all in the contract's units, normalisation is inside. Calls from several threads
    are safe; onnxruntime releases the interpreter while it computes.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        """Loads the graph, checks its inputs and outputs, and runs it to warm up.

        Raises:
            InputError: the graph cannot be loaded, has other inputs or outputs than the contract
                asks for, or changes the prefix or leaves the action bounds in a trial run.
        """
        if threads < 1:
            raise InputError("threads", f"is {threads}", "give at least 1")
        self.bundle = bundle
        self._place = bundle.path / MODEL
        self._contract = bundle.contract
        action = bundle.contract.action
        self._shape = (action.chunk_length, len(action.names))
        # float32, because a bound such as 0.15 rounds upwards in it.
        self._minimum = action.minimum.astype(np.float32)
        self._maximum = action.maximum.astype(np.float32)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = 3
        # Spinning threads would take the core that the control tick needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                bundle.model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises many unrelated types here
            raise InputError(
                self._place, "is no model that onnxruntime loads", "export it again"
            ) from error
        self._check_interface()
        self._warm_up()

    def infer(
        self,
        observation: Mapping[str, NDArray[Any]],
        prefix: NDArray[np.float32],
        delay: int,
        noise: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """One chunk [H, A] in action units, whose rows before ``delay`` are the prefix's.

        Args:
            observation: stream key to array, as contract.observation.assemble makes it.
            prefix: float32 [H, A]; its first ``delay`` rows are committed, the rest is ignored.
            delay: number of committed actions, 0 to the contract's max_delay.
            noise: float32 [H, A], standard normal; a zero array is outside what was trained.

        Raises:
            InputError: an argument has the wrong shape, type or range or is not finite, the
                delay is above the trained maximum, or the network's output is not finite.
        """
        samples = assemble(self._contract, observation)
        for key, value in samples.items():
            if value.dtype != np.uint8 and not np.isfinite(value).all():
                raise InputError(key, "is not finite", "check its publisher")
        largest = self._contract.action.max_delay
        if not 0 <= delay <= largest:
            raise InputError(
                "delay", f"{delay} is outside 0 to {largest}", "infer faster or train for more"
            )
        self._check_array("prefix", prefix)
        self._check_array("noise", noise)
        committed = prefix[:delay]
        if (committed < self._minimum).any() or (committed > self._maximum).any():
            raise InputError("prefix", "is outside the contract's bounds", "bound the actions")
        chunk = self._run(samples, prefix, delay, noise)
        # The graph keeps the prefix; this makes it so bit for bit, whatever made the graph.
        chunk[:delay] = committed
        return chunk

    def _run(
        self,
        samples: Mapping[str, NDArray[Any]],
        prefix: NDArray[np.float32],
        delay: int,
        noise: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        feed = {key: value[None] for key, value in samples.items()}
        feed["prefix"] = prefix[None]
        feed["delay"] = np.array([delay], dtype=np.int64)
        feed["noise"] = noise[None]
        chunk: NDArray[np.float32] = self._session.run(["chunk"], feed)[0][0]
        if chunk.shape != self._shape or not np.isfinite(chunk).all():
            raise InputError(self._place, "gave a chunk that is not finite", "retrain it")
        return chunk

    def _check_array(self, name: str, value: NDArray[np.float32]) -> None:
        if value.shape != self._shape or value.dtype != np.float32:
            raise InputError(
                name,
                f"is {value.dtype}{list(value.shape)}, not float32{list(self._shape)}",
                "make it fit the contract's chunk",
            )
        if not np.isfinite(value).all():
            raise InputError(name, "is not finite", "check what makes it")

    def _check_interface(self) -> None:
        chunk = list(self._shape)
        wanted = {s.key: (_TYPES[s.dtype.name], list(s.shape)) for s in self._contract.streams}
        wanted["prefix"] = (_TYPES["float32"], chunk)
        wanted["delay"] = (_TYPES["int64"], [])
        wanted["noise"] = (_TYPES["float32"], chunk)
        for kind, nodes, expected in (
            ("input", self._session.get_inputs(), wanted),
            ("output", self._session.get_outputs(), {"chunk": (_TYPES["float32"], chunk)}),
        ):
            found = {node.name: node for node in nodes}
            for name in sorted(expected.keys() ^ found.keys()):
                problem = "is missing" if name in expected else "is unknown"
                raise InputError(
                    self._place, f"{kind} '{name}' {problem}", "export it for this contract"
                )
            for name, (dtype, shape) in expected.items():
                node = found[name]
                batch = node.shape[0] if node.shape else None
                batched = isinstance(batch, str) or batch == 1
                if node.type != dtype or not batched or list(node.shape[1:]) != shape:
                    raise InputError(
                        self._place,
                        f"{kind} '{name}' is {node.type} {node.shape}, not {dtype} {shape}",
                        "export it for this contract",
                    )

    def _warm_up(self) -> None:
        """Trial runs at every delay; the first ones allocate and are the slowest."""
        generator = np.random.default_rng(0)
        samples: dict[str, NDArray[Any]] = {}
        for stream in self._contract.streams:
            if stream.kind == "image":
                samples[stream.key] = generator.integers(0, 256, stream.shape, np.uint8)
            else:
                samples[stream.key] = np.zeros(stream.shape, np.float32)
        for delay in range(self._contract.action.max_delay + 1):
            share = generator.random(self._shape, np.float32)
            prefix = self._minimum + share * (self._maximum - self._minimum)
            noise = generator.standard_normal(self._shape, np.float32)
            for _ in range(_WARM_UP_RUNS):
                chunk = self._run(samples, prefix, delay, noise)
            if not np.allclose(chunk[:delay], prefix[:delay], rtol=0, atol=1e-6):
                raise InputError(
                    self._place, f"changes the prefix at delay {delay}", "export it again"
                )
            if (chunk < self._minimum).any() or (chunk > self._maximum).any():
                raise InputError(self._place, "leaves the action bounds", "export it again")
