"""Kept and lost ticks on the absolute schedule, whoever believes what about them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.bench.tick.measure import Block, figures, kept

MS = 1_000_000
PERIOD = 10 * MS
ORIGIN = 123_456_789_012_345


def block(
    ticks: int,
    rows: Sequence[tuple[int, float]],
    inference_ms: Sequence[float] = (),
    blind: int = 0,
    realtime: bool = True,
) -> Block:
    """A block of ``ticks`` deadlines with ticks (index of the own deadline, late by ms)."""
    deadlines = [ORIGIN + index * PERIOD for index, _ in rows]
    starts = [at + round(late * MS) for at, (_, late) in zip(deadlines, rows, strict=True)]
    return Block(
        "ours", PERIOD, ticks, deadlines, starts, [at + MS // 2 for at in starts],
        list(inference_ms), blind, len(rows) - blind, realtime,
    )  # fmt: skip


@given(st.lists(st.floats(0.0, 9.99), min_size=1, max_size=60))
def test_ticks_that_start_within_their_period_are_all_kept(late: list[float]) -> None:
    result = kept(block(len(late), list(enumerate(late))))
    assert len(result.lost_ns) == 0
    assert result.lateness_ms == pytest.approx(late, abs=1e-5)


@given(st.sets(st.integers(1, 38), max_size=20), st.integers(0, 2**31))
def test_each_deadline_without_a_tick_is_lost(missing: set[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [(k, float(rng.uniform(0.0, 5.0))) for k in range(40) if k not in missing]
    result = kept(block(40, rows))
    assert [(at - ORIGIN) // PERIOD for at in result.lost_ns] == sorted(missing)


def test_a_tick_later_than_its_period_keeps_only_the_deadline_before_it() -> None:
    # Deadline 1 is met 12 ms late, in the period of deadline 2, whose own tick follows at once.
    result = kept(block(4, [(0, 0.1), (1, 12.0), (2, 2.6), (3, 0.1)]))
    assert result.lost_ns.tolist() == [ORIGIN + PERIOD]
    assert result.lateness_ms.max() == pytest.approx(12.0)
    # A timer that skips instead has started one tick less and kept the same deadlines.
    skipping = kept(block(4, [(0, 0.1), (1, 12.0), (3, 0.1)]))
    assert skipping.lost_ns.tolist() == [ORIGIN + PERIOD]


def test_ticks_after_the_last_deadline_or_before_the_first_count_for_none() -> None:
    result = kept(block(3, [(0, 0.1), (1, 25.0)]))
    assert [(at - ORIGIN) // PERIOD for at in result.lost_ns] == [1, 2]


def test_a_source_that_drifts_off_the_grid_is_found_late() -> None:
    # Each tick believes itself in time and waits a period from its own start, 0.2 ms late.
    rows = 20
    deadlines = [ORIGIN + k * (PERIOD + MS // 5) for k in range(rows)]
    drifting = Block(
        "ours", PERIOD, rows, deadlines, deadlines, deadlines, [], 0, rows, True
    )  # fmt: skip
    late = kept(drifting).lateness_ms
    assert late[-1] - late[0] == pytest.approx(0.2 * (rows - 1))


@given(st.integers(0, 2**31))
def test_microseconds_of_error_in_the_believed_deadlines_change_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    exact = block(50, [(k, 1.0) for k in range(50)])
    read = [at + int(rng.integers(0, 8_000)) for at in exact.deadlines_ns]
    result = kept(Block("ours", PERIOD, 50, read, exact.starts_ns, exact.ends_ns, [], 0, 50, True))
    assert len(result.lost_ns) == 0
    # All of them are measured from one grid: what differs between the starts is all that differs.
    assert np.ptp(result.lateness_ms) == pytest.approx(0.0, abs=1e-9)
    assert result.lateness_ms == pytest.approx(np.ones(50), abs=0.008)


def test_a_tick_before_its_deadline_does_not_keep_it() -> None:
    early = kept(block(3, [(0, 0.1), (1, 0.1), (2, -3.0)]))
    assert early.lost_ns.tolist() == [ORIGIN + 2 * PERIOD]


def test_losses_are_laid_to_the_machine_only_where_it_stood_still_for_half_the_period() -> None:
    rows = [(k, 0.1) for k in range(10) if k not in (2, 5, 8)]
    result = kept(block(10, rows))
    second, fifth, eighth = (ORIGIN + k * PERIOD for k in (2, 5, 8))
    stalls = [
        (second - 3 * MS, second + 6 * MS),  # six of its ten milliseconds
        (fifth + MS, fifth + 3 * MS),  # four in two parts
        (fifth + 5 * MS, fifth + 7 * MS),
        (eighth - 9 * MS, eighth),  # over before it began
    ]
    assert len(result.lost_ns) == 3
    assert result.lost_in(stalls) == 1
    assert result.lost_in([]) == 0
    assert result.lost_in([(ORIGIN, ORIGIN + 10 * PERIOD)]) == 3


def test_figures_join_the_blocks_of_a_variant() -> None:
    first = block(4, [(0, 1.0), (1, 2.0), (3, 3.0)], inference_ms=[20.0, 30.0], blind=1)
    second = block(6, [(k, 4.0) for k in range(6)], inference_ms=[40.0])
    told = figures([first, second], [(ORIGIN + 2 * PERIOD, ORIGIN + 3 * PERIOD)])
    assert told["ticks_expected"] == 10
    assert told["ticks_lost"] == told["ticks_lost_in_stalls"] == 1
    assert told["ticks_kept"] == pytest.approx(0.9)
    assert told["ticks_kept_outside_stalls"] == pytest.approx(1.0)
    assert told["lateness_p50_ms"] == pytest.approx(4.0)
    assert told["lateness_max_ms"] == pytest.approx(4.0)
    assert told["work_p99_ms"] == pytest.approx(0.5)
    assert told["blind_ticks"] == 1
    assert told["inferences"] == 3
    assert told["inference_p50_ms"] == pytest.approx(30.0)
    assert told["realtime_priority"] is True
    assert figures([first, block(1, [(0, 0.0)], realtime=False)])["realtime_priority"] is False


def test_a_loss_that_is_not_the_machines_stays_a_loss_outside_its_stalls() -> None:
    rows = [(k, 0.1) for k in range(10) if k not in (2, 5)]
    told = figures([block(10, rows)], [(ORIGIN + 2 * PERIOD, ORIGIN + 3 * PERIOD)])
    assert told["ticks_kept"] == pytest.approx(0.8)
    assert told["ticks_kept_outside_stalls"] == pytest.approx(8 / 9)


def test_what_was_not_measured_is_none() -> None:
    told = figures([block(2, [(0, 1.0), (1, 2.0)])])
    assert told["ticks_lost_in_stalls"] is told["ticks_kept_outside_stalls"] is None
    assert told["inference_p99_ms"] is None
    assert told["lateness_p99_ms"] is not None
