"""A reward model's graph on onnxruntime: opened with safe options, checked, tried, and run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vla_rl_nodes.episodes.reward.folder import RewardModel
from vla_rl_nodes.episodes.reward.manifest import MODEL, ports
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.graph import Port, session_options

_TYPES = {"uint8": "tensor(uint8)", "float32": "tensor(float)", "int64": "tensor(int64)"}
_REMEDY = "export it for this contract"


class RewardGraph:
    """The model of a verified folder, which sees one sample at a time.

    Attributes:
        source: how its verdicts name it.
        streams: the observation streams that it takes.
    """

    def __init__(self, model: RewardModel, threads: int = 1) -> None:
        """Opens the verified bytes, compares inputs and outputs, and tries them with noise.

        Args:
            model: the folder.
            threads: of the CPU that one call may use.

        Raises:
            InputError: onnxruntime does not load it, an input or output is missing, unknown, of
                another type or shape, or the trial fails.
        """
        self.place = model.path / MODEL
        self.source = model.source
        self.streams = tuple(model.manifest.inputs)
        try:
            self._session = onnxruntime.InferenceSession(
                model.model, session_options(threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises many unrelated types here
            raise InputError(
                self.place, "is no model that onnxruntime loads", "export it again"
            ) from error
        self._inputs, self._outputs = ports(model.manifest, model.contract)
        self._check("input", self._session.get_inputs(), self._inputs)
        self._check("output", self._session.get_outputs(), self._outputs)
        self.run(_noise(self._inputs))

    def run(self, sample: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Every output of one sample, without the batch axis.

        Args:
            sample: every input, without the batch axis.

        Raises:
            InputError: an input does not fit, the graph fails, or it gives another shape or a
                value that is not finite.
        """
        feed = {}
        for name, port in self._inputs.items():
            value = sample[name]
            if value.dtype.name != port.dtype or value.shape != port.shape:
                raise InputError(name, f"is {value.dtype}{list(value.shape)}", "check the stream")
            feed[name] = np.ascontiguousarray(value[None])
        names = list(self._outputs)
        try:
            values = self._session.run(names, feed)
        except Exception as error:  # as above
            raise InputError(self.place, "fails when it is run", _REMEDY) from error
        found: dict[str, NDArray[np.float32]] = {}
        for name, value in zip(names, values, strict=True):
            if value.shape != (1, *self._outputs[name].shape):
                raise InputError(self.place, f"gave '{name}' as {list(value.shape)}", _REMEDY)
            if not np.isfinite(value).all():
                raise InputError(
                    self.place, f"gave a '{name}' that is not finite", "train it again"
                )
            found[name] = value[0]
        return found

    def _check(self, kind: str, nodes: Any, expected: Mapping[str, Port]) -> None:
        found = {node.name: node for node in nodes}
        for name in sorted(expected.keys() ^ found.keys()):
            problem = "is missing" if name in expected else "is unknown"
            raise InputError(self.place, f"{kind} '{name}' {problem}", _REMEDY)
        for name, port in expected.items():
            node, shape = found[name], list(found[name].shape)
            batched = bool(shape) and (shape[0] == 1 or isinstance(shape[0], str))
            if node.type != _TYPES[port.dtype] or not batched or shape[1:] != list(port.shape):
                raise InputError(
                    self.place,
                    f"{kind} '{name}' is {node.type} {shape}, not {_TYPES[port.dtype]}"
                    f" {[1, *port.shape]}",
                    _REMEDY,
                )


def _noise(inputs: Mapping[str, Port]) -> dict[str, NDArray[Any]]:
    """A made-up sample: wilder than anything a robot sees."""
    generator = np.random.default_rng(0)
    sample: dict[str, NDArray[Any]] = {}
    for name, port in inputs.items():
        shape = [1 if size is None else size for size in port.shape]
        if port.dtype == "uint8":
            sample[name] = generator.integers(0, 256, shape, np.uint8)
        elif port.dtype == "int64":
            sample[name] = np.zeros(shape, np.int64)
        else:
            sample[name] = generator.standard_normal(shape, np.float32)
    return sample
