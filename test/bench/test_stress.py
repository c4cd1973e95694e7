"""A hundred thousand control ticks: nothing starves, nothing comes out of order."""

from __future__ import annotations

import pytest

from vla_rl_nodes.bench.rtc.stress import LOST_AFTER, Faults, Latency, stress

TICKS = 100_000


@pytest.mark.parametrize("seed", [0, 1])
def test_jitter_a_spike_and_a_cold_start_starve_nothing(seed: int) -> None:
    found = stress(TICKS, seed, Latency(), Faults())
    assert found["starved"] == 0 and found["out_of_order"] == 0
    assert found["late"] > 5  # the spikes are beyond what was trained for, and are refused
    assert found["underestimated_share"] <= 0.01
    assert found["actions"] > TICKS - 100  # all but the wait for the first, cold chunk


@pytest.mark.parametrize("seed", [0, 1])
def test_lost_repeated_and_reordered_chunks_leave_every_action_in_its_place(seed: int) -> None:
    found = stress(TICKS, seed, Latency(), Faults(lost=0.03, twice=0.05, reordered=0.03))
    assert found["out_of_order"] == 0
    assert min(found["lost"], found["dropped"]) > 300
    assert found["longest_hold_ticks"] <= 3 * LOST_AFTER  # three lost in a row


def test_a_machine_that_is_always_too_slow_holds_again_and_again_but_in_order() -> None:
    found = stress(10_000, 0, Latency(median_ms=400.0), Faults())
    assert found["out_of_order"] == 0 and found["late"] > 50
    assert found["starved"] > 1000
