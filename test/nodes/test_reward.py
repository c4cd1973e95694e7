"""Which file the reward node takes, without a graph."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.reward import _rewards_file


def test_the_contracts_own_file_is_taken_where_there_is_one() -> None:
    own = _rewards_file("", load_contract("franka_pick"))
    assert own is not None and own.name == "franka_pick.yaml" and own.parent.name == "rewards"
    assert _rewards_file("", load_contract("plane")) is None


def test_a_name_or_path_goes_before() -> None:
    contract = load_contract("plane")
    named = _rewards_file("classifier", contract)
    assert named is not None and named.stem == "classifier"
    assert _rewards_file("/a/b.yaml", contract) == Path("/a/b.yaml")
    with pytest.raises(InputError, match="nobody: is none of config/rewards"):
        _rewards_file("nobody", contract)
