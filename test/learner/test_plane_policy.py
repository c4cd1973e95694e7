"""The plane's features, the field that starts by removing the noise, and the control."""

from __future__ import annotations

import pytest
import torch

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.learner.consistency import one_step
from vla_rl_nodes.learner.networks import ChunkField
from vla_rl_nodes.learner.plane_policy import (
    ImitationPolicy,
    PlaneFeatures,
    PlanePolicy,
    plane_field,
    start_at_minus_x,
)
from vla_rl_nodes.learner.plane_recipe import PlaneNetwork
from vla_rl_nodes.learner.policy import Scales

from .small_policy import lively, random_chunks

CONTRACT = load_contract("plane")
NAMES = CONTRACT.streams[0].names
NETWORK = PlaneNetwork(condition=24, width=80, blocks=2)
POSITIONS = ("tool", "reference", "object", "obstacle")


def states(count: int = 6, seed: int = 0) -> torch.Tensor:
    state = 0.1 * torch.randn(count, len(NAMES), generator=torch.Generator().manual_seed(seed))
    state[:, NAMES.index("obstacle_present")] = 1.0
    return state


def policy(kind: type[PlanePolicy], seed: int = 1) -> PlanePolicy:
    scales = Scales(states(50), random_chunks(CONTRACT, 50, 2), CONTRACT)
    made = kind(CONTRACT, NETWORK, scales)
    lively(made.field, seed)
    return made.requires_grad_(False).eval()


def test_only_where_things_stand_to_each_other_matters() -> None:
    features, state = PlaneFeatures(NAMES), states()
    moved = state.clone()
    for name in POSITIONS:
        moved[:, NAMES.index(f"{name}_x")] += 3.0
        moved[:, NAMES.index(f"{name}_y")] -= 1.5
    assert features(state).shape == (6, PlaneFeatures.SIZE)
    assert torch.allclose(features(state), features(moved), atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_every_component_is_seen(name: str) -> None:
    features, state = PlaneFeatures(NAMES), states()
    changed = state.clone()
    changed[:, NAMES.index(name)] += 0.05
    assert (features(state) - features(changed)).abs().max(dim=1).values.min() > 1e-3


def test_the_place_of_an_absent_obstacle_is_not_seen() -> None:
    features, state = PlaneFeatures(NAMES), states()
    state[:, NAMES.index("obstacle_present")] = 0.0
    moved = state.clone()
    moved[:, NAMES.index("obstacle_x")] += 0.2
    assert torch.equal(features(state), features(moved))


def test_a_new_field_is_minus_x_and_one_step_leaves_no_noise() -> None:
    torch.manual_seed(0)
    field = plane_field(CONTRACT, NETWORK)
    x = 2.0 * torch.randn(5, 16, 2)
    context = torch.randn(5, PlaneFeatures.SIZE)
    assert torch.allclose(field(x, torch.rand(5, 16), context), -x, atol=1e-5)
    delay = torch.tensor([0, 1, 3, 5, 6])
    chunk = one_step(field, x, context, torch.randn(5, 16, 2), delay)
    for row, committed in enumerate(delay.tolist()):
        assert torch.equal(chunk[row, :committed], x[row, :committed])
        assert chunk[row, committed:].abs().max() < 1e-5


def test_a_field_that_is_too_narrow_is_refused() -> None:
    with pytest.raises(ValueError, match="64"):
        start_at_minus_x(ChunkField(16, 2, 3, width=63, blocks=1, condition=8))


@pytest.mark.parametrize("kind", [PlanePolicy, ImitationPolicy])
def test_committed_rows_stay_and_the_others_are_bounded(kind: type[PlanePolicy]) -> None:
    prefix = random_chunks(CONTRACT, 6, 3)
    delay = torch.tensor([0, 1, 2, 4, 5, 6])
    noise = torch.randn(6, 16, 2, generator=torch.Generator().manual_seed(4))
    chunk = policy(kind)({"state": states()}, prefix, delay, noise)
    for row, committed in enumerate(delay.tolist()):
        assert torch.equal(chunk[row, :committed], prefix[row, :committed])
    # The bounds as float32 has them.
    assert chunk.abs().max() <= torch.tensor(0.02)
    assert chunk[:, 6:].std() > 1e-4


def test_the_control_knows_neither_noise_nor_prefix() -> None:
    control = policy(ImitationPolicy)
    one, other = random_chunks(CONTRACT, 6, 3), random_chunks(CONTRACT, 6, 4)
    delay = torch.full((6,), 3)
    first = control({"state": states()}, one, delay, torch.randn(6, 16, 2))
    second = control({"state": states()}, other, delay, torch.randn(6, 16, 2))
    assert torch.equal(first[:, 3:], second[:, 3:])
    assert not torch.equal(first[:1, 3:], first[1:2, 3:])


def test_the_student_uses_both() -> None:
    student, seen, delay = policy(PlanePolicy), {"state": states()}, torch.full((6,), 3)
    one, other = random_chunks(CONTRACT, 6, 3), random_chunks(CONTRACT, 6, 4)
    noise = torch.randn(6, 16, 2)
    first = student(seen, one, delay, noise)[:, 3:]
    assert not torch.allclose(first, student(seen, other, delay, noise)[:, 3:])
    assert not torch.allclose(first, student(seen, one, delay, -noise)[:, 3:])
