"""Reward models -> ONNX graphs with the ports of their kind, compared with torch."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.episodes.reward.manifest import MODEL
from vla_rl_nodes.learner.export import check_against_torch, example_streams, onnx_bytes
from vla_rl_nodes.learner.reward.judges import Classifier, PairCritic, Rubric, StepsToGo

_TRIED = (1, 3)  # batches with which the graph is compared


class _Positional(nn.Module):
    """The exporter passes inputs by position; the models take streams by name."""

    def __init__(self, model: nn.Module, keys: Sequence[str]) -> None:
        super().__init__()
        self.model, self.keys = model, list(keys)

    def named(self, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
        return dict(zip(self.keys, inputs, strict=True))


class _Single(_Positional):
    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        result: Tensor | tuple[Tensor, Tensor] = self.model(self.named(inputs))
        return result


class _Pair(_Positional):
    def forward(self, *inputs: Tensor) -> Tensor:
        count = len(self.keys)
        result: Tensor = self.model(self.named(inputs[:count]), self.named(inputs[count:]))
        return result


class _Frames(_Positional):
    def forward(self, *inputs: Tensor) -> Tensor:
        result: Tensor = self.model(self.named(inputs[:-1]), inputs[-1])
        return result


def export_classifier(model: Classifier, contract: Contract) -> bytes:
    """``<key>`` -> ``probability``.

    Raises:
        InputError: the graph differs from torch; so do the functions below.
    """
    keys = model.observer.keys
    return _exported(_Single(model, keys), _streams(contract, keys), ["probability"])


def export_steps_to_go(model: StepsToGo, contract: Contract) -> bytes:
    """``<key>`` -> ``steps`` and ``spread``, in control ticks."""
    keys = model.observer.keys
    return _exported(_Single(model, keys), _streams(contract, keys), ["steps", "spread"])


def export_pair_critic(model: PairCritic, contract: Contract) -> bytes:
    """``before/<key>`` and ``after/<key>`` -> ``critic``."""
    keys = model.observer.keys
    streams = _streams(contract, keys)
    both = {f"{w}/{key}": value for w in ("before", "after") for key, value in streams.items()}
    return _exported(_Pair(model, keys), both, ["critic"])


def export_rubric(model: Rubric, contract: Contract, frames: int) -> bytes:
    """``frames/<key>`` and ``task`` -> ``scores``."""
    keys = model.observer.keys
    inputs = {
        f"frames/{key}": value[:, None].expand(1, frames, *value.shape[1:]).clone()
        for key, value in _streams(contract, keys).items()
    }
    inputs["task"] = torch.zeros(1, dtype=torch.int64)
    return _exported(_Frames(model, keys), inputs, ["scores"])


def _streams(contract: Contract, keys: Sequence[str]) -> dict[str, Tensor]:
    return {key: value for key, value in example_streams(contract).items() if key in keys}


def _exported(module: nn.Module, example: dict[str, Tensor], outputs: Sequence[str]) -> bytes:
    module.eval()
    with warnings.catch_warnings():
        # Of the recurrent layer, about other batches than the example's: they are compared below.
        warnings.filterwarnings("ignore", message="Converting a tensor to a Python boolean")
        warnings.filterwarnings("ignore", message="Exporting a model to ONNX with a batch_size")
        graph = onnx_bytes(module, example, outputs)
    generator = torch.Generator().manual_seed(0)
    for batch in _TRIED:
        feed = {key: _noise(value, batch, generator) for key, value in example.items()}
        with torch.no_grad():
            wanted = module(*feed.values())
        check_against_torch(MODEL, graph, feed, wanted if isinstance(wanted, tuple) else [wanted])
    return graph


def _noise(like: Tensor, batch: int, generator: torch.Generator) -> Tensor:
    shape = (batch, *like.shape[1:])
    if like.dtype == torch.uint8:
        return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    if like.dtype == torch.int64:  # a row of a table that has at least one
        return torch.zeros(shape, dtype=torch.int64)
    return torch.randn(shape, generator=generator)
