"""Which file the reward node takes, and what it does with what cannot be published."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.episodes.reward.judge import Look
from vla_rl_nodes.episodes.reward.newest import Answered
from vla_rl_nodes.episodes.reward.verdict import Verdict
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.reward import Reward, _rewards_file


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


def test_a_verdict_that_cannot_be_published_is_that_judges_failure() -> None:
    failed: list[tuple[str, str]] = []
    told: list[Any] = []
    verdict = Verdict(1, "r", 1.0, True, critique="half a pair \ud83d")
    answers = [Answered(Look("e", 1, "lift"), verdict, None, 0)]

    def quote(name: str, episode_id: str, said: Verdict) -> None:
        assert said.critique is not None
        said.critique.encode("utf-8")

    panel = SimpleNamespace(
        answered=lambda *given: [SimpleNamespace()],
        failed=lambda name, error: failed.append((name, type(error).__name__)),
    )
    workers = {
        "bad": SimpleNamespace(collect=lambda: answers),
        "good": SimpleNamespace(collect=lambda: [Answered(Look("e", 1, "lift"),
                                                          Verdict(1, "r", 1.0), None, 0)]),
    }  # fmt: skip
    node = SimpleNamespace(
        _panel=panel, _workers=workers, _now=lambda: 2, _tell=told.append, _quote=quote
    )
    Reward._collect(node)  # type: ignore[arg-type]
    assert failed == [("bad", "UnicodeEncodeError")] and len(told) == 2
