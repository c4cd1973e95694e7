"""Converted episodes that are exported, and what they hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.replay.convert import convert_episode
from vla_rl_nodes.replay.episode import load_episode
from vla_rl_nodes.replay.folder import write_episode

from ..episode_bag import make_episode, small_contract
from ..spoken import HARD, critique, with_critiques


@pytest.fixture(scope="session")
def small() -> Contract:
    """franka_pick with 8x8 images, which the package does not ship."""
    return small_contract()


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory, small: Contract) -> list[Path]:
    """Three episodes with gaps, missing actions, interventions and two policy versions."""
    place = tmp_path_factory.mktemp("episodes")
    found = []
    for seed, outcome in ((1, "success"), (2, "timeout"), (3, "failure")):
        episode = make_episode(seed, outcome=outcome, contract=small)
        found.append(
            convert_episode(episode.write(place / f"bag-{seed}"), small, place / "replay")
        )
    return found


@pytest.fixture(scope="session")
def spoken(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same episodes, with hard words said of each step."""
    place = tmp_path_factory.mktemp("spoken")
    found = []
    for number, folder in enumerate(folders):
        episode = load_episode(folder)
        said = [
            critique(step, text, f"judge {step}", None if step % 2 else step)
            for step in range(episode.header.steps)
            for text in HARD[step % 2 :: 2]
        ]
        found.append(write_episode(with_critiques(episode, said, f"spoken-{number}"), place))
    return found
