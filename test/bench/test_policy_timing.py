"""Every subject gets the same calls, in turns, and its own times."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from vla_rl_nodes.bench.policy.timing import interleaved


class Machine:
    """A clock that a subject's call moves on."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.seen: list[tuple[str, int]] = []

    def subject(self, name: str, microseconds: list[int]) -> object:
        def call(argument: int) -> None:
            taken = sum(who == name for who, _ in self.seen)
            self.now_ns += 1000 * microseconds[taken % len(microseconds)]
            self.seen.append((name, argument))

        return call


@pytest.mark.parametrize("calls", [1, 19, 20, 21, 205])
def test_all_are_called_alike_and_in_turns(calls: int) -> None:
    machine = Machine()
    subjects = {name: machine.subject(name, [100]) for name in "abc"}
    told: list[tuple[int, int]] = []
    times = interleaved(
        subjects,  # type: ignore[arg-type]
        [10, 11, 12],
        calls,
        seed=4,
        progress=lambda done, total: told.append((done, total)),
        clock_ns=lambda: machine.now_ns,
    )
    assert {name: row.calls for name, row in times.items()} == dict.fromkeys("abc", calls)
    wanted = Counter([10, 11, 12][index % 3] for index in range(calls))
    for name in "abc":
        assert Counter(argument for who, argument in machine.seen if who == name) == wanted
    # At no time is one more than a block ahead of another.
    counts: Counter[str] = Counter()
    for who, _ in machine.seen:
        counts[who] += 1
        assert max(counts[n] for n in "abc") - min(counts[n] for n in "abc") <= 20
    assert told[-1] == (calls, calls) and [done for done, _ in told] == sorted(
        {done for done, _ in told}
    )


def test_the_order_changes_and_follows_the_seed() -> None:
    def order(seed: int) -> list[str]:
        machine = Machine()
        subjects = {name: machine.subject(name, [100]) for name in "abc"}
        interleaved(subjects, [1], 200, seed, clock_ns=lambda: machine.now_ns)  # type: ignore[arg-type]
        return [who for who, _ in machine.seen][::20]

    assert order(1) == order(1) != order(2)
    assert len({tuple(order(1)[i : i + 3]) for i in range(0, 30, 3)}) > 1


def test_the_figures_are_those_of_the_calls() -> None:
    machine = Machine()
    slow = [int(v) for v in np.random.default_rng(0).integers(100, 5000, 400)]
    subjects = {"even": machine.subject("even", [250]), "slow": machine.subject("slow", slow)}
    times = interleaved(
        subjects,
        [0],
        400,
        1,
        clock_ns=lambda: machine.now_ns,  # type: ignore[arg-type]
    )
    even = times["even"]
    assert (even.p5_ms, even.p50_ms, even.p99_ms, even.mean_ms, even.max_ms) == (0.25,) * 5
    row, values = times["slow"], np.array(slow) / 1e3
    assert row.p50_ms == pytest.approx(np.percentile(values, 50))
    assert row.p99_ms == pytest.approx(np.percentile(values, 99))
    assert row.mean_ms == pytest.approx(values.mean()) and row.max_ms == values.max()
