from __future__ import annotations

import pytest

from vla_rl_nodes.chunking.following import FOLLOWED, HOLDING, POLICY, WITHHELD, Following, heard
from vla_rl_nodes.safety.reasons import Reason, reason_names
from vla_rl_nodes.safety.state import Source, State


def test_the_words_are_those_of_the_filter() -> None:
    assert Source.POLICY.value == POLICY and State.HOLDING.value == HOLDING
    assert set(reason_names(Reason.PAUSED | Reason.DEADMAN | Reason.WRENCH)) == WITHHELD


@pytest.mark.parametrize(
    ("state", "source", "reasons", "followed"),
    [
        ("armed", "policy", [], True),
        ("armed", "policy", ["workspace", "outranked"], True),
        ("holding", "policy", ["stale_command"], True),  # the next command is taken
        ("armed", "policy", ["wrench"], True),  # a message of the sensor was refused
        ("holding", "policy", ["paused"], False),
        ("holding", "policy", ["deadman", "stale_command"], False),
        ("holding", "policy", ["wrench"], False),
        ("armed", "intervention", [], False),
        ("holding", "intervention", ["stale_command"], False),
        ("armed", "reset", [], False),
        ("stopping", "", ["wrench"], False),
        ("disarmed", "", [], False),
    ],
)
def test_who_is_followed(state: str, source: str, reasons: list[str], followed: bool) -> None:
    assert heard(FOLLOWED, state, source, reasons).followed is followed


def test_only_a_way_back_is_counted() -> None:
    told = [
        ("armed", "policy"), ("armed", "policy"), ("armed", "intervention"), ("armed", "reset"),
        ("armed", "policy"), ("armed", "policy"), ("stopped", ""), ("armed", "policy"),
    ]  # fmt: skip
    now, counts = FOLLOWED, []
    for state, source in told:
        now = heard(now, state, source, [])
        counts.append(now.hand_backs)
    assert counts == [0, 0, 0, 0, 1, 1, 1, 2]
    assert now == Following(True, 2)
