"""The toy's demonstrations, and files that are no toy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.sim.plane.toy import LEVELS, SPREAD, toy_figures, toy_rows


def test_two_modes_at_the_observed_level() -> None:
    rows = toy_rows(4000, 0)
    assert rows.state.shape == (4000, 1)
    assert rows.chunk.shape == (4000, 16, 1)
    assert rows.chunk.dtype == rows.state.dtype == np.float32
    assert rows.state.min() >= LEVELS[0]
    assert rows.state.max() <= LEVELS[1]
    middle = rows.chunk.mean(axis=1)
    assert 0.47 < (middle > 0).mean() < 0.53
    assert abs(np.corrcoef(middle[:, 0], rows.state[:, 0])[0, 1]) < 0.05  # not to be told
    assert np.corrcoef(np.abs(middle[:, 0]), rows.state[:, 0])[0, 1] > 0.6
    off = np.abs(rows.chunk[:, :, 0]) - rows.state
    assert off.std() == pytest.approx(SPREAD, rel=0.05)


def test_the_seed_decides() -> None:
    assert np.array_equal(toy_rows(50, 1).chunk, toy_rows(50, 1).chunk)
    assert not np.array_equal(toy_rows(50, 1).chunk, toy_rows(50, 2).chunk)


def test_a_missing_or_foreign_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        toy_figures(tmp_path / "none.onnx", 0)
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    with pytest.raises(InputError, match="no model") as raised:
        toy_figures(tmp_path / "bad.onnx", 0)
    assert "\n" not in str(raised.value)
