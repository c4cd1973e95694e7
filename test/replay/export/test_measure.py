from __future__ import annotations

from pathlib import Path

import pytest

from vla_rl_nodes.bench.replay import export
from vla_rl_nodes.replay.episode import content_sha256, load_episode
from vla_rl_nodes.replay.folder import write_episode


def test_it_measures_every_format_and_cleans_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "STEPS", 5)
    rates = export.measure_export(3, tmp_path)
    assert set(rates) == {"lerobot_png", "lerobot_jpeg", "robomimic", "rlds_png"}
    assert all(rate > 0 for rate in rates.values())
    assert [path.name for path in tmp_path.iterdir()] == ["episodes"]
    again = export.measure_export(3, tmp_path)  # on the same episodes
    assert set(again) == set(rates)


def test_episodes_follow_from_the_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "STEPS", 5)
    one, two, other = (export.synthetic_episode(seed, "e") for seed in (3, 3, 4))
    hashes = [content_sha256(e.transitions.arrays()) for e in (one, two, other)]
    assert hashes[0] == hashes[1] != hashes[2]
    film = one.transitions.observations["image_wrist"]
    assert film.shape == (6, 128, 128, 3) and (film[0] != film[1]).mean() > 0.1
    assert load_episode(write_episode(one, tmp_path)).header == one.header
