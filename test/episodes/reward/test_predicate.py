"""The scripted rule and the price of time, as judges."""

from __future__ import annotations

import pytest

from vla_rl_nodes.episodes.reward.judge import Look
from vla_rl_nodes.episodes.reward.predicate import Predicate, TimePenalty
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.sim.task import LiftPredicate

NOW = 1_795_000_000_123_456_789  # a stamp of this century
MS = 1_000_000


def state(at_ms: float, height: float, episode: str = "a") -> Look:
    stamp = NOW + round(at_ms * MS)
    return Look(episode, stamp, "lift", names=("joint", "cube_z"), values=(1.0, height))


def test_success_after_exactly_the_hold_at_any_stamp_of_this_century() -> None:
    judge = Predicate(LiftPredicate("cube_z", 0.02, hold_s=0.3))
    for base in range(0, 1_000_000, 27_011):
        given = [judge.judge(state(20 * i + base * 1e-6, 0.15, f"{base}")) for i in range(16)]
        assert [v.success for v in given] == [False] * 15 + [True]
        assert [v.reward for v in given] == [0.0] * 15 + [1.0]
        assert {v.confidence for v in given} == {1.0}
        assert {v.source for v in given} == {"sim/predicate"}
        assert given[-1].stamp_ns == NOW + 300 * MS + base


def test_another_episode_starts_from_nothing_and_may_be_earlier() -> None:
    judge = Predicate(LiftPredicate("cube_z", 0.02))
    assert [judge.judge(state(50 * i, 0.15)) for i in range(11)][-1].success is True
    assert judge.judge(state(-1000, 0.15, "b")).success is False


def test_bad_states_are_errors_of_the_rule() -> None:
    judge = Predicate(LiftPredicate("cube_z", 0.02))
    with pytest.raises(InputError, match="not finite"):
        judge.judge(state(0, float("nan")))
    judge.judge(state(10, 0.15))
    with pytest.raises(InputError, match="time went back"):
        judge.judge(state(5, 0.15))
    with pytest.raises(InputError, match="holds no 'cube_z'"):
        judge.judge(Look("a", NOW + 20 * MS, "lift", names=("joint",), values=(1.0,)))


def test_time_costs_the_same_every_step() -> None:
    judge = TimePenalty(0.01)
    assert judge.inline and not judge.adds
    verdict = judge.judge(Look("a", NOW, "lift"))
    assert (verdict.reward, verdict.success, verdict.source) == (-0.01, None, "time_penalty")
