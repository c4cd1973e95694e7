"""The exported field: its guidance is the exact derivative, for any batch, without torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner import export_flow as module
from vla_rl_nodes.learner.export import example_streams
from vla_rl_nodes.learner.export_flow import export_flow, field_and_pull_back, guided
from vla_rl_nodes.learner.flow import solve
from vla_rl_nodes.learner.networks import ChunkField
from vla_rl_nodes.learner.policy import Policy
from vla_rl_nodes.learner.recipe import Recipe
from vla_rl_nodes.policy.flow import CONTEXT, FIELD, VELOCITY, FlowField

from .small_policy import as_batch, bundle_of, lively, observation, random_policy

pytestmark = pytest.mark.learner

STEPS = 6


@pytest.fixture(scope="module", params=["franka_pick", "plane"])
def robot(request: pytest.FixtureRequest) -> Contract:
    """A contract with cameras and one without."""
    return load_contract(request.param)


@pytest.fixture(scope="module")
def policy(robot: Contract, small_recipe: Recipe) -> Policy:
    return random_policy(robot, small_recipe.network)


@pytest.fixture(scope="module")
def teacher(robot: Contract, policy: Policy, small_recipe: Recipe) -> ChunkField:
    network, contract = small_recipe.network, robot
    size = policy.observed(example_streams(contract)).shape[1]
    field = ChunkField(
        contract.action.chunk_length,
        len(contract.action.names),
        size,
        width=network.width,
        blocks=3,
        condition=network.condition,
    )
    lively(field, 3)
    return field


@pytest.fixture(scope="module")
def flow_field(
    robot: Contract,
    policy: Policy,
    teacher: ChunkField,
    key_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> FlowField:
    """The exported teacher as the robot loads it."""
    path = tmp_path_factory.mktemp("flow") / "bundle"
    files, flow = export_flow(policy, teacher, robot, STEPS)
    return FlowField(bundle_of(path, policy, robot, key_path, files, flow=flow))


def draw(field: ChunkField, batch: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x, tau, target and weight; a third of the rows is committed."""
    g = torch.Generator().manual_seed(seed)
    shape = (batch, field.chunk_length, field.axes)
    x, target = torch.randn(shape, generator=g), torch.randn(shape, generator=g)
    tau, weight = torch.rand(shape[:2], generator=g), torch.rand(shape[1], generator=g)
    return x, torch.where(torch.rand(shape[:2], generator=g) < 0.3, 1.0, tau), target, weight


def context_size(field: ChunkField) -> int:
    first = field.condition[0]
    assert isinstance(first, torch.nn.Linear)
    return first.in_features - field.chunk_length * (1 + 2 * len(field.FREQUENCIES))


def near(given: np.ndarray, wanted: Tensor) -> bool:
    """To 1e-5 of the greatest value."""
    bar = 1e-5 * max(1.0, float(wanted.abs().max()))
    return bool(np.abs(given - wanted.numpy()).max() <= bar)


@pytest.mark.parametrize("batch", [1, 2, 9])
def test_the_graph_gives_torchs_velocity_and_derivative(
    flow_field: FlowField, policy: Policy, teacher: ChunkField, robot: Contract, batch: int
) -> None:
    x, tau, target, weight = draw(teacher, batch, batch)
    seen = observation(robot, batch)
    context = flow_field.context(seen)
    wanted = policy.observed(as_batch(seen))
    assert near(context, wanted[0])
    rows = wanted.expand(batch, -1)
    velocity, correction = guided(teacher, rows, x, tau, target, weight.expand(batch, -1))
    arrays = [value.numpy() for value in (x, tau, target, weight)]
    given = flow_field.velocity_and_correction(context, *arrays)
    assert near(given[0], velocity) and near(given[1], correction)
    assert near(flow_field.velocity(context, *arrays[:2]), velocity)
    # What a guidance without the Jacobian would give is something else altogether.
    clean = x + (1 - tau)[:, :, None] * velocity
    assert not near(given[1], (target - clean) * weight[:, None])


def test_the_written_derivative_is_the_limit_of_differences() -> None:
    field = ChunkField(5, 2, 3, width=12, blocks=2, condition=7)
    lively(field.double(), 4)
    g = torch.Generator().manual_seed(5)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    x, context, cotangent = normal(4, 5, 2), normal(4, 3), normal(4, 5, 2)
    tau = torch.rand(4, 5, generator=g, dtype=torch.float64)
    _, pull_back = field_and_pull_back(field, x, tau, context)
    given = pull_back(cotangent)
    size = 1e-5
    for row, axis in ((0, 0), (1, 1), (4, 0), (3, 1)):
        bump = torch.zeros_like(x)
        bump[:, row, axis] = size
        slope = (field(x + bump, tau, context) - field(x - bump, tau, context)) / (2 * size)
        wanted = (slope * cotangent).sum(dim=(1, 2))
        assert torch.allclose(given[:, row, axis], wanted, rtol=1e-6, atol=1e-8)
        assert bool((wanted.abs() > 1e-2).any())  # it is a field that bends


def test_float64_derivative_is_autograds_to_rounding() -> None:
    field = ChunkField(5, 2, 3, width=12, blocks=4, condition=7)
    lively(field.double(), 6)
    x, tau, target, weight = (value.double() for value in draw(field, 6, 7))
    context = torch.randn(6, 3, dtype=torch.float64)
    rows = weight.expand(6, -1)
    velocity, correction = module.GuidedField(field)(context, x, tau, target, rows)
    wanted = guided(field, context, x, tau, target, rows)
    assert torch.allclose(velocity, wanted[0], rtol=0, atol=1e-12)
    assert torch.allclose(correction, wanted[1], rtol=0, atol=1e-12)


def test_committed_rows_are_their_own_estimate(flow_field: FlowField, robot: Contract) -> None:
    """At τ = 1 everywhere J is the identity: the correction is what is missing, weighted."""
    length, axes = robot.action.chunk_length, len(robot.action.names)
    rng = np.random.default_rng(8)
    x, target = (rng.standard_normal((3, length, axes), np.float32) for _ in range(2))
    weight = rng.random(length, np.float32)
    context = flow_field.context(observation(robot, 8))
    tau = np.ones((3, length), np.float32)
    _, correction = flow_field.velocity_and_correction(context, x, tau, target, weight)
    assert np.allclose(correction, (target - x) * weight[:, None], rtol=0, atol=1e-6)


def test_each_row_of_a_batch_is_its_own(
    flow_field: FlowField, teacher: ChunkField, robot: Contract
) -> None:
    context = flow_field.context(observation(robot, 9))
    x, tau, target, weight = (value.numpy() for value in draw(teacher, 6, 9))
    together = flow_field.velocity_and_correction(context, x, tau, target, weight)
    for row in range(6):
        alone = flow_field.velocity_and_correction(
            context, x[row : row + 1], tau[row : row + 1], target[row : row + 1], weight
        )
        for one, all_rows in zip(alone, together, strict=True):
            assert near(one[0], torch.from_numpy(all_rows[row]))


def test_euler_steps_on_the_robot_end_where_torchs_do(
    flow_field: FlowField, policy: Policy, teacher: ChunkField, robot: Contract
) -> None:
    seen = observation(robot, 10)
    context = flow_field.context(seen)
    noise, *_ = draw(teacher, 4, 10)
    none = torch.zeros(4, dtype=torch.int64)
    rows = torch.from_numpy(context).expand(4, -1)
    end = solve(teacher, noise, rows, noise, none, flow_field.steps)[-1]
    x = noise.numpy()
    for step in range(flow_field.steps):
        tau = np.full(x.shape[:2], step / flow_field.steps, np.float32)
        x = x + flow_field.velocity(context, x, tau) / np.float32(flow_field.steps)
    assert np.allclose(x, end.numpy(), rtol=1e-4, atol=1e-4)
    actions = flow_field.actions(x)
    assert np.allclose(actions, policy.scales.actions(end).numpy(), rtol=0, atol=1e-5)
    inside = torch.from_numpy(flow_field.normalised(actions))
    assert torch.allclose(inside, policy.scales.normalised(torch.from_numpy(actions)), atol=1e-6)


def test_weights_are_stored_once_and_no_path(
    policy: Policy, teacher: ChunkField, robot: Contract
) -> None:
    files, flow = export_flow(policy, teacher, robot, STEPS)
    again, _ = export_flow(policy, teacher, robot, STEPS)
    assert files == again and set(files) == {CONTEXT, FIELD, VELOCITY} and flow.steps == STEPS
    floats = 4 * sum(p.numel() for p in teacher.parameters())
    assert len(files[FIELD]) < 1.1 * floats + 60_000
    for data in files.values():
        assert b".py" not in data and b"/home" not in data
    graph = onnx.load_model_from_string(files[FIELD]).graph
    for value in (*graph.input, *graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"


def test_another_networks_derivative_is_noticed(
    policy: Policy, teacher: ChunkField, robot: Contract
) -> None:
    """A network that has changed under the written derivative must not leave the learner."""

    class Bent(ChunkField):
        def forward(self, x: Tensor, tau: Tensor, context: Tensor) -> Tensor:
            return super().forward(x, tau, context) + 0.01 * x.square()

    bent = Bent(
        teacher.chunk_length, teacher.axes, context_size(teacher), width=96, blocks=3, condition=48
    )
    bent.load_state_dict(teacher.state_dict())
    with pytest.raises(InputError, match=r"field\.onnx: differs from torch by"):
        export_flow(policy, bent.eval(), robot, STEPS)


def test_a_derivative_that_leaves_the_blocks_out_is_noticed(
    policy: Policy, teacher: ChunkField, robot: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    def straight(block: torch.nn.Module, x: Tensor, condition: Tensor) -> object:
        active, _ = original(block, x, condition)
        return active, lambda g: g

    original: Callable[..., tuple[Tensor, object]] = module._block
    monkeypatch.setattr(module, "_block", straight)
    with pytest.raises(InputError, match=r"field\.onnx: differs from torch by"):
        export_flow(policy, teacher, robot, STEPS)
