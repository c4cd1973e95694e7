"""One ONNX graph of a bundle: opened with safe options, checked, and run on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vla_rl_nodes.contract.observation import assemble
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.bundle import Bundle

_TYPES = {"uint8": "tensor(uint8)", "float32": "tensor(float)", "int64": "tensor(int64)"}
# A folder that cannot exist: onnxruntime would take weights that a graph does not hold itself
# from files in the working folder, which nobody has signed.
_NO_FOLDER = "/dev/null/none"


@dataclass(frozen=True)
class Port:
    """One input or output: its type, and its shape without the batch axis; None is any size."""

    dtype: str
    shape: tuple[int | None, ...]


def stream_ports(contract: Contract) -> dict[str, Port]:
    """The inputs that hold an observation: one for each stream, by its key."""
    return {s.key: Port(s.dtype.name, s.shape) for s in contract.streams}


def chunk_port(contract: Contract) -> Port:
    """The type and shape of a chunk, float32 [H, A]."""
    return Port("float32", (contract.action.chunk_length, len(contract.action.names)))


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Options under which a graph leaves the control tick its core.

    Raises:
        InputError: no thread at all.
    """
    if threads < 1:
        raise InputError("threads", f"is {threads}", "give at least 1")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    # Spinning threads would take the core that the control tick needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", _NO_FOLDER
    )
    return options


class Graph:
    """A graph of a verified bundle. Calls from several threads are safe."""

    def __init__(
        self,
        bundle: Bundle,
        name: str,
        inputs: Mapping[str, Port],
        outputs: Mapping[str, Port],
        threads: int = 1,
    ) -> None:
        """Opens the verified bytes and compares inputs and outputs, by name, type and shape.

        Args:
            bundle: holds the bytes.
            name: the file's, such as ``critic.onnx``.
            inputs: every input that it must have; no other is allowed.
            outputs: every output that it must have; no other is allowed.
            threads: that one call may use.

        Raises:
            InputError: the bundle has no such file, onnxruntime does not load it, or an input or
                an output is missing, unknown, of another type or shape, or of a fixed batch.
        """
        self.place = bundle.path / name
        options = session_options(threads)
        if name not in bundle.files:
            raise InputError(self.place, "is not in the bundle", "export it with the policy")
        try:
            self._session = onnxruntime.InferenceSession(
                bundle.files[name], options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises many unrelated types here
            raise InputError(
                self.place, "is no model that onnxruntime loads", "export it again"
            ) from error
        self.inputs = self._found("input", self._session.get_inputs(), inputs)
        self.outputs = self._found("output", self._session.get_outputs(), outputs)

    def run(
        self, feed: Mapping[str, NDArray[Any]], wanted: Sequence[str], batch: int
    ) -> list[NDArray[Any]]:
        """The wanted outputs, each [batch, ...].

        Args:
            feed: every input by name.
            wanted: names of outputs.
            batch: rows that each of them must have.

        Raises:
            InputError: the graph fails, or gives another shape or a value that is not finite.
        """
        try:
            values: list[NDArray[Any]] = self._session.run(list(wanted), dict(feed))
        except Exception as error:  # as above
            raise InputError(
                self.place, "fails when it is run", "export it for this contract"
            ) from error
        for name, value in zip(wanted, values, strict=True):
            shape = (batch, *self.outputs[name].shape)
            fits = len(shape) == value.ndim and all(
                size is None or size == given
                for size, given in zip(shape, value.shape, strict=True)
            )
            if not fits:
                raise InputError(
                    self.place,
                    f"gave '{name}' as {list(value.shape)}",
                    "export it for this contract",
                )
            if not np.isfinite(value).all():
                raise InputError(
                    self.place, f"gave a '{name}' that is not finite", "train it again"
                )
        return values

    def _found(self, kind: str, nodes: Any, expected: Mapping[str, Port]) -> dict[str, Port]:
        """What the graph says about itself: sizes that were any are now the graph's own."""
        found = {node.name: node for node in nodes}
        for name in sorted(expected.keys() ^ found.keys()):
            problem = "is missing" if name in expected else "is unknown"
            raise InputError(
                self.place, f"{kind} '{name}' {problem}", "export it for this contract"
            )
        ports = {}
        for name, port in expected.items():
            node = found[name]
            shape = list(node.shape)
            fits = (
                node.type == _TYPES[port.dtype]
                and len(shape) == 1 + len(port.shape)
                and isinstance(shape[0], str)
                and all(
                    given == size if size is not None else isinstance(given, int)
                    for size, given in zip(port.shape, shape[1:], strict=True)
                )
            )
            if not fits:
                sizes = ", ".join("any" if n is None else str(n) for n in ("batch", *port.shape))
                raise InputError(
                    self.place,
                    f"{kind} '{name}' is {node.type} {shape}, not {_TYPES[port.dtype]} [{sizes}]",
                    "export it for this contract",
                )
            ports[name] = Port(port.dtype, tuple(shape[1:]))
        return ports


def observation_feed(
    contract: Contract, observation: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """One observation as the stream inputs of a graph, each [1, ...].

    Raises:
        InputError: a stream is missing, of another shape or type, or not finite.
    """
    samples = assemble(contract, observation)
    for key, value in samples.items():
        if value.dtype != np.uint8 and not np.isfinite(value).all():
            raise InputError(key, "is not finite", "check its publisher")
    return {key: value[None] for key, value in samples.items()}


def batch_of(name: str, value: NDArray[Any], shape: Sequence[int]) -> int:
    """The number of rows N of a float32 array [N, *shape].

    Raises:
        InputError: another type or shape, no row, or a value that is not finite.
    """
    if value.dtype != np.float32 or value.shape[1:] != tuple(shape) or not value.shape[0]:
        sizes = ", ".join(str(n) for n in ("N", *shape))
        raise InputError(
            name,
            f"is {value.dtype}{list(value.shape)}, not float32[{sizes}]",
            "make it fit the contract's chunk",
        )
    if not np.isfinite(value).all():
        raise InputError(name, "is not finite", "check what makes it")
    return len(value)
