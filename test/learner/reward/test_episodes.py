"""What is read of labelled episodes: outcomes, and sidecars that know better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.reward.episodes import LabelledEpisodes
from vla_rl_nodes.learner.reward.recipe import AnyRecipe
from vla_rl_nodes.replay.episode import EpisodeHeader, load_episode, load_header
from vla_rl_nodes.replay.observe import Match
from vla_rl_nodes.replay.sidecars import Kind, write_label
from vla_rl_nodes.replay.store.store import EpisodeStore

from ..toy_replay import STEPS, toy_episode, write_episode
from .toy_labels import labelled

pytestmark = pytest.mark.learner


@pytest.fixture(scope="module")
def recipe(small: Callable[..., AnyRecipe]) -> AnyRecipe:
    return small("success_classifier", streams=["image_wrist", "state"])


def told(replay: Path, header: EpisodeHeader, name: str, kind: Kind, values: Any) -> None:
    write_label(
        replay, header, name, kind, values, producer="a person", producer_version="1", made_from={}
    )


def test_outcomes_and_streams(tmp_path: Path, contract: Contract, recipe: AnyRecipe) -> None:
    labelled(tmp_path, contract, 2, success=False)
    labelled(tmp_path, contract, 1, success=True)
    labelled(tmp_path, contract, 3, success=False, outcome="timeout")
    labelled(tmp_path, contract, 4, success=False, outcome="aborted")
    episodes = LabelledEpisodes(tmp_path, contract, recipe)
    assert (len(episodes), episodes.left_out) == (3, 1)
    found = list(episodes.read(range(3)))
    assert [e.header.seed for e in found] == [1, 2, 3]
    assert [e.success for e in found] == [True, False, False]
    assert list(found[0].streams) == ["image_wrist", "state"]
    assert found[0].reached is None and found[0].progress is None
    assert found[0].observations == STEPS + 1 and found[0].usable.all()


def test_what_the_policy_did_not_see_is_not_used(
    tmp_path: Path, contract: Contract, recipe: AnyRecipe
) -> None:
    steps = toy_episode(contract, 0)
    match = steps.observation_match.copy()
    match[3] = Match.DIFFERS
    write_episode(tmp_path / "e", contract, 0, replace(steps, observation_match=match))
    (episode,) = LabelledEpisodes(tmp_path, contract, recipe).read([0])
    assert np.flatnonzero(~episode.usable).tolist() == [3]


def test_sidecars_win_and_the_newest_is_the_last_word(
    tmp_path: Path, contract: Contract, recipe: AnyRecipe
) -> None:
    header = load_header(labelled(tmp_path, contract, 0, success=False))
    episodes = LabelledEpisodes(tmp_path, contract, recipe)
    before = episodes.labels_sha256([0])
    told(tmp_path, header, "success", "success", np.zeros(STEPS, dtype=np.bool_))
    reached = np.arange(STEPS) >= 20
    told(tmp_path, header, "success", "success", reached)
    progress = np.linspace(0, 1, STEPS + 1, dtype=np.float32)
    told(tmp_path, header, "progress", "progress", progress)
    (episode,) = episodes.read([0])
    assert episode.success and episode.reached is not None
    # What is reached in step 20 shows in the observation behind it.
    assert np.flatnonzero(episode.reached).tolist() == [21, 22, 23, 24]
    assert episode.progress is not None and np.array_equal(episode.progress, progress)
    assert episodes.labels_sha256([0]) != before


def test_a_store_gives_what_its_folders_give(
    tmp_path: Path, contract: Contract, recipe: AnyRecipe
) -> None:
    folders = [labelled(tmp_path / "r", contract, s, success=s > 1) for s in _made(tmp_path / "r")]
    with EpisodeStore(tmp_path / "store", writable=True) as store:
        for folder in reversed(folders):
            store.append(load_episode(folder))
    one, two = (
        LabelledEpisodes(place, contract, recipe) for place in (tmp_path / "r", tmp_path / "store")
    )
    assert one.headers == two.headers
    assert one.labels_sha256(range(3)) == two.labels_sha256(range(3))
    for ours, theirs in zip(one.read([2, 0]), two.read([2, 0]), strict=True):
        assert ours.success == theirs.success
        for key, values in ours.streams.items():
            assert np.array_equal(values, theirs.streams[key])


def _made(folder: Path) -> range:
    folder.mkdir()
    return range(3)


def test_what_does_not_fit_is_refused(
    tmp_path: Path, contract: Contract, recipe: AnyRecipe
) -> None:
    with pytest.raises(InputError, match="holds no labelled episode"):
        LabelledEpisodes(tmp_path, contract, recipe)
    unknown = recipe.model_copy(update={"streams": ["image_foot"]})
    with pytest.raises(InputError, match="streams: names 'image_foot'; contract franka_pick has"):
        LabelledEpisodes(tmp_path, contract, unknown)
    header = load_header(labelled(tmp_path, contract, 0, success=True))
    told(tmp_path, header, "success", "value", np.zeros(STEPS + 1, dtype=np.float32))
    with pytest.raises(InputError, match="label success: is of kind value, not success"):
        list(LabelledEpisodes(tmp_path, contract, recipe).read([0]))
    labelled(tmp_path, contract, 1, success=True, contract_sha256="ab" * 32)
    with pytest.raises(InputError, match="is of contract franka_pick abababababab"):
        LabelledEpisodes(tmp_path, contract, recipe)
