"""Frames of one start never stand on both sides."""

from __future__ import annotations

from collections import Counter

import pytest

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.reward.split import folds, held_out
from vla_rl_nodes.replay.episode import EpisodeHeader, load_header

from .toy_labels import labelled

pytestmark = pytest.mark.learner


@pytest.fixture(scope="module")
def headers(tmp_path_factory: pytest.TempPathFactory, contract: Contract) -> list[EpisodeHeader]:
    """Twelve episodes; 0 to 3 succeed, seeds 10 and 11 start as 0 and 1 do and fail."""
    folder = tmp_path_factory.mktemp("split")
    like = load_header(labelled(folder, contract, 0, success=True))
    return [
        like.model_copy(
            update={
                "episode_id": f"e{index:02d}",
                "seed": index if index < 10 else index - 10,
                "outcome": "success" if index < 4 else "failure",
            }
        )
        for index in range(12)
    ]


def test_a_start_is_on_one_side(headers: list[EpisodeHeader]) -> None:
    for seed in range(20):
        train, out = held_out(headers, 4, seed)
        assert sorted(train + out) == list(range(12))
        sides = {headers[i].seed for i in train}, {headers[i].seed for i in out}
        assert not sides[0] & sides[1]
        assert sum(headers[i].outcome == "success" for i in out) == 1  # one of four


def test_folds_are_alike(headers: list[EpisodeHeader]) -> None:
    for seed in range(20):
        parts = folds(headers, 4, seed)
        assert sorted(index for part in parts for index in part) == list(range(12))
        side = {}
        for number, part in enumerate(parts):
            assert sum(headers[i].outcome == "success" for i in part) == 1
            for index in part:
                assert side.setdefault(headers[index].seed, number) == number


def test_the_seed_says_which(headers: list[EpisodeHeader]) -> None:
    assert held_out(headers, 4, 3) == held_out(headers, 4, 3)
    assert len(Counter(str(held_out(headers, 4, seed)) for seed in range(9))) > 3


def test_without_a_seed_each_start_is_its_own(headers: list[EpisodeHeader]) -> None:
    nameless = [header.model_copy(update={"seed": None}) for header in headers]
    assert len(held_out(nameless, 4, 0)[1]) == 3


def test_too_few_are_refused(headers: list[EpisodeHeader]) -> None:
    with pytest.raises(InputError, match="holds 3 episodes, none can be held out"):
        held_out(headers[:3], 4, 0)
    with pytest.raises(InputError, match="4 starts that succeeded, 5 folds need one each"):
        folds(headers, 5, 0)
    with pytest.raises(InputError, match="0 starts that failed"):
        folds(headers[:4], 2, 0)
