"""The order of the blocks, the inputs' rates, the load, and the probe's stalls."""

from __future__ import annotations

import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.bench.tick import probe
from vla_rl_nodes.bench.tick.beside import Beside
from vla_rl_nodes.bench.tick.busy import turn
from vla_rl_nodes.bench.tick.load import Load
from vla_rl_nodes.bench.tick.run import TickOptions, run_tick, schedule, summary_of_stalls
from vla_rl_nodes.bench.tick.stimulus import image_due
from vla_rl_nodes.bench.tick.variants import VARIANTS, variant_named
from vla_rl_nodes.errors import InputError

MS = 1_000_000


@given(st.integers(0, 10_000), st.integers(1, 400))
def test_every_variant_runs_the_same_ticks_once_a_round(seed: int, seconds: int) -> None:
    planned = schedule(TickOptions("franka_pick", seed, seconds))
    ticks: Counter[str] = Counter()
    for variant, count in planned:
        ticks[variant.name] += count
    assert ticks == {variant.name: 100 * seconds for variant in VARIANTS}
    for start in range(0, len(planned), len(VARIANTS)):
        round_ = planned[start : start + len(VARIANTS)]
        assert {variant.name for variant, _ in round_} == ticks.keys()
        assert len({count for _, count in round_}) == 1


def test_the_seed_decides_the_order_and_nothing_else_does() -> None:
    def order(seed: int) -> list[str]:
        return [v.name for v, _ in schedule(TickOptions("franka_pick", seed, 20))]

    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(10)}) == 10
    # The rounds of one run differ as well: no variant always comes after the same one.
    count = len(VARIANTS)
    rounds = {tuple(order(1)[k : k + count]) for k in range(0, 4 * count, count)}
    assert len(rounds) > 1


def test_variants_are_found_by_the_name_in_the_result() -> None:
    assert [variant_named(v.name) for v in VARIANTS] == list(VARIANTS)


def test_images_come_thirty_times_a_second_at_even_distances() -> None:
    due = [tick for tick in range(1000) if image_due(tick)]
    assert len(due) == 300
    assert {b - a for a, b in pairwise(due)} == {3, 4}


def test_the_busy_process_computes_the_generator_that_it_names() -> None:
    # Knuth's MMIX generator: x -> 6364136223846793005 x + 1442695040888963407 (mod 2^64).
    first = (6364136223846793005 * 1 + 1442695040888963407) % 2**64
    assert turn(1, 1) == first
    assert turn(1, 7) == turn(turn(1, 3), 4)


def test_load_is_the_share_of_the_processors_time_between_two_moments() -> None:
    earlier = Load.parse("cpu  100 20 30 1000 50 0 5 7 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    later = Load.parse("cpu  160 20 40 1020 60 0 5 17 0 0\n")
    assert later.since(earlier) == {
        "cpu_busy": pytest.approx(80 / 110, abs=1e-4),
        "cpu_stolen": pytest.approx(10 / 110, abs=1e-4),
    }
    assert Load.parse("").since(Load.parse("")) == {"cpu_busy": None, "cpu_stolen": None}


def test_the_probe_writes_down_when_it_woke_late(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 5_000 * MS
    # The machine stands still for 20 ms in the third sleep and for too little in the fifth.
    extra = {3: 20 * MS, 5: MS // 2}
    sleeps = 0

    def sleep(seconds: float) -> None:
        nonlocal now, sleeps
        sleeps += 1
        now += round(seconds * 1e9) + extra.get(sleeps, 0)

    monkeypatch.setattr(time, "monotonic_ns", lambda: now)
    monkeypatch.setattr(time, "sleep", sleep)
    stalls = probe.watch(lambda: sleeps < 8)
    third = 5_000 * MS + 3 * probe.PERIOD_NS
    assert stalls == [(third, third + 20 * MS)]
    # It does not make up for what it has missed: five more periods from there.
    assert now == third + 20 * MS + 5 * probe.PERIOD_NS


def test_stalls_are_summed_up() -> None:
    assert summary_of_stalls([(0, 2 * MS), (10 * MS, 15 * MS)]) == {
        "count": 2, "longest_ms": 5.0, "total_ms": 7.0,
    }  # fmt: skip
    assert summary_of_stalls([])["longest_ms"] == 0.0


def test_a_process_that_fails_is_told_with_its_last_line(tmp_path: Path) -> None:
    with (
        Beside("busy", ["--nonsense"], tmp_path) as busy,
        Beside("probe", ["--nonsense", "1"], tmp_path) as failing,
    ):
        busy.check()  # takes no arguments, and runs on
        with pytest.raises(InputError, match=r"bench probe: ended with status 2.*--out"):
            failing.wait(60.0)
        with pytest.raises(InputError, match="ended with status 2"):
            failing.check()


def test_a_contract_that_is_not_there_is_told_before_anything_starts() -> None:
    with pytest.raises(InputError, match="no_such_contract"):
        run_tick(TickOptions("no_such_contract", 0, 1), lambda text: pytest.fail(text))
