"""What is salvaged of an episode converts to the same steps as the whole episode."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from replay.episode_bag import make_episode

from vla_rl_nodes.bags.salvage import salvage
from vla_rl_nodes.replay.convert import build_episode

from .chunk_map import chunk_map


@pytest.mark.parametrize("kind", ["hole", "cut"])
def test_salvaged_steps_are_those_of_the_whole_episode(tmp_path: Path, kind: str) -> None:
    episode = make_episode(5, seconds=3.0, outcome="failure")
    bag = episode.write(tmp_path / "bag")
    whole = build_episode(bag, episode.contract)
    path = bag / f"{episode.episode_id}.mcap"
    data = path.read_bytes()
    blocks = chunk_map(data)
    hole = blocks[2]
    damaged = data[: hole.begin + 60] + bytes(20) + data[hole.begin + 80 :]
    path.write_bytes(damaged if kind == "hole" else data[: blocks[4].begin + 9])
    report = salvage(bag, tmp_path / "new")
    rebuilt = build_episode(tmp_path / "new", episode.contract)
    assert rebuilt.header.salvaged_from == report.files[0].sha256
    assert rebuilt.header.outcome == ("failure" if kind == "hole" else "aborted")
    assert rebuilt.transitions.terminated[-1] == (kind == "hole")
    stamps = list(whole.transitions.stamp_ns)
    kept = [stamps.index(at) for at in rebuilt.transitions.stamp_ns[:-1]]
    assert 10 < len(kept) < len(stamps) - 1 and kept == sorted(kept)
    for name, values in rebuilt.transitions.observations.items():
        np.testing.assert_array_equal(values[:-1], whole.transitions.observations[name][kept])
    np.testing.assert_array_equal(
        rebuilt.transitions.observation_match, whole.transitions.observation_match[kept]
    )
