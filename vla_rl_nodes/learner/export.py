"""Torch policy -> ONNX bytes, checked against onnxruntime before anyone may use them."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.policy import Policy

OPSET = 17
LARGEST_DIFFERENCE = 1e-4  # between torch and onnxruntime, in action units


class _Positional(nn.Module):
    """The exporter passes inputs by position; the policy takes streams by name."""

    def __init__(self, policy: Policy, keys: list[str]) -> None:
        super().__init__()
        self.policy, self.keys = policy, keys

    def forward(self, *inputs: Tensor) -> Tensor:
        observation = dict(zip(self.keys, inputs, strict=False))
        chunk: Tensor = self.policy(observation, *inputs[len(self.keys) :])
        return chunk


def export(policy: Policy, contract: Contract) -> bytes:
    """The policy as ONNX: inputs are the contract's stream keys, prefix, delay and noise."""
    keys = [stream.key for stream in contract.streams]
    shape = (1, contract.action.chunk_length, len(contract.action.names))
    example: list[Tensor] = [
        torch.zeros(1, *s.shape, dtype=torch.uint8 if s.kind == "image" else torch.float32)
        for s in contract.streams
    ]
    example += [torch.zeros(shape), torch.zeros(1, dtype=torch.int64), torch.zeros(shape)]
    names = [*keys, "prefix", "delay", "noise"]
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The TorchScript exporter is the one that needs no further package.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            _Positional(policy.eval(), keys),
            tuple(example),
            buffer,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=OPSET,
            input_names=names,
            output_names=["chunk"],
            dynamic_axes={name: {0: "batch"} for name in [*names, "chunk"]},
        )
    model = onnx.load_model_from_string(buffer.getvalue())
    onnx.checker.check_model(model, full_check=True)
    for node in model.graph.node:
        node.ClearField("doc_string")  # may name source files of this machine
        node.ClearField("metadata_props")
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def largest_difference(
    model: bytes,
    policy: Policy,
    observation: Mapping[str, Tensor],
    prefix: Tensor,
    delay: Tensor,
    noise: Tensor,
) -> float:
    """Greatest absolute difference between torch and onnxruntime over a batch, action units.

    Raises:
        InputError: it is above :data:`LARGEST_DIFFERENCE`, or a prefix row was changed.
    """
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    feed = {key: value.numpy() for key, value in observation.items()}
    feed |= {"prefix": prefix.numpy(), "delay": delay.numpy(), "noise": noise.numpy()}
    (given,) = session.run(["chunk"], feed)
    with torch.no_grad():
        wanted = policy(observation, prefix, delay, noise).numpy()
    difference = float(np.abs(given - wanted).max())
    if not difference <= LARGEST_DIFFERENCE:
        raise InputError(
            "policy.onnx",
            f"differs from torch by {difference:.1e}",
            "report the versions of torch and onnxruntime",
        )
    committed = np.arange(prefix.shape[1]) < delay.numpy()[:, None]
    if not np.array_equal(given[committed], prefix.numpy()[committed]):
        raise InputError("policy.onnx", "changes the prefix", "report the version of torch")
    return difference
