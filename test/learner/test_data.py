"""Only whole labels of verified episodes of this contract become training windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.data import load_dataset
from vla_rl_nodes.learner.recipe import Auxiliary, Recipe
from vla_rl_nodes.replay.episode import load_episode
from vla_rl_nodes.replay.observe import Match
from vla_rl_nodes.replay.store.store import EpisodeStore

from .toy_replay import STEPS, toy_episode, write_episode

pytestmark = pytest.mark.learner

Make = Callable[[range], list[Path]]


@pytest.fixture
def auxiliary(small_recipe: Recipe) -> Auxiliary:
    return small_recipe.auxiliary


def test_windows_pair_each_observation_with_its_own_chunk(
    make_replay: Make, contract: Contract, auxiliary: Auxiliary
) -> None:
    data = load_dataset(make_replay(range(4)), contract, auxiliary, 4)
    assert data.episodes == 4 and data.left_out == 0
    assert len(data.train) == 3 * STEPS and len(data.held_out) == STEPS
    for windows, index, seed in ((data.train, 2, 2), (data.held_out, 0, 3)):
        steps = toy_episode(contract, seed)
        part = slice(index * STEPS, (index + 1) * STEPS)
        assert np.array_equal(windows.chunk[part].numpy(), steps.chunk)
        for key in ("image_scene", "image_wrist"):
            assert np.array_equal(windows.images[key][part], steps.observations[key][:STEPS])
        vectors = [steps.observations[key][:STEPS] for key in ("state", "reference")]
        assert np.array_equal(windows.proprio[part].numpy(), np.concatenate(vectors, axis=1))
        assert set(windows.episode[part].tolist()) == {seed}


def test_auxiliary_yaw_is_the_same_for_all_sides_of_a_cube(
    make_replay: Make, contract: Contract, auxiliary: Auxiliary, tmp_path: Path
) -> None:
    make_replay(range(2))
    for name, quarter in (("a", 0), ("b", 1)):
        yaw = 0.3 + quarter * np.pi / 2
        state = [0.4, 0.1, 0.02, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]
        steps = replace(toy_episode(contract, 7), privileged=np.tile(np.array(state), (STEPS, 1)))
        write_episode(tmp_path / name, contract, 10 + quarter, steps)
    data = load_dataset(sorted(tmp_path.glob("[ab]")), contract, auxiliary, 2)
    wanted = torch.tensor([0.4, 0.1, 0.02, np.cos(1.2), np.sin(1.2)], dtype=torch.float32)
    assert torch.allclose(data.train.auxiliary, wanted.expand(STEPS, 5), atol=1e-6)
    assert torch.allclose(data.held_out.auxiliary, data.train.auxiliary, atol=1e-6)


def test_ticks_without_a_whole_label_or_a_true_observation_are_left_out(
    make_replay: Make, contract: Contract, auxiliary: Auxiliary, tmp_path: Path
) -> None:
    steps = toy_episode(contract, 5)
    chunk, match = steps.chunk.copy(), steps.observation_match.copy()
    chunk[3] = np.nan
    chunk[4, 15, 4] = np.nan
    match[7] = Match.DIFFERS
    match[8] = Match.NO_HASH
    changed = replace(steps, chunk=chunk, observation_match=match)
    write_episode(tmp_path / "a", contract, 5, changed)
    folders = [*make_replay(range(2)), tmp_path / "a"]
    data = load_dataset(folders, contract, auxiliary, 2)
    assert data.left_out == 3
    assert len(data.train) + len(data.held_out) == 3 * STEPS - 3
    assert bool(torch.isfinite(data.train.chunk).all())


def test_no_seed_is_in_both_parts(
    make_replay: Make, contract: Contract, auxiliary: Auxiliary, tmp_path: Path
) -> None:
    folders = make_replay(range(4))
    for copy_of in range(4):
        folder = tmp_path / f"again-{copy_of}"
        write_episode(folder, contract, copy_of, toy_episode(contract, 100 + copy_of))
        folders.append(folder)
    data = load_dataset(folders, contract, auxiliary, 4)
    assert len(data.held_out) == 2 * STEPS
    goals = {tuple(row) for row in data.held_out.auxiliary.tolist()}
    assert goals.isdisjoint(tuple(row) for row in data.train.auxiliary.tolist())


def test_the_hash_names_the_data_and_not_its_order(
    make_replay: Make, contract: Contract, auxiliary: Auxiliary
) -> None:
    folders = make_replay(range(5))
    first = load_dataset(folders, contract, auxiliary, 2).sha256
    assert load_dataset(folders[::-1], contract, auxiliary, 2).sha256 == first
    assert load_dataset(folders[:4], contract, auxiliary, 2).sha256 != first


def test_a_store_gives_what_its_folders_give(
    make_replay: Make, contract: Contract, auxiliary: Auxiliary, tmp_path: Path
) -> None:
    folders = make_replay(range(4))
    with EpisodeStore(tmp_path / "store", writable=True) as store:
        for folder in reversed(folders):
            store.append(load_episode(folder))
    one, two = (load_dataset(f, contract, auxiliary, 2) for f in (folders, [store.folder]))
    assert (one.episodes, one.left_out, one.sha256) == (two.episodes, two.left_out, two.sha256)
    for ours, theirs in ((one.train, two.train), (one.held_out, two.held_out)):
        for name in ("proprio", "chunk", "auxiliary", "episode"):
            assert torch.equal(getattr(ours, name), getattr(theirs, name))
        assert all(torch.equal(image, theirs.images[key]) for key, image in ours.images.items())


@pytest.mark.parametrize(
    ("header", "arrays", "said"),
    [
        ({"contract_sha256": "ab" * 32}, {}, "is of contract franka_pick abababababab"),
        ({}, {"privileged": None}, "has no privileged 'cube_x'"),
        (
            {"privileged_names": ["a", "b", "c", "d", "e", "f", "g"]},
            {},
            "has no privileged 'cube_x'",
        ),
        ({}, {"chunk": np.full((STEPS, 16, 5), np.nan, np.float32)}, "holds no labelled tick"),
        ({}, {"chunk": np.full((STEPS, 16, 5), 0.05, np.float32)}, "leaves the contract's bounds"),
    ],
)
def test_episodes_that_do_not_fit_are_refused_by_name(
    make_replay: Make,
    contract: Contract,
    auxiliary: Auxiliary,
    tmp_path: Path,
    header: dict[str, Any],
    arrays: dict[str, Any],
    said: str,
) -> None:
    folders = make_replay(range(4))
    bad = tmp_path / "wrong"
    write_episode(bad, contract, 9, replace(toy_episode(contract, 9), **arrays), **header)
    with pytest.raises(InputError) as caught:
        load_dataset([*folders, bad], contract, auxiliary, 2)
    line = str(caught.value)
    assert said in line and str(bad) in line and "\n" not in line


def test_a_changed_file_is_refused(
    make_replay: Make, contract: Contract, auxiliary: Auxiliary
) -> None:
    folders = make_replay(range(2))
    path = folders[1] / "chunk.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"chunk\.npy"):
        load_dataset(folders, contract, auxiliary, 2)


def test_too_little_or_doubled_data_is_refused(
    make_replay: Make, contract: Contract, auxiliary: Auxiliary
) -> None:
    folders = make_replay(range(3))
    with pytest.raises(InputError, match="holds no episode"):
        load_dataset([], contract, auxiliary, 2)
    with pytest.raises(InputError, match="none can be held out"):
        load_dataset(folders, contract, auxiliary, 4)
    with pytest.raises(InputError, match="an episode stands twice"):
        load_dataset([*folders, folders[0]], contract, auxiliary, 2)
