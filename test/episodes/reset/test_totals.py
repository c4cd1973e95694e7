"""How well resets go, counted."""

from __future__ import annotations

from vla_rl_nodes.episodes.reset.totals import Totals


def test_time_without_a_person_counts_from_the_last_one() -> None:
    totals = Totals(10.0)
    assert totals.per_failure is None
    totals.ended(40.0, 1, True)
    assert totals.unattended_s(40.0) == 30.0
    totals.person(100.0)
    assert totals.unattended_s(105.0) == 5.0
    totals.asked += 1
    totals.ended(110.0, 3, False)
    assert (totals.resets, totals.failures, totals.attempts) == (2, 1, 4)
    assert totals.per_failure == 1.0
    assert totals.longest_s == 90.0
