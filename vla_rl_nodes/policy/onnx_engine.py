"""The engine on onnxruntime: on the CPU, on CUDA, or through its TensorRT provider."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.bundle import MODEL, Bundle
from vla_rl_nodes.policy.checked_engine import CheckedEngine, Floats, Samples
from vla_rl_nodes.policy.providers import NAMES, Built, Device, open_session

_TYPES = {"uint8": "tensor(uint8)", "float32": "tensor(float)", "int64": "tensor(int64)"}
_DTYPES = {name: np.dtype(dtype) for dtype, name in _TYPES.items()}


class OnnxEngine(CheckedEngine):
    """A bundle's student on onnxruntime, which releases the interpreter while it computes.

    The graph takes every stream of the contract, ``prefix``, ``delay`` and ``noise``, and gives
    ``chunk`` and, where the manifest declares it, ``outcome``.
    """

    def __init__(
        self,
        bundle: Bundle,
        threads: int = 1,
        *,
        device: Device = "cpu",
        candidates: int = 16,
        file: str = MODEL,
        built: Built | None = None,
    ) -> None:
        """Loads the graph, checks its inputs and outputs, and runs it to warm up.

        Args:
            bundle: a verified bundle.
            threads: of the CPU that one call may use.
            device: ``cpu``, ``cuda`` or ``tensorrt``.
            candidates: the most noises that a call of infer_many may bring.
            file: which graph of the bundle; ``weak.onnx`` has the student's interface, too.
            built: what ``tensorrt`` runs in the graph's place; see policy.tensorrt_build.

        Raises:
            InputError: the device is not there; or the graph cannot be loaded, has other inputs
                or outputs than the contract asks for, or changes the prefix, leaves the action
                bounds or gives no probability in a trial run.
        """
        super().__init__(bundle, NAMES[device], candidates, file)
        self._device = device
        self._session = open_session(
            self._place,
            bundle.files[file],
            device,
            threads,
            profile=self._input_shapes(),
            built=built,
        )
        self._check_interface()
        inputs = self._session.get_inputs()
        axes = {node.name: node.shape[0] for node in inputs}
        # An input that shares the noise's batch axis has one row for each candidate; one with an
        # axis of its own, such as an observation that is encoded once, has a single row.
        self._many = isinstance(axes["noise"], str)
        self._repeated = {
            name: self._many and axis == axes["noise"] for name, axis in axes.items()
        }
        self._buffers = {
            node.name: np.zeros(
                (candidates if self._repeated[node.name] else 1, *node.shape[1:]),
                _DTYPES[node.type],
            )
            for node in inputs
        }
        self._results = {
            node.name: np.zeros((candidates, *node.shape[1:]), np.float32)
            for node in self._session.get_outputs()
        }
        self._bound: dict[int, Bound] = {}
        self._lock = threading.Lock()
        self._warm_up()

    def _run(
        self, samples: Samples, prefix: Floats, delay: int, noise: Floats
    ) -> tuple[Floats, Floats | None]:
        if not self._many and len(noise) > 1:
            parts = [
                self._run(samples, prefix, delay, noise[i : i + 1]) for i in range(len(noise))
            ]
            outcomes = [outcome for _, outcome in parts if outcome is not None]
            return (
                np.concatenate([chunks for chunks, _ in parts]),
                np.concatenate(outcomes) if outcomes else None,
            )
        count = len(noise)
        feed = {**samples, "prefix": prefix, "delay": delay, "noise": noise}
        with self._lock:
            bound = self._bound.get(count)
            if bound is None:
                bound = self._bound[count] = self._bind(count)
            for name, value in feed.items():
                # Rows that an input has in common are written once for each candidate.
                bound.inputs[name][...] = value
            bound.run(self._session, self._place)
            outcome = bound.outputs.get("outcome")
            return bound.outputs["chunk"].copy(), None if outcome is None else outcome.copy()

    def _bind(self, count: int) -> Bound:
        inputs = {
            name: buffer[: count if self._repeated[name] else 1]
            for name, buffer in self._buffers.items()
        }
        outputs = {name: result[:count] for name, result in self._results.items()}
        return Bound(self._session, inputs, outputs, None if self._device == "cpu" else "cuda")

    def _input_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of all inputs, without the batch axis."""
        shapes = {key: shape for key, shape, _, _ in self._streams}
        return {**shapes, "prefix": self._shape, "delay": (), "noise": self._shape}

    def _check_interface(self) -> None:
        types = {key: dtype.name for key, _, dtype, _ in self._streams}
        types |= {"prefix": "float32", "delay": "int64", "noise": "float32"}
        inputs = {key: (types[key], shape) for key, shape in self._input_shapes().items()}
        outputs: dict[str, tuple[str, tuple[int, ...]]] = {"chunk": ("float32", self._shape)}
        given = [node.name for node in self._session.get_outputs()]
        # The weak policy is an earlier checkpoint, from before there was a forecast perhaps.
        if self._bins is not None and (self.file == MODEL or "outcome" in given):
            outputs["outcome"] = ("float32", (2, self._bins))
        for kind, nodes, expected in (
            ("input", self._session.get_inputs(), inputs),
            ("output", self._session.get_outputs(), outputs),
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
                if node.type != _TYPES[dtype] or not batched or tuple(node.shape[1:]) != shape:
                    raise InputError(
                        self._place,
                        f"{kind} '{name}' is {node.type} {node.shape}, not {_TYPES[dtype]}"
                        f" {list(shape)}",
                        "export it for this contract",
                    )


class Bound:
    """Buffers of one batch size, and onnxruntime's binding to them.

    The addresses never change, so that nothing is allocated or looked up in a call. On a GPU an
    input is copied there once, as a whole, and the answer comes back into the same host memory.

    Attributes:
        inputs: host memory to write, by input.
        outputs: host memory to read, by output.
    """

    def __init__(
        self,
        session: Any,
        inputs: Mapping[str, NDArray[Any]],
        outputs: Mapping[str, NDArray[Any]],
        copied_to: str | None,
    ) -> None:
        """Binds the buffers.

        Args:
            session: of onnxruntime.
            inputs: contiguous host memory, by input.
            outputs: contiguous host memory, by output.
            copied_to: onnxruntime's name of the device that inputs are copied to before a run;
                None where the session reads the host's memory.
        """
        self.inputs, self.outputs = inputs, outputs
        self._binding = session.io_binding()
        self._on_device: dict[str, Any] = {}
        for name, array in inputs.items():
            if copied_to is None:
                self._binding.bind_input(
                    name, "cpu", 0, array.dtype, array.shape, array.ctypes.data
                )
            else:
                value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                    array.shape, array.dtype, copied_to, 0
                )
                self._binding.bind_ortvalue_input(name, value)
                self._on_device[name] = value
        for name, array in outputs.items():
            self._binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)

    def run(self, session: Any, place: Path) -> None:
        """From the inputs to the outputs.

        Raises:
            InputError: onnxruntime fails.
        """
        try:
            for name, value in self._on_device.items():
                value.update_inplace(self.inputs[name])
            session.run_with_iobinding(self._binding)
        except Exception as error:  # onnxruntime raises many unrelated types here
            raise InputError(
                place, "fails when it is run", "export it for this contract"
            ) from error
