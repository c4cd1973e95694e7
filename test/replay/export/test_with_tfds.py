"""TensorFlow Datasets itself opens what is written here; minutes, and packages from PyPI.

pytest -m nightly test/replay/export/test_with_tfds.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vla_rl_nodes.replay.export import rlds
from vla_rl_nodes.replay.export.rlds import write_rlds
from vla_rl_nodes.replay.export.source import open_episodes

from .own_environment import build, run

pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module")
def tensorflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its Python."""
    folder = tmp_path_factory.mktemp("tfds") / "venv"
    return build(folder, ["tensorflow-cpu==2.21.0", "tensorflow-datasets==4.9.10"])


@pytest.mark.parametrize("shard_bytes", [rlds.SHARD_BYTES, 20_000])
def test_tfds_returns_every_bit(
    tensorflow: Path,
    spoken: list[Path],
    tmp_path: Path,
    shard_bytes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rlds, "SHARD_BYTES", shard_bytes)
    write_rlds(open_episodes(spoken), tmp_path / "out", "png")
    run(
        tensorflow, "open_with_tfds.py", tmp_path / "out", tmp_path / "out.npz",
        cache=tmp_path / "cache",
    )  # fmt: skip
    runs = list(open_episodes(spoken).runs())
    with np.load(tmp_path / "out.npz") as found:
        assert found["episodes"] == len(runs)
        for number, steps in enumerate(runs):
            n = steps.length
            for key, rows in steps.observations.items():
                value = found[f"{number}/observation/{key}"]
                assert value.dtype == rows.dtype and value.tobytes() == rows.tobytes(), key
            for name, rows in steps.steps.items():
                value = found[f"{number}/{'action' if name == 'action_executed' else name}"]
                assert value.dtype == rows.dtype and len(value) == n + 1, name
                assert value[:n].tobytes() == rows.tobytes(), name
            assert found[f"{number}/stamp_ns"][n] == steps.end_stamp_ns
            said = [text.encode() for text in (*steps.critiques, "")]
            assert found[f"{number}/critiques"].tolist() == said
            assert found[f"{number}/is_last"].tolist() == [False] * n + [True]
            assert bool(found[f"{number}/is_terminal"][n]) == bool(steps.steps["terminated"][-1])
            assert found[f"{number}/metadata/episode_id"] == steps.header.episode_id.encode()
            assert set(found[f"{number}/language_instruction"]) == {steps.header.task.encode()}
