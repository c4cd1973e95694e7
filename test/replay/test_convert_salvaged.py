"""What salvage saves of a damaged bag becomes transitions, and they say where they come from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from vla_rl_nodes.bags.salvage import salvage
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.convert import build_episode
from vla_rl_nodes.replay.episode import EpisodeData

from .episode_bag import make_episode


def rows(episode: EpisodeData) -> dict[int, dict[str, bytes]]:
    """Every step's bytes by its stamp, without what depends on the steps beside it."""
    steps = episode.transitions
    arrays = {k: v for k, v in steps.arrays().items() if k in ("state", "image_scene", "delay",
              "image_wrist", "reference", "chunk_id", "noise_seed", "observation_match")
              or k.startswith("action_")}  # fmt: skip
    return {
        int(stamp): {key: array[row].tobytes() for key, array in arrays.items()}
        for row, stamp in enumerate(steps.stamp_ns[:-1])
    }


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_a_bag_that_a_crash_cut_off_gives_the_steps_before_it(
    tmp_path: Path, share: float
) -> None:
    episode = make_episode(71, seconds=4.0)
    bag = episode.write(tmp_path / "bag")
    whole = build_episode(bag, episode.contract)
    (bag / "manifest.json").unlink()
    (bag / "metadata.yaml").unlink()
    file = bag / f"{episode.episode_id}.mcap"
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(InputError, match="was not closed"):
        build_episode(bag, episode.contract)
    damaged = hashlib.sha256(file.read_bytes()).hexdigest()
    salvage(bag, tmp_path / "saved")
    saved = build_episode(tmp_path / "saved", episode.contract)
    header, steps = saved.header, saved.transitions
    assert header.salvaged_from == damaged
    assert (header.outcome, header.reason) == ("aborted", "the recording was cut off")
    assert steps.truncated[-1] and not steps.terminated.any()
    kept, all_steps = rows(saved), rows(whole)
    assert 10 < len(kept) < len(all_steps) - 5
    actions = {f"action_{who}" for who in ("proposed", "residual", "intervention", "executed")}
    stamps = sorted(kept)
    for stamp in stamps:
        for key, value in kept[stamp].items():
            # What came late, behind the cut, is missing; nothing is other than it was.
            missing = np.isnan(np.frombuffer(value, "<f4")).all() if key in actions else False
            assert value == all_steps[stamp][key] or (missing and stamp in stamps[-6:]), key


def test_a_flipped_bit_costs_its_chunk_and_no_more(tmp_path: Path) -> None:
    episode = make_episode(72, seconds=4.0, outcome="success")
    bag = episode.write(tmp_path / "bag")
    whole = build_episode(bag, episode.contract)
    file = bag / f"{episode.episode_id}.mcap"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)
    salvage(bag, tmp_path / "saved")
    saved = build_episode(tmp_path / "saved", episode.contract)
    assert saved.header.salvaged_from == hashlib.sha256(data).hexdigest()
    assert saved.header.outcome == "success" and saved.transitions.terminated[-1]
    kept, all_steps = rows(saved), rows(whole)
    assert set(kept) < set(all_steps) and len(kept) > len(all_steps) // 2
    assert all(
        kept[stamp][key] == all_steps[stamp][key] for stamp in kept for key in ("state", "delay")
    )
