"""The policy node's account of its ticks, summed over episodes."""

from __future__ import annotations

import pytest

from vla_rl_nodes.bench.tick.slow_inference import summarise
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.event import Event

PERIOD = 50_000_000


def status(episode: str, tick: int, **values: object) -> Event:
    """One ``policy/status`` of a tick that was made and used the second chunk."""
    given = {
        "episode_id": episode, "lateness_ms": 0.25, "skipped_ticks": 3, "starved": 0,
        "chunk_id": 1, "delay": 4, "prefix_length": 4, "inference_ms": 151.5,
        "late_chunks": 0, "lost_chunks": 0, **values,
    }  # fmt: skip
    texts = {key: str(value) for key, value in given.items() if value is not None}
    return Event("policy", "running", texts, stamp_ns=7_000_000_000 + tick * PERIOD)


def test_ticks_of_all_episodes_are_summed() -> None:
    first = [status("a", tick) for tick in range(10)]
    # Half a minute later; one deadline of it passed without a tick.
    second = [status("b", 600 + tick, skipped_ticks=5) for tick in range(8) if tick != 4]
    told = summarise(first + second, PERIOD)
    assert told["ticks"] == 17
    assert told["ticks_expected"] == 18
    assert told["ticks_skipped"] == 2
    assert told["ticks_late"] == told["starved_ticks"] == told["blind_ticks"] == 0
    assert told["lateness_p50_ms"] == pytest.approx(0.25)


def test_what_went_wrong_is_counted() -> None:
    told = summarise(
        [
            status("a", 0, chunk_id=None, delay=None, prefix_length=None, inference_ms=None),
            status("a", 1, starved=1),
            status("a", 2, blind="image_scene"),
            status("a", 3, lateness_ms=50.0, late_chunks=2, lost_chunks=1),
        ],
        PERIOD,
    )
    assert told["starved_ticks"] == told["blind_ticks"] == told["ticks_late"] == 1
    assert told["chunks_late"] == 2
    assert told["chunks_lost"] == 1


def test_each_chunk_counts_once_however_many_ticks_used_it() -> None:
    ticks = [
        status("a", k, chunk_id=k // 4, delay=k // 4, prefix_length=2, inference_ms=100 + k // 4)
        for k in range(16)
    ]
    ticks += [status("b", 100 + k, chunk_id=0, delay=0, prefix_length=0) for k in range(3)]
    told = summarise(ticks, PERIOD)
    assert told["chunks_used"] == 5
    assert told["delays"] == {"0": 2, "1": 1, "2": 1, "3": 1}
    assert told["prefix_too_short"] == 1  # the one that took three ticks
    assert told["inference_max_ms"] == pytest.approx(151.5)


def test_no_tick_or_no_number_is_refused() -> None:
    with pytest.raises(InputError, match="was not heard"):
        summarise([], PERIOD)
    with pytest.raises(InputError, match="'lateness_ms' is 'soon'"):
        summarise([status("a", 0, lateness_ms="soon")], PERIOD)
