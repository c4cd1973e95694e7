"""The exported graph is the torch policy, in the contract's units, without torch."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.export import export, largest_difference
from vla_rl_nodes.learner.policy import Policy, Scales
from vla_rl_nodes.learner.recipe import Recipe

pytestmark = pytest.mark.learner


@pytest.fixture(scope="module")
def policy(contract: Contract, small_recipe: Recipe) -> Policy:
    """Random weights, with actions that reach and cross the bounds."""
    torch.manual_seed(3)
    low, high = (
        torch.tensor(x, dtype=torch.float32)
        for x in (contract.action.minimum, contract.action.maximum)
    )
    chunk = low + torch.rand(200, 16, 5) * (high - low)
    made = Policy(contract, small_recipe.network, Scales(torch.randn(200, 11), chunk, contract))
    for parameter in made.field.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made.requires_grad_(False).eval()


def batch(contract: Contract, count: int) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(4)
    observation: dict[str, Tensor] = {}
    for stream in contract.streams:
        if stream.kind == "image":
            shape = (count, *stream.shape)
            observation[stream.key] = torch.randint(0, 256, shape, generator=g, dtype=torch.uint8)
        else:
            observation[stream.key] = torch.randn(count, *stream.shape, generator=g)
    share = torch.rand(count, 16, 5, generator=g)
    low, high = torch.tensor(contract.action.minimum), torch.tensor(contract.action.maximum)
    prefix = (low + share * (high - low)).to(torch.float32)
    noise = torch.randn(count, 16, 5, generator=g)
    return observation, prefix, torch.arange(count) % 7, noise


def test_onnxruntime_and_torch_agree(policy: Policy, contract: Contract) -> None:
    assert largest_difference(export(policy, contract), policy, *batch(contract, 70)) <= 1e-4


def test_another_policys_graph_is_noticed(
    policy: Policy, contract: Contract, small_recipe: Recipe
) -> None:
    torch.manual_seed(5)
    other = Policy(contract, small_recipe.network, policy.scales)
    with pytest.raises(InputError, match=r"policy\.onnx: differs from torch by"):
        largest_difference(export(other, contract), policy, *batch(contract, 7))


def test_the_output_keeps_prefix_and_bounds(policy: Policy, contract: Contract) -> None:
    observation, prefix, delay, noise = batch(contract, 70)
    session = onnxruntime.InferenceSession(export(policy, contract))
    feed = {key: value.numpy() for key, value in observation.items()}
    feed |= {"prefix": prefix.numpy(), "delay": delay.numpy(), "noise": noise.numpy()}
    (chunk,) = session.run(["chunk"], feed)
    committed = np.arange(16) < delay.numpy()[:, None]
    assert np.array_equal(chunk[committed], prefix.numpy()[committed])
    low, high = (x.astype(np.float32) for x in (contract.action.minimum, contract.action.maximum))
    assert (chunk >= low).all() and (chunk <= high).all()
    # The bounds are reached here, so that the line above says something.
    assert (chunk[~committed] == low).any() and (chunk[~committed] == high).any()


def test_one_row_and_many_give_the_same(policy: Policy, contract: Contract) -> None:
    observation, prefix, delay, noise = batch(contract, 7)
    session = onnxruntime.InferenceSession(export(policy, contract))
    feed = {key: value.numpy() for key, value in observation.items()}
    feed |= {"prefix": prefix.numpy(), "delay": delay.numpy(), "noise": noise.numpy()}
    (together,) = session.run(["chunk"], feed)
    for row in range(7):
        (alone,) = session.run(["chunk"], {k: v[row : row + 1] for k, v in feed.items()})
        assert np.allclose(alone[0], together[row], rtol=0, atol=1e-6)


def test_names_and_types_are_the_contracts(policy: Policy, contract: Contract) -> None:
    model = onnx.load_model_from_string(export(policy, contract))
    names = [value.name for value in model.graph.input]
    keys = [stream.key for stream in contract.streams]
    assert names == [*keys, "prefix", "delay", "noise"]
    assert [value.name for value in model.graph.output] == ["chunk"]


def test_the_same_weights_give_the_same_bytes_and_no_path(
    policy: Policy, contract: Contract
) -> None:
    model = export(policy, contract)
    assert export(policy, contract) == model
    assert b".py" not in model and b"/home" not in model
