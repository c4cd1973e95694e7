"""Labels of pairs, and what a critic that knows them makes of an episode."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.episodes.reward.progress_value import (
    next_value,
    value_order_correlation,
    values,
)
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.optimise import reproducible, silent
from vla_rl_nodes.learner.reward.episodes import LabelledEpisodes
from vla_rl_nodes.learner.reward.frames import Frames
from vla_rl_nodes.learner.reward.pairwise import (
    critic_between,
    logs_of,
    pairwise_figures,
    progress_of,
    train_pair_critic,
    with_backtrack,
)
from vla_rl_nodes.learner.reward.recipe import AnyRecipe, PairwiseRecipe

from ..toy_replay import STEPS
from .toy_labels import labelled

pytestmark = pytest.mark.learner


def test_labels_by_hand() -> None:
    before = torch.tensor([0.0, 50.0, 40.0, 80.0, 0.0, 30.0, 100.0])
    after = torch.tensor([25.0, 75.0, 10.0, 60.0, 0.0, 100.0, 100.0])
    # 25 of 100; half of the rest; -30 of 40; 100 * 20 / 40 - 100; none; all; none.
    wanted = torch.tensor([25.0, 50.0, -75.0, -50.0, 0.0, 100.0, 0.0])
    assert torch.allclose(critic_between(before, after), wanted)


@given(st.floats(0, 100), st.floats(0, 100))
def test_labels_add_up_to_the_progress(before: float, after: float) -> None:
    """The inverse of how the reward node accumulates, but where that one has its floors."""
    given = float(critic_between(*torch.tensor([[before], [after]], dtype=torch.float64)))
    assert -100 <= given <= 100
    reached = next_value(before, given)
    if before <= 50 or after > before:
        assert reached == pytest.approx(after, abs=1e-6)
    elif before <= 99:
        assert reached == pytest.approx(max(10.0, after), abs=1e-6)


@given(st.floats(-99, 99))
def test_logarithms_are_undone_by_the_critic(critic: float) -> None:
    logs = float(logs_of(torch.tensor([critic], dtype=torch.float64)))
    assert np.sign(logs) * 100 * (1 - np.exp(-abs(logs))) == pytest.approx(critic, abs=1e-9)


def test_there_and_back_are_as_far_in_logarithms() -> None:
    """Upwards of half-way, so that errors in a row do not drive progress up or down."""
    low, high = torch.tensor([55.0, 60.0, 90.0]), torch.tensor([60.0, 99.0, 98.0])
    up, down = logs_of(critic_between(low, high)), logs_of(critic_between(high, low))
    assert torch.allclose(up, -down, atol=1e-4)
    ends = logs_of(torch.tensor([-100.0, 0.0, 100.0]))
    assert torch.allclose(ends, torch.tensor([-4.6052, 0.0, 4.6052]), atol=1e-4)


def test_what_a_perfect_critic_makes_of_frames_in_random_order() -> None:
    """Progress starts at 0, wherever the first frame is: the correlation is a little above 0."""
    rng, found = np.random.default_rng(0), []
    for _ in range(200):
        progress = torch.from_numpy(rng.permutation(np.linspace(0.0, 100.0, 33)))
        critics = critic_between(progress[:-1], progress[1:]).tolist()
        found.append(value_order_correlation(values(critics)))
    assert 0.05 < np.mean(found) < 0.25


@given(st.integers(9, 200), st.integers(1, 2), st.integers(0, 1000))
def test_a_backtrack_goes_back_and_on_again(count: int, stride: int, seed: int) -> None:
    order, back = with_backtrack(count, stride, np.random.default_rng(seed))
    steps = np.diff(order)
    assert (np.abs(steps) == stride).all() and min(order) >= 0 and max(order) < count
    assert np.array_equal(back, steps < 0) and 1 <= back.sum() <= 4
    assert set(order) == set(range(0, count, stride))
    # One turn back and one forth.
    assert (np.diff(back.astype(int)) != 0).sum() <= 2


@pytest.fixture(scope="module")
def recipe(small: Callable[..., AnyRecipe]) -> PairwiseRecipe:
    found = small("pairwise_progress", 100)
    assert isinstance(found, PairwiseRecipe)
    return found


def test_progress_is_time_in_a_success(
    tmp_path: Path, contract: Contract, recipe: PairwiseRecipe
) -> None:
    labelled(tmp_path, contract, 0, success=True)
    labelled(tmp_path, contract, 1, success=False)
    won, lost = LabelledEpisodes(tmp_path, contract, recipe).read([0, 1])
    assert torch.allclose(progress_of(won), torch.arange(STEPS + 1) * 100.0 / STEPS)
    assert progress_of(lost).isnan().all()


def test_it_learns_the_order(
    toys: tuple[Path, Path], contract: Contract, recipe: PairwiseRecipe
) -> None:
    train, others = (LabelledEpisodes(folder, contract, recipe) for folder in toys)
    with reproducible(0, 1):
        frames = Frames.of(train.read(range(len(train))))
        generator = torch.Generator().manual_seed(0)
        model = train_pair_critic(frames, contract, recipe, generator, silent)
    figures = pairwise_figures(model, others.read(range(len(others))), recipe, 0)
    assert figures["successes"] == 6
    assert figures["voc"] > 0.9 and figures["backtrack_auc"] > 0.9
    assert figures["voc_shuffled"] < figures["voc"] - 0.3


def test_without_a_success_there_is_nothing_to_learn(
    tmp_path: Path, contract: Contract, recipe: PairwiseRecipe
) -> None:
    labelled(tmp_path, contract, 0, success=False)
    frames = Frames.of(LabelledEpisodes(tmp_path, contract, recipe).read([0]))
    with pytest.raises(InputError, match="replay: shows no success"):
        train_pair_critic(frames, contract, recipe, torch.Generator(), silent)
