"""Stalls, retreats and new attempts in physics, behind the real filter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from vla_rl_nodes.bench.people.retries import Bench
from vla_rl_nodes.bench.people.retries_loop import Trial
from vla_rl_nodes.bench.people.retries_signals import SimulatorState
from vla_rl_nodes.bench.people.retries_strategies import FAILING, GOOD
from vla_rl_nodes.episodes.retry_settings import RetrySettings, StepsToGo, load_retries

SHIPPED = load_retries("franka_pick")


class Told:
    """The bench with the expert as the strategy that works, and strategies in a given order."""

    def __init__(self) -> None:
        self.order: Sequence[str] = (GOOD,)
        self.bench = Bench("expert", lambda seed, attempt: self.order[attempt - 1])
        self.signal = SimulatorState(self.bench.contract, self.bench.rollout.scene)

    def trial(
        self, seed: int, *order: str, acts: bool = True, settings: RetrySettings = SHIPPED
    ) -> Trial:
        self.order = order
        return self.bench.trial(seed, self.signal, settings, acts)


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    made = Told()
    with made.bench.rollout:
        yield made


def watching(**changes: float) -> RetrySettings:
    watch = SHIPPED.watch
    assert isinstance(watch, StepsToGo)
    return SHIPPED.model_copy(update={"watch": watch.model_copy(update=changes)})


@pytest.mark.parametrize("kind", FAILING)
def test_what_goes_wrong_is_noticed_taken_back_and_tried_again(told: Told, kind: str) -> None:
    trial = told.trial(11, kind, GOOD)
    assert trial.success and trial.strategies == (kind, GOOD), trial
    [stall] = trial.told
    assert (stall.strategy, stall.attempt, stall.asked) == (kind, 1, "retry")
    assert "steps behind" in stall.cause
    assert 0.3 < stall.after_s < 2.0
    [retreat_s] = trial.retreats_s
    assert 0.9 < retreat_s < 3.0 and not trial.retreats_failed
    assert trial.bypasses == 0


def test_nothing_is_done_where_nobody_acts_and_it_fails(told: Told) -> None:
    trial = told.trial(11, "beside", acts=False)
    assert (trial.outcome, trial.strategies, len(trial.told)) == ("timeout", ("beside",), 1)
    assert trial.seconds == pytest.approx(12.0, abs=0.11)
    again = told.trial(11, "beside", GOOD)
    assert trial.told == again.told, "until then it is the same episode"


def test_a_good_strategy_is_left_alone_and_its_episode_is_the_same(told: Told) -> None:
    trial = told.trial(12, GOOD)
    assert trial.success and trial.told == ()
    assert trial == told.trial(12, GOOD, acts=False)


def test_a_second_stall_asks_for_help_as_the_shipped_settings_say(told: Told) -> None:
    trial = told.trial(13, "over", "above")
    assert trial.outcome == "help" and not trial.success
    assert [stall.asked for stall in trial.told] == ["retry", "help"]
    assert [stall.attempt for stall in trial.told] == [1, 2]


def test_a_monitor_that_is_never_content_takes_back_a_good_one_too(told: Told) -> None:
    settings = watching(lag_steps=0.01, clear_steps=0.01)
    hasty = settings.model_copy(update={"confirm_steps": 1, "on_stall": ["retry"]})
    trial = told.trial(12, *[GOOD] * 9, settings=hasty)
    assert trial.told and trial.told[0].strategy == GOOD


def test_a_monitor_that_is_always_content_is_worth_nothing(told: Told) -> None:
    content = watching(window_steps=10_000, lag_steps=9_999.0)
    trial = told.trial(11, "beside", GOOD, settings=content)
    assert (trial.outcome, trial.told) == ("timeout", ())
