"""Torch policy -> ONNX bytes, checked against onnxruntime before anyone may use them."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.policy import Policy
from vla_rl_nodes.policy.graph import session_options

OPSET = 17
LARGEST_DIFFERENCE = 1e-4  # between torch and onnxruntime, in action units
RELATIVE_DIFFERENCE = 1e-5  # the same for the other graphs, to the greatest value


class _Positional(nn.Module):
    """The exporter passes inputs by position; the policy takes streams by name."""

    def __init__(self, policy: Policy, keys: list[str]) -> None:
        super().__init__()
        self.policy, self.keys = policy, keys

    def forward(self, *inputs: Tensor) -> Tensor:
        chunk, _ = self.planned(inputs)
        return chunk

    def planned(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The chunks [B, H, A] and the context [B, C]."""
        prefix, delay, noise = inputs[len(self.keys) :]
        seen = self.policy.observed(dict(zip(self.keys, inputs, strict=False)))
        # One observation for many chunks is encoded once.
        context = seen.expand(noise.shape[0], -1)
        return self.policy.chunk(context, prefix, delay, noise), context


class _Forecasting(_Positional):
    """The same with the forecast of the same forward pass."""

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        chunk, context = self.planned(inputs)
        return chunk, self.policy.forecast(context, chunk)


def export(policy: Policy, contract: Contract) -> bytes:
    """The policy as ONNX: inputs are the contract's stream keys, prefix, delay and noise.

    The outputs are ``chunk`` and, where the policy has such a head, ``outcome``. The streams have
    a batch axis of their own, of one observation for all chunks or one for each.
    """
    streams = example_streams(contract)
    shape = (1, contract.action.chunk_length, len(contract.action.names))
    example = {
        **streams,
        "prefix": torch.zeros(shape),
        "delay": torch.zeros(1, dtype=torch.int64),
        "noise": torch.zeros(shape),
    }
    policy.eval()
    own = dict.fromkeys(streams, "observations")
    if policy.outcome is None:
        return onnx_bytes(_Positional(policy, list(streams)), example, ["chunk"], own)
    both = ["chunk", "outcome"]
    return onnx_bytes(_Forecasting(policy, list(streams)), example, both, own)


def example_streams(contract: Contract, batch: int = 1) -> dict[str, Tensor]:
    """Zeros of the shape and type of every stream of the contract, in its order."""
    return {
        s.key: torch.zeros(
            batch, *s.shape, dtype=torch.uint8 if s.kind == "image" else torch.float32
        )
        for s in contract.streams
    }


def onnx_bytes(
    module: nn.Module,
    example: Mapping[str, Tensor],
    outputs: Sequence[str],
    batches: Mapping[str, str] | None = None,
) -> bytes:
    """A module as ONNX; the same weights give the same bytes, which name no file.

    Args:
        module: takes the inputs by position; in evaluation mode.
        example: name of every input and a tensor of its shape, [B, ...], in order.
        outputs: names of the outputs, [B, ...].
        batches: names of the batch axes that are not called ``batch``, by input.
    """
    buffer = io.BytesIO()
    axes = {name: {0: "batch"} for name in [*example, *outputs]}
    axes |= {name: {0: axis} for name, axis in (batches or {}).items()}
    with warnings.catch_warnings():
        # The TorchScript exporter is the one that needs no further package.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            module,
            tuple(example.values()),
            buffer,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=OPSET,
            input_names=list(example),
            output_names=list(outputs),
            dynamic_axes=axes,
        )
    model = onnx.load_model_from_string(buffer.getvalue())
    onnx.checker.check_model(model, full_check=True)
    for node in model.graph.node:
        node.ClearField("doc_string")  # may name source files of this machine
        node.ClearField("metadata_props")
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def random_streams(
    contract: Contract, batch: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """Noise of the shape and type of every stream, [B, ...]."""
    return {
        key: torch.randint(0, 256, zeros.shape, generator=generator, dtype=torch.uint8)
        if zeros.dtype == torch.uint8
        else torch.randn(zeros.shape, generator=generator)
        for key, zeros in example_streams(contract, batch).items()
    }


def check_against_torch(
    name: str, model: bytes, feed: Mapping[str, Tensor], wanted: Sequence[Tensor]
) -> None:
    """Compares all outputs of a graph, in their order, with what torch gave.

    Raises:
        InputError: one differs by more than :data:`RELATIVE_DIFFERENCE` times its greatest
            value, or times 1 where that is smaller.
    """
    session = onnxruntime.InferenceSession(
        model, session_options(1), providers=["CPUExecutionProvider"]
    )
    given = session.run(None, {key: value.numpy() for key, value in feed.items()})
    for output, expected in zip(given, wanted, strict=True):
        difference = float(np.abs(output - expected.numpy()).max())
        if not difference <= RELATIVE_DIFFERENCE * max(1.0, float(expected.abs().max())):
            raise InputError(
                name,
                f"differs from torch by {difference:.1e}",
                "report the versions of torch and onnxruntime",
            )


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
        chunk = policy(observation, prefix, delay, noise)
        if policy.outcome is not None:
            outcome = policy.forecast(policy.observed(observation), chunk)
            inputs = {**observation, "prefix": prefix, "delay": delay, "noise": noise}
            check_against_torch("policy.onnx", model, inputs, [chunk, outcome])
    wanted = chunk.numpy()
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
