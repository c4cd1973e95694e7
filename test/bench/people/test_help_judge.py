"""The judge of help on evidence made up here: right, then each time wrong in one way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.bench.people.deeds import Help
from vla_rl_nodes.bench.people.help_judge import judge
from vla_rl_nodes.bench.people.help_record import NEVER, Evidence
from vla_rl_nodes.replay.interventions import edges

MS = 1_000_000
PERIOD = 50 * MS
BEGIN = 1_780_000_000_000_000_000
TICKS = 100
FILTER = 6 * MS  # from a tick to its executed command


def at(tick: float) -> int:
    return BEGIN + round(tick * PERIOD)


def episode(*spans: tuple[int, int], held: int = 2) -> Evidence:
    """He acts from the first to the last tick of each span; then nobody for ``held`` ticks."""
    rng = np.random.default_rng(0)
    proposed, human = (rng.uniform(-1, 1, (TICKS, 5)).astype(np.float32) for _ in range(2))
    intervened = np.zeros(TICKS, dtype=np.bool_)
    executed = proposed.copy()
    for first, last in spans:
        intervened[first : last + 1] = True
        executed[last + 1 : last + 1 + held] = np.nan
    human[~intervened] = np.nan
    executed[intervened] = human[intervened]
    starts, ends = edges(intervened, executed)
    stamps = np.array([at(tick) for tick in range(TICKS)], dtype=np.int64)
    device = [at(first - 1) + 10 * MS for first, _ in spans]
    return Evidence(
        episode_id="e", seed=1, outcome="success", reason="", ticks=TICKS,
        period_ns=PERIOD, end_ns=at(TICKS), stamps_ns=stamps,
        proposed=proposed, human=human, executed=executed,
        intervened=intervened, starts=starts, ends=ends, changed=np.zeros(TICKS, np.bool_),
        accepted_ns=np.where(np.isfinite(executed).all(axis=1), stamps + FILTER, NEVER),
        device_ns=np.array(device, dtype=np.int64), violations={},
        commands_missing=0, jerks=0, jerks_at_hand_over=0,
    )  # fmt: skip


def help_at(first: int, last: int, **changed: Any) -> Help:
    """The device was pushed 42 ms before the first tick of a span; let go at its end."""
    made = Help(
        decided_ns=at(first - 8), hand_ns=at(first - 1), felt_ns=at(first - 1) + 8 * MS,
        let_go_ns=at(last) + 1, cause="no headway", done=True,
    )  # fmt: skip
    return made.model_copy(update=changed)


SPANS = ((20, 40), (60, 75))
HELPS = [help_at(*span) for span in SPANS]


def test_what_is_right_is_found_right() -> None:
    verdict = judge(episode(*SPANS), HELPS)
    assert verdict.faults == ()
    assert (verdict.expected, verdict.recorded, verdict.too_late) == (2, 2, 0)
    assert verdict.intervened == verdict.complete == 37
    np.testing.assert_allclose(verdict.takeover_ticks, [(42 + 6) / 50] * 2)
    np.testing.assert_allclose(verdict.takeover_ticks_in_bag, [(40 + 6) / 50] * 2)
    assert verdict.handback_ticks == (2, 2)
    np.testing.assert_allclose(verdict.release_s, [0.15] * 2, atol=1e-6)


def test_without_help_there_is_nothing_to_find() -> None:
    verdict = judge(episode(), [])
    assert verdict.faults == () and verdict.takeover_ticks == ()
    assert (verdict.expected, verdict.recorded, verdict.intervened) == (0, 0, 0)


def test_a_hand_that_the_device_never_felt_asks_for_nothing() -> None:
    verdict = judge(episode(), [help_at(20, 30, felt_ns=None)])
    assert (verdict.expected, verdict.faults) == (0, ())


def test_a_missing_edge_is_told() -> None:
    verdict = judge(episode(SPANS[0]), HELPS)
    assert (verdict.expected, verdict.recorded) == (2, 1)
    assert verdict.faults == ("the take-over at 2.96 s is not in the bag",)


def test_an_edge_that_nobody_made_is_told() -> None:
    verdict = judge(episode(*SPANS), HELPS[:1])
    assert (verdict.expected, verdict.recorded) == (1, 2)
    assert verdict.faults == ("an intervention begins at 3.00 s that nobody made",)


def test_an_intervention_that_was_torn_in_two_is_told() -> None:
    """For two ticks in the middle the policy was in command again."""
    torn = episode((20, 29), (32, 40), held=0)
    verdict = judge(torn, [help_at(20, 40)])
    assert (verdict.expected, verdict.recorded) == (1, 2)
    assert len(verdict.faults) == 1 and "nobody made" in verdict.faults[0]


def changed(wrong: Callable[[dict[str, np.ndarray]], None]) -> Evidence:
    right = episode(*SPANS)
    arrays = {
        name: getattr(right, name).copy()
        for name in ("proposed", "human", "executed", "accepted_ns", "device_ns", "changed")
    }
    wrong(arrays)
    return replace(right, **arrays)  # type: ignore[arg-type]


@pytest.mark.parametrize("what", ["proposed", "human", "executed"])
def test_an_absent_action_is_told(what: str) -> None:
    def wrong(arrays: dict[str, np.ndarray]) -> None:
        arrays[what][30] = np.nan

    verdict = judge(changed(wrong), HELPS)
    assert verdict.complete == verdict.intervened - 1
    assert verdict.faults == (f"1 intervened steps have no {what} action",)


def test_the_policys_action_in_his_place_is_told() -> None:
    def wrong(arrays: dict[str, np.ndarray]) -> None:
        arrays["executed"][20:22] = arrays["proposed"][20:22]

    verdict = judge(changed(wrong), HELPS)
    assert len(verdict.faults) == 1 and verdict.faults[0].startswith("at 2 intervened steps some")
    assert verdict.takeover_ticks[0] == pytest.approx(2 + 48 / 50)


def test_what_the_filter_changed_for_a_reason_is_his_all_the_same() -> None:
    def limited(arrays: dict[str, np.ndarray]) -> None:
        arrays["executed"][20:22] *= 0.5
        arrays["changed"][20:22] = True

    verdict = judge(changed(limited), HELPS)
    assert verdict.faults == () and verdict.takeover_ticks[0] == pytest.approx(48 / 50)


def test_a_long_latency_is_seen() -> None:
    late = HELPS[0].model_copy(update={"felt_ns": HELPS[0].felt_ns - 5 * PERIOD})
    verdict = judge(episode(*SPANS), [late, HELPS[1]])
    assert verdict.takeover_ticks[0] == pytest.approx(5 + 48 / 50)


def test_a_take_over_that_was_never_executed_is_told() -> None:
    def wrong(arrays: dict[str, np.ndarray]) -> None:
        arrays["executed"][20:41] = np.nan

    verdict = judge(changed(wrong), HELPS)
    assert "nothing of the take-over at 0.96 s was executed" in verdict.faults
    assert len(verdict.takeover_ticks) == 1


def test_a_push_that_the_bag_lacks_is_told() -> None:
    def wrong(arrays: dict[str, np.ndarray]) -> None:
        arrays["device_ns"] = arrays["device_ns"][1:]

    assert judge(changed(wrong), HELPS).faults == ("the bag lacks the device's push at 0.96 s",)


def test_jerks_are_told() -> None:
    verdict = judge(replace(episode(*SPANS), jerks=3, jerks_at_hand_over=2), HELPS)
    assert verdict.jerks == 3
    assert verdict.faults == ("3 commanded jerks beyond the limit, 2 of them at hand-overs",)


def test_a_hand_on_the_cap_at_the_very_end_may_come_too_late() -> None:
    last = Help(
        decided_ns=at(90), hand_ns=at(97.5), felt_ns=at(97.6), let_go_ns=None, cause="set back",
        done=False,
    )  # fmt: skip
    verdict = judge(episode(), [last])
    assert (verdict.expected, verdict.too_late, verdict.faults) == (0, 1, ())
    # Where it made it into the bag it counts on both sides.
    verdict = judge(episode((98, 99)), [last])
    assert (verdict.expected, verdict.recorded, verdict.too_late) == (1, 1, 0)
    # And with three ticks left it has to.
    sooner = last.model_copy(update={"felt_ns": at(96.6)})
    assert judge(episode(), [sooner]).expected == 1


def test_an_episode_that_ends_under_his_hand_has_no_hand_back() -> None:
    verdict = judge(episode((80, 99)), [help_at(80, 99, let_go_ns=at(101), done=False)])
    assert verdict.handback_ticks == verdict.release_s == ()
    assert verdict.faults == ()


@given(st.integers(0, 4), st.integers(0, 30), st.integers(1, 25))
def test_every_hand_over_is_counted_once(held: int, first: int, length: int) -> None:
    spans = [(first + 2, first + 1 + length), (first + 40, first + 39 + length)]
    verdict = judge(episode(*spans, held=held), [help_at(*span) for span in spans])
    assert verdict.faults == ()
    assert (verdict.expected, verdict.recorded) == (2, 2)
    assert verdict.handback_ticks == (held, held)
