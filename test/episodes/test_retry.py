"""A robot that gets on is left alone, one that does not is noticed within a stated time."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.episodes.retry import RetryMonitor, Stall, bellman_residual
from vla_rl_nodes.episodes.retry_settings import (
    Progress,
    RetrySettings,
    StepsToGo,
    load_retries,
)

SHIPPED = load_retries("franka_pick")


def steps_settings(window: int, lag: float, confirm: int, quiet: int = 0) -> RetrySettings:
    watch = StepsToGo(
        signal="steps_to_go", window_steps=window, lag_steps=lag, clear_steps=lag / 2
    )
    return RetrySettings(
        retries=1, watch=watch, confirm_steps=confirm, quiet_steps=quiet, confidence_min=0.0,
        on_stall=["retry"],
    )  # fmt: skip


def progress_settings(window: int, minimum: float, confirm: int) -> RetrySettings:
    watch = Progress(
        signal="progress", window_steps=window, minimum_gain=minimum, clear_gain=2 * minimum
    )
    return steps_settings(2, 1.0, confirm).model_copy(update={"watch": watch})


def stalls(monitor: RetryMonitor, values: list[float], first: int = 0) -> list[Stall]:
    """All stalls of a trace with one sample in each step."""
    found = [monitor.add(first + step, value) for step, value in enumerate(values)]
    return [stall for stall in found if stall is not None]


def perfect(begin: float, steps: int) -> list[float]:
    """One step nearer with each step, then at the goal."""
    return [max(begin - step, 0.0) for step in range(steps)]


settings_of_steps = st.integers(2, 60).flatmap(
    lambda window: st.builds(
        steps_settings, st.just(window), st.floats(0.5, window - 0.5), st.integers(1, 20)
    )
)


@given(settings_of_steps, st.floats(0.0, 300.0), st.integers(1, 12))
def test_a_perfect_trace_is_never_told(chosen: RetrySettings, begin: float, every: int) -> None:
    monitor = RetryMonitor(chosen)
    for step, value in enumerate(perfect(begin, 400)):
        if step % every == 0:
            assert monitor.add(step, value) is None, "also where only some steps have a sample"


@given(settings_of_steps, st.integers(0, 100), st.floats(0.1, 50.0))
def test_a_stalled_trace_is_told_within_the_stated_steps(
    chosen: RetrySettings, good: int, above: float
) -> None:
    watch = chosen.watch
    assert isinstance(watch, StepsToGo)
    left = watch.clear_steps + above  # where it stalls
    trace = [left + good - step for step in range(good)] + [left] * 200
    [first, *_] = stalls(RetryMonitor(chosen), trace)
    # From the last step that brought it nearer, which is the one at which it came to be there.
    assert first.step - good == math.floor(watch.lag_steps) + chosen.confirm_steps
    assert "steps behind" in first.cause and "to go" in first.cause


def test_one_that_stops_near_the_goal_is_told_and_one_that_may_be_there_is_not() -> None:
    [stall, *_] = stalls(RetryMonitor(SHIPPED), perfect(60.0, 49) + [12.0] * 60)
    assert stall.step == 48 + 25
    assert stall.cause == "25.0 steps behind after 40 steps, with 12.0 to go"
    assert stalls(RetryMonitor(SHIPPED), perfect(60.0, 51) + [10.0] * 60) == []


def test_the_shipped_settings_tell_after_25_steps() -> None:
    [stall] = stalls(RetryMonitor(SHIPPED), perfect(100.0, 41) + [60.0] * 25)
    assert stall.step == 40 + 25
    assert stall.cause == "25.0 steps behind after 40 steps, with 60.0 to go"


@given(st.integers(2, 8), st.integers(0, 60))
def test_seldom_samples_are_later_by_their_distance_at_most(every: int, good: int) -> None:
    chosen = steps_settings(40, 20.0, 5)
    trace = [100.0 + good - step for step in range(good)] + [100.0] * 120
    monitor = RetryMonitor(chosen)
    found = [
        stall.step
        for step, value in enumerate(trace)
        if step % every == 0 and (stall := monitor.add(step, value)) is not None
    ]
    assert 25 <= found[0] - good <= 25 + 2 * (every - 1)


@given(
    errors=st.lists(st.floats(-10.0, 10.0), min_size=250, max_size=250),
    begin=st.floats(0.0, 200.0),
)
def test_no_error_up_to_half_of_the_lag_makes_a_good_trace_stall(
    errors: list[float], begin: float
) -> None:
    chosen = steps_settings(40, 20.0, 1)
    trace = [max(v + e, 0.0) for v, e in zip(perfect(begin, 250), errors, strict=True)]
    assert stalls(RetryMonitor(chosen), trace) == []


@pytest.mark.parametrize(
    ("sigma", "correlation", "most"),
    [(3.0, 0.0, 0), (3.0, 0.9, 0), (6.0, 0.0, 20), (6.0, 0.9, 20)],
)
def test_false_stalls_on_noisy_good_traces(sigma: float, correlation: float, most: int) -> None:
    """Of 400 good episodes of 60 steps, with Gaussian errors of a twentieth and a tenth of that,
    independent, or drifting with a correlation of 0.9 from step to step: at most 5 in 100."""
    random = np.random.default_rng(7)
    told = 0
    for _ in range(400):
        error, trace = sigma * random.normal(), []
        for value in perfect(60.0, 75):
            fresh = sigma * math.sqrt(1.0 - correlation**2) * random.normal()
            error = correlation * error + fresh
            trace.append(max(value + error, 0.0))
        monitor = RetryMonitor(SHIPPED)
        monitor.begin(-1)
        told += bool(stalls(monitor, trace))
    print(f"sigma {sigma}, correlation {correlation}: {told} of 400")
    assert told <= most


def test_after_a_long_silence_another_window_begins() -> None:
    monitor = RetryMonitor(steps_settings(10, 5.0, 1))
    assert monitor.add(0, 100.0) is None
    assert monitor.add(50, 99.0) is None, "nobody knows what it did meanwhile"
    assert monitor.add(56, 99.0) is not None


def test_a_slow_robot_is_told_and_one_that_is_a_little_slow_is_not() -> None:
    slow = [100.0 - 0.3 * step for step in range(150)]
    a_little = [100.0 - 0.6 * step for step in range(150)]
    assert stalls(RetryMonitor(SHIPPED), slow)
    assert not stalls(RetryMonitor(SHIPPED), a_little), "16 steps behind in a window of 40"


def test_a_robot_that_waits_at_the_goal_does_not_lag() -> None:
    assert stalls(RetryMonitor(SHIPPED), [*perfect(50.0, 60), *[0.0] * 200]) == []


def test_a_dip_below_the_threshold_does_not_hide_a_stall_but_getting_on_does() -> None:
    chosen = steps_settings(40, 20.0, 5)
    stalled = [100.0] * 23  # lagging since step 21, for 2 steps
    dip = RetryMonitor(chosen)
    assert stalls(dip, [*stalled, 97.0, 100.0, 100.0])[0].step == 25
    gets_on = RetryMonitor(chosen)
    trace = [*stalled, 85.0, *[100.0 - k for k in range(3)]]
    assert stalls(gets_on, trace) == [], "8 behind is clear: the count begins again"


def test_after_a_stall_and_at_a_new_beginning_it_is_quiet() -> None:
    monitor = RetryMonitor(steps_settings(10, 5.0, 1, quiet=30))
    monitor.begin(-1)
    assert monitor.quiet(28) and not monitor.quiet(29)
    told = [stall.step for stall in stalls(monitor, [100.0] * 200)]
    # 29 steps of quiet, then a window of its own: nothing from before is held against it.
    assert told == [35, 71, 107, 143, 179]
    monitor.begin(200)
    assert stalls(monitor, [100.0] * 29, first=201) == []


def test_what_is_no_sample_is_not_used() -> None:
    monitor = RetryMonitor(steps_settings(10, 5.0, 1))
    for step in range(50):
        assert monitor.add(step, math.nan) is None and monitor.add(step, math.inf) is None
        assert monitor.add(0, 100.0 - step) is None, "the same step again"
    assert monitor.judgement is not None and monitor.judgement.expected == 0.0


@given(st.lists(st.floats(0.0, 100.0), min_size=2, max_size=40))
def test_the_lag_is_minus_the_sum_of_the_bellman_residuals(values: list[float]) -> None:
    monitor = RetryMonitor(steps_settings(60, 59.0, 60))
    stalls(monitor, values)
    judgement = monitor.judgement
    assert judgement is not None
    pairs = list(pairwise(values))
    residuals = sum(bellman_residual(a, b) for a, b in pairs)
    clear = 59.0 / 2
    if min(values) >= 1.0 and (values[0] >= len(pairs) or values[-1] > clear):  # else at the goal
        assert judgement.expected - judgement.achieved == pytest.approx(-residuals, abs=1e-9)


def test_the_residual_of_one_step() -> None:
    assert bellman_residual(5.0, 4.0) == 0.0
    assert bellman_residual(5.0, 5.0) == -1.0
    assert bellman_residual(5.0, 3.0) == 1.0
    assert bellman_residual(0.0, 0.0) == 0.0


@settings(max_examples=50)
@given(st.integers(2, 40), st.integers(1, 10), st.integers(0, 60))
def test_a_progress_that_stalls_is_told_and_a_steady_one_is_not(
    window: int, confirm: int, good: int
) -> None:
    rate = 0.01
    chosen = progress_settings(window, rate * window / 2, confirm)
    steady = [min(rate * step, 1.0) for step in range(150)]
    assert stalls(RetryMonitor(chosen), steady) == [], "also at the end, where it is done"
    stalled = [rate * min(step, good) for step in range(200)]
    [first, *_] = stalls(RetryMonitor(chosen), stalled)
    assert first.step - good <= window + confirm - 1
    assert "progress gained" in first.cause
