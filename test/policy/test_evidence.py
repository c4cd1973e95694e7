"""Shares of recent events, and which chunks must not be executed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.policy.evidence import RecentShare, ShadowChunk, ShadowFigures, unusable


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 20))
def test_the_share_is_that_of_the_newest_events(events: list[bool], window: int) -> None:
    share = RecentShare(window)
    for event in events:
        share.add(event)
    newest = events[-window:]
    assert (share.count, share.hits) == (len(newest), sum(newest))
    assert share.share == (sum(newest) / len(newest) if newest else 0.0)


def test_few_events_are_counted_as_if_they_were_more() -> None:
    share = RecentShare(100)
    share.add(True)
    assert not share.exceeds(0.1, least=10)
    share.add(True)
    assert share.exceeds(0.1, least=10)
    assert not share.exceeds(0.1, least=20)


def test_the_figures_of_no_chunk_are_no_division_by_zero() -> None:
    assert ShadowFigures().log() == {"shadow_chunks": "0"}
    figures = ShadowFigures()
    figures.add(ShadowChunk(4.0, True, None))
    assert figures.log() == {
        "shadow_chunks": "1", "shadow_late": "1", "shadow_ms_p50": "4.000",
        "shadow_ms_max": "4.000",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("none", ""),
        ("at the bound", ""),
        ("nan", "not finite"),
        ("infinite", "not finite"),
        ("above", "left the action bounds"),
        ("below", "left the action bounds"),
        ("short", "shape [15, 5], not [16, 5]"),
    ],
)
def test_only_a_whole_finite_bounded_chunk_is_usable(
    contract: Contract, change: str, said: str
) -> None:
    action = contract.action
    rng = np.random.default_rng(3)
    share = rng.random((action.chunk_length, len(action.names)))
    chunk = action.minimum + share * (action.maximum - action.minimum)
    match change:
        case "at the bound":  # as a network has it
            chunk[4] = action.maximum.astype(np.float32)
        case "nan":
            chunk[15, 4] = np.nan
        case "infinite":
            chunk[0, 0] = -np.inf
        case "above":
            chunk[7, 3] = action.maximum[3] + 1e-4
        case "below":
            chunk[7, 2] = action.minimum[2] - 1e-4
        case "short":
            chunk = chunk[1:]
    found = unusable(chunk, contract)
    assert said in found and bool(found) == bool(said)
