"""A judgement of chunks as an ONNX graph: the critic's value or the novelty."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.learner.export import (
    check_against_torch,
    example_streams,
    onnx_bytes,
    random_streams,
)
from vla_rl_nodes.learner.policy import Policy


class _Score(nn.Module):
    """Streams by position and a chunk in the contract's units -> score [B]."""

    def __init__(self, policy: Policy, score: nn.Module, keys: list[str]) -> None:
        super().__init__()
        self.policy, self.score, self.keys = policy, score, keys

    def forward(self, *inputs: Tensor) -> Tensor:
        chunk = inputs[-1]
        context = self.policy.observed(dict(zip(self.keys, inputs, strict=False)))
        # One observation serves all candidates: the encoder runs once.
        context = context.expand(chunk.shape[0], -1)
        score: Tensor = self.score(context, self.policy.scales.normalised(chunk))
        return score


def export_score(
    policy: Policy, score: nn.Module, contract: Contract, name: str, output: str
) -> bytes:
    """A graph from the streams and ``chunk`` [B, H, A], in the contract's units, to [B].

    The streams have as many rows as ``chunk``, or a single one that holds for all of them.

    Args:
        policy: gives encoder and scales, those that the score was trained with.
        score: (context [B, C], normalised chunk [B, H, A]) -> [B].
        contract: what both were trained for.
        name: of the file, for messages.
        output: name of the graph's output.

    Raises:
        InputError: the graph differs from torch.
    """
    shape = (contract.action.chunk_length, len(contract.action.names))
    streams = example_streams(contract)
    module = _Score(policy, score, list(streams)).eval()
    model = onnx_bytes(
        module,
        {**streams, "chunk": torch.zeros(2, *shape)},
        [output],
        batches={key: "observations" for key in streams},
    )
    generator = torch.Generator().manual_seed(0)
    for observations, batch in ((1, 1), (1, 5), (5, 5)):
        observation = random_streams(contract, observations, generator)
        noise = torch.randn(batch, *shape, generator=generator)
        feed = {**observation, "chunk": policy.scales.actions(noise)}
        with torch.no_grad():
            wanted = module(*feed.values())
        check_against_torch(name, model, feed, [wanted])
    return model
