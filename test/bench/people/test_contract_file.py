"""The contract with more time is the same contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_rl_nodes.bench.people.contract_file import with_time_limit
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError


def test_only_the_time_limit_differs(tmp_path: Path) -> None:
    path = with_time_limit("franka_pick", 14.0, tmp_path / "new")
    made, shipped = load_contract(path), load_contract("franka_pick")
    assert path.is_absolute() and made.sha256 == shipped.sha256
    assert made.episode.time_limit_s == 14.0 != shipped.episode.time_limit_s
    same = made.model_copy(update={"episode": shipped.episode})
    assert same == shipped


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        with_time_limit("franka_pick", 14.0, tmp_path / "file")
