"""robomimic itself reads what is written here; minutes, and packages from PyPI.

pytest -m nightly test/replay/export/test_with_robomimic.py
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vla_rl_nodes.replay.export.robomimic import NAME, write_robomimic
from vla_rl_nodes.replay.export.source import open_episodes

from .own_environment import build, run


@pytest.mark.nightly
def test_robomimic_s_own_dataset_gives_every_row(spoken: list[Path], tmp_path: Path) -> None:
    python = build(
        tmp_path / "venv",
        ["torch==2.13.0", "numpy", "h5py", "tqdm", "termcolor"],
        ["--no-deps", "robomimic==0.3.0"],
    )
    write_robomimic(open_episodes(spoken), tmp_path / "out")
    text = run(python, "open_with_robomimic.py", tmp_path / "out" / NAME, cache=tmp_path / "cache")
    found = json.loads(text.splitlines()[-1])
    runs = list(open_episodes(spoken).runs())
    assert found["valid"] == sum(run.length for run in runs if run.source == 2) > 0
    assert found["train"] + found["valid"] == sum(run.length for run in runs)
