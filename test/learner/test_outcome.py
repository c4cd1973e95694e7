"""The forecast rides along: the actions stay as they were, and it learns how episodes end."""

from __future__ import annotations

import copy
import math
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.export import export, largest_difference
from vla_rl_nodes.learner.networks import OutcomeHead
from vla_rl_nodes.learner.outcome import (
    bin_centres,
    declared,
    outcome_labels,
    outcome_loss,
    outcome_metrics,
    train_outcome,
)
from vla_rl_nodes.learner.policy import Policy
from vla_rl_nodes.learner.recipe import Recipe, Stage
from vla_rl_nodes.policy.onnx_engine import OnnxEngine

from .small_policy import (
    as_batch,
    bundle_of,
    lively,
    observation,
    random_chunks,
    random_policy,
)

pytestmark = pytest.mark.learner

CENTRES = [5.0, 15.0, 25.0]


@pytest.fixture(scope="module", params=["franka_pick", "plane"])
def robot(request: pytest.FixtureRequest) -> Contract:
    """A contract with cameras and one without."""
    return load_contract(request.param)


@pytest.fixture(scope="module")
def plain(robot: Contract, small_recipe: Recipe) -> Policy:
    return random_policy(robot, small_recipe.network)


@pytest.fixture(scope="module")
def forecasting(robot: Contract, plain: Policy) -> Policy:
    """The same policy with a head of random weights."""
    policy = copy.deepcopy(plain)
    size = policy.observed(as_batch(observation(robot, 0))).shape[1]
    policy.outcome = OutcomeHead(
        size, robot.action.chunk_length * len(robot.action.names), CENTRES, width=20
    )
    lively(policy.outcome, 7)
    return policy


def inputs(robot: Contract, rows: int) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
    """Different observations, prefixes, delays and noise."""
    seen = [as_batch(observation(robot, seed)) for seed in range(rows)]
    prefix = random_chunks(robot, rows, seed=1)
    delay = torch.arange(rows) % (robot.action.max_delay + 1)
    noise = torch.randn(prefix.shape, generator=torch.Generator().manual_seed(1))
    return {key: torch.cat([one[key] for one in seen]) for key in seen[0]}, prefix, delay, noise


def run(
    model: bytes, arguments: tuple[dict[str, Tensor], Tensor, Tensor, Tensor]
) -> list[np.ndarray]:
    seen, prefix, delay, noise = arguments
    feed = {**seen, "prefix": prefix, "delay": delay, "noise": noise}
    session = onnxruntime.InferenceSession(model)
    return session.run(None, {key: value.numpy() for key, value in feed.items()})  # type: ignore[no-any-return]


def test_the_head_leaves_the_actions_as_they_were(
    robot: Contract, plain: Policy, forecasting: Policy
) -> None:
    arguments = inputs(robot, 9)
    assert torch.equal(forecasting(*arguments), plain(*arguments))
    (before,) = run(export(plain, robot), arguments)
    after, outcome = run(export(forecasting, robot), arguments)
    assert np.abs(after - before).max() <= 1e-6
    assert outcome.shape == (9, 2, 3) and outcome.dtype == np.float32
    assert np.allclose(outcome.sum(axis=(1, 2)), 1, rtol=0, atol=1e-5)
    assert (outcome > 0).all() and outcome.std(axis=0).min() > 1e-3


def test_the_graph_has_one_forward(robot: Contract, plain: Policy, forecasting: Policy) -> None:
    """All that is added are the head's own layers; encoder and field stand there once."""

    def operators(policy: Policy) -> Counter[str]:
        graph = onnx.load_model_from_string(export(policy, robot)).graph
        return Counter(node.op_type for node in graph.node)

    before, after = operators(plain), operators(forecasting)
    added = after - before
    assert before["Gemm"] >= 10 and before["Conv"] == 4 * len(plain.encoder.keys)
    assert added["Gemm"] == 3 and added["LayerNormalization"] == 2 and added["Softmax"] == 1
    assert added["Conv"] == 0 and added["Sin"] == 0 and added["Cos"] == 0
    assert not before - after


def test_the_robots_engine_reads_the_forecast(
    robot: Contract, forecasting: Policy, key_path: Path, tmp_path: Path
) -> None:
    assert forecasting.outcome is not None
    bundle = bundle_of(
        tmp_path / "b", forecasting, robot, key_path, {}, outcome=declared(forecasting.outcome)
    )
    seen, prefix, _, noise = inputs(robot, 5)
    one = {key: value[0].numpy() for key, value in seen.items()}
    given = OnnxEngine(bundle).infer_many(one, prefix[0].numpy(), 2, noise.numpy())
    context = forecasting.observed({key: value[:1] for key, value in seen.items()})
    wanted = forecasting.forecast(context.expand(5, -1), torch.from_numpy(given.chunks))
    assert given.outcome is not None
    assert np.allclose(given.outcome, wanted.numpy(), rtol=0, atol=1e-5)


def test_candidates_of_one_observation_differ(robot: Contract, forecasting: Policy) -> None:
    context = forecasting.observed(as_batch(observation(robot, 3))).expand(6, -1)
    joint = forecasting.forecast(context, random_chunks(robot, 6, seed=3))
    chances = joint[:, 1].sum(dim=1)
    assert len(torch.unique(chances)) == 6 and float(chances.max() - chances.min()) > 1e-3


def test_without_a_head_there_is_no_forecast(robot: Contract, plain: Policy) -> None:
    with pytest.raises(ValueError, match="no outcome head"):
        plain.forecast(torch.zeros(1, 4), torch.zeros(1, 16, 2))


def test_the_exported_forecast_is_compared_with_torch(
    robot: Contract, forecasting: Policy
) -> None:
    model = export(forecasting, robot)
    assert largest_difference(model, forecasting, *inputs(robot, 9)) <= 1e-4
    other = copy.deepcopy(forecasting)
    assert other.outcome is not None
    lively(other.outcome, 8)
    with pytest.raises(InputError, match=r"policy\.onnx: differs from torch by"):
        largest_difference(model, other, *inputs(robot, 9))


def test_labels_are_the_nearest_bins_failure_first() -> None:
    success = torch.tensor([False, False, True, True, True])
    remaining = torch.tensor([1.0, 9.0, 11.0, 24.0, 400.0])
    labels = outcome_labels(success, remaining, torch.tensor(CENTRES))
    assert torch.equal(labels, torch.tensor([0, 0, 4, 5, 5]))


def test_the_loss_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3.0), 0.0, 0.0], [math.log(2.0), 0.0, 0.0, 0.0]])
    # Probabilities 1/6, 3/6, 1/6, 1/6 and 2/5, 1/5, 1/5, 1/5.
    given = outcome_loss(logits, torch.tensor([1, 2]))
    assert float(given) == pytest.approx(-(math.log(0.5) + math.log(0.2)) / 2, abs=1e-6)


def test_the_metrics_by_hand() -> None:
    joint = torch.tensor(
        [
            [[0.1, 0.1], [0.4, 0.4]],  # 0.80: of two at 0.8 to 0.9, one succeeds
            [[0.1, 0.1], [0.8, 0.0]],
            [[0.5, 0.4], [0.05, 0.05]],  # 0.10, and it fails
            [[0.3, 0.1], [0.1, 0.5]],  # 0.60, and it succeeds
        ]
    )
    success = torch.tensor([True, False, False, True])
    remaining = torch.tensor([12.0, 10.0, 20.0, 30.0])
    given = outcome_metrics(joint, success, remaining, torch.tensor([10.0, 30.0]))
    assert given["success_ece"] == pytest.approx((0.6 + 0.1 + 0.4) / 4, abs=1e-6)
    # Expected ticks 20, 12, 19 and 22.
    assert given["remaining_error"] == pytest.approx((8 + 2 + 1 + 8) / 4, abs=1e-5)


def test_certainty_falls_into_the_last_bin() -> None:
    sure = torch.tensor([[[0.0, 0.0], [1.0, 0.0]]] * 4)
    success = torch.tensor([True, True, True, False])
    given = outcome_metrics(sure, success, torch.full((4,), 10.0), torch.tensor([10.0, 30.0]))
    assert given == {"success_ece": pytest.approx(0.25), "remaining_error": pytest.approx(0.0)}


def test_it_learns_how_often_and_when_episodes_end(small_recipe: Recipe) -> None:
    """Chunks to the right succeed nine times in ten after 5 ticks or 25, to the left two in ten
    after 15: frequencies that training must find."""
    contract = load_contract("plane")
    policy = random_policy(contract, small_recipe.network)
    g = torch.Generator().manual_seed(2)
    rows = 3000
    right = torch.rand(rows, generator=g) < 0.5
    success = torch.rand(rows, generator=g) < torch.where(right, 0.9, 0.2)
    soon = torch.rand(rows, generator=g) < 0.75
    remaining = torch.where(right, torch.where(soon, 5.0, 25.0), 15.0)

    def chunks(way: Tensor) -> Tensor:
        noise = torch.randn(len(way), 16, 2, generator=g)
        return 0.01 * torch.where(way, 1.0, -1.0)[:, None, None] + 0.001 * noise

    contexts = torch.randn(rows, 3, generator=g)
    torch.manual_seed(2)
    head = train_outcome(
        OutcomeHead(3, 32, CENTRES, width=32),
        policy.scales,
        contexts,
        chunks(right),
        success,
        remaining,
        Stage(steps=300, batch=128, learning_rate=3e-3, weight_decay=0.0, average=0.97),
        g,
    )
    truth = {
        True: torch.tensor([[0.075, 0, 0.025], [0.675, 0, 0.225]]),
        False: torch.tensor([[0, 0.8, 0], [0, 0.2, 0]]),
    }
    for way, wanted in truth.items():
        drawn = policy.scales.normalised(chunks(torch.full((200,), way)))
        joint = head(torch.randn(200, 3, generator=g), drawn).mean(dim=0)
        assert torch.allclose(joint, wanted, atol=0.05)
    joint = head(contexts, policy.scales.normalised(chunks(right)))
    metrics = outcome_metrics(joint, success, remaining, head.get_buffer("centres"))
    assert metrics["success_ece"] < 0.05
    # Right: 10 ticks expected, 5 or 15 off; left: none off.
    assert metrics["remaining_error"] == pytest.approx(0.5 * (0.75 * 5 + 0.25 * 15), abs=0.4)


def test_training_the_head_leaves_the_policy_alone(robot: Contract, forecasting: Policy) -> None:
    policy = copy.deepcopy(forecasting)
    head = policy.outcome
    assert head is not None
    head.requires_grad_(True)
    before = copy.deepcopy(policy.state_dict())
    arguments = inputs(robot, 9)
    context = policy.observed(arguments[0])
    policy.outcome = train_outcome(
        head,
        policy.scales,
        context,
        policy(*arguments),
        torch.arange(9) % 2 == 0,
        torch.arange(9.0),
        Stage(steps=3, batch=9, learning_rate=1e-2, weight_decay=0.0, average=0.5),
        torch.Generator().manual_seed(0),
    )
    after = policy.state_dict()
    changed = {key for key, value in before.items() if not torch.equal(value, after[key])}
    assert changed and all(key.startswith("outcome.head.") for key in changed)
    assert torch.equal(policy(*arguments), forecasting(*arguments))


def test_rows_that_do_not_fit_are_refused(robot: Contract, forecasting: Policy) -> None:
    assert forecasting.outcome is not None
    stage = Stage(steps=3, batch=9, learning_rate=1e-2, weight_decay=0.0, average=0.5)
    with pytest.raises(InputError, match="outcome: has not one row of each array a tick"):
        train_outcome(
            forecasting.outcome,
            forecasting.scales,
            torch.zeros(4, 3),
            random_chunks(robot, 4, seed=0),
            torch.zeros(4, dtype=torch.bool),
            torch.zeros(3),
            stage,
            torch.Generator(),
        )


@pytest.mark.parametrize("centres", [[5.0], [5.0, 5.0], [7.0, 5.0], [0.0, 5.0], [-1.0, 2.0]])
def test_bins_that_do_not_ascend_are_refused(centres: list[float]) -> None:
    with pytest.raises(InputError, match="remaining_ticks: do not ascend from above 0"):
        OutcomeHead(3, 8, centres, width=4)


def test_equal_bins_and_what_the_manifest_says() -> None:
    assert bin_centres(40, 4) == [5.0, 15.0, 25.0, 35.0]
    head = OutcomeHead(3, 8, bin_centres(40, 4), width=4)
    assert declared(head).remaining_ticks == [5.0, 15.0, 25.0, 35.0]
