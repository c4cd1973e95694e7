from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.episodes.machine import OUTCOMES, State
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.outcome import (
    NOT_WON,
    Won,
    ends,
    judged_step,
    read_ending,
    read_rewards,
    read_won,
)
from vla_rl_nodes.replay.recording import Recording

from .episode_bag import event, small_contract, vector

CONTRACT = small_contract()


@given(
    stamps=st.lists(st.integers(0, 100), unique=True, min_size=2, max_size=12).map(sorted),
    sent=st.lists(st.tuples(st.integers(-5, 105), st.floats(-3, 3, width=32)), max_size=30),
)
def test_reward_is_the_newest_after_the_step_and_up_to_the_next(
    stamps: list[int], sent: list[tuple[int, float]]
) -> None:
    messages = [vector(s, ["reward"], [r], f"source{s % 2}") for s, r in sent if s >= 0]
    rewards, source, table = read_rewards(Recording("e", "bag", {"reward": messages}), stamps)
    expected_sources = set()
    for index in range(len(stamps) - 1):
        inside = [
            (stamp, arrival, value)
            for arrival, (stamp, value) in enumerate(sent)
            if stamps[index] < stamp <= stamps[index + 1]
        ]
        if not inside:
            assert np.isnan(rewards[index]) and source[index] == -1
            continue
        newest = max(inside, key=lambda entry: entry[:2])
        assert rewards[index] == np.float32(newest[2])
        assert table[source[index]] == f"source{newest[0] % 2}"
        expected_sources.add(f"source{newest[0] % 2}")
    assert table == sorted(expected_sources)
    assert source.dtype == np.int32 and rewards.dtype == np.float32


def test_invalid_rewards_are_counted_not_used() -> None:
    messages = [
        vector(12, ["reward"], [0.25]),
        vector(15, ["reward"], [np.nan]),
        vector(16, ["success"], [1.0]),
    ]
    recording = Recording("e", "bag", {"reward": messages})
    rewards, _, _ = read_rewards(recording, [10, 20])
    assert rewards.tolist() == [0.25]
    assert recording.refused == {"reward": 2}


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("last_is_end", [True, False])
@pytest.mark.parametrize("steps", [1, 7])
def test_an_episode_ends_once_and_in_one_way(
    outcome: State, last_is_end: bool, steps: int
) -> None:
    terminated, truncated = ends(outcome, steps, last_is_end)
    assert terminated.shape == truncated.shape == (steps,)
    assert not (terminated & truncated).any()
    assert np.flatnonzero(terminated | truncated).tolist() == [steps - 1]
    really_over = outcome in (State.SUCCESS, State.FAILURE) and last_is_end
    assert bool(terminated[-1]) == really_over


def state(stamp: int, message: str, **values: str) -> object:
    common = {"episode_id": "e", "contract_sha256": CONTRACT.sha256, "seed": "3"}
    return event(stamp, message, {**common, **values})


def test_the_first_outcome_of_this_episode_counts() -> None:
    messages = [
        state(5, "success", episode_id="before"), state(10, "running"),
        state(20, "failure", reason="dropped", task="t", robot="r", goal="the red one"),
        state(30, "success"),
    ]  # fmt: skip
    ending = read_ending(Recording("e", "bag", {"episode/state": messages}), CONTRACT, None)
    assert (ending.outcome, ending.stamp_ns, ending.reason) == (State.FAILURE, 20, "dropped")
    assert (ending.seed, ending.task, ending.robot) == (3, "t", "r")
    assert ending.goal == "the red one"


def test_a_salvaged_bag_without_its_outcome_is_cut_off_at_its_last_tick() -> None:
    left = [state(10, "ready", task="t"), state(12, "running", task="t", seed="8")]
    recording = Recording("e", "bag", {"episode/state": left})
    ending = read_ending(recording, CONTRACT, "aborted", last_tick_ns=55)
    assert (ending.outcome, ending.stamp_ns) == (State.ABORTED, 55)
    assert (ending.reason, ending.task, ending.seed) == ("the recording was cut off", "t", 8)
    with pytest.raises(InputError, match="has no outcome of episode e"):
        read_ending(recording, CONTRACT, "aborted")  # nobody says that it was salvaged
    # Of another contract it is still refused, and without any event nothing is known of it.
    left[-1] = state(12, "running", contract_sha256="f" * 64)
    with pytest.raises(InputError, match="contract ffffffffffff"):
        read_ending(recording, CONTRACT, "aborted", last_tick_ns=55)
    with pytest.raises(InputError, match="has no outcome of episode e"):
        read_ending(Recording("e", "b", {"episode/state": []}), CONTRACT, None, last_tick_ns=5)


def test_the_outcome_that_is_left_counts_in_a_salvaged_bag() -> None:
    recording = Recording("e", "bag", {"episode/state": [state(9, "success")]})
    ending = read_ending(recording, CONTRACT, "aborted", last_tick_ns=8)
    assert (ending.outcome, ending.stamp_ns) == (State.SUCCESS, 9)


def test_no_outcome_wrong_contract_and_disagreement_are_refused() -> None:
    def refused(messages: list[object], closed_as: str | None, said: str) -> None:
        with pytest.raises(InputError, match=said):
            read_ending(Recording("e", "b", {"episode/state": messages}), CONTRACT, closed_as)

    refused([state(10, "running")], None, "has no outcome of episode e")
    refused([state(9, "timeout")], "success", "closed as success but episode/state says timeout")
    refused([state(9, "timeout", contract_sha256="f" * 64)], "timeout", "contract ffffffffffff")
    refused([state(9, "timeout", contract_sha256="")], "timeout", "contract unknown")


@pytest.mark.parametrize(("text", "seed"), [("-1", None), ("", None), ("0", 0), ("77", 77)])
def test_seed_is_absent_unless_it_was_given(text: str, seed: int | None) -> None:
    recording = Recording("e", "b", {"episode/state": [state(9, "aborted", seed=text)]})
    assert read_ending(recording, CONTRACT, "aborted").seed == seed


# --- the reward of a success

STEPS = [0, 100, 200, 300, 400]  # four steps; the outcome comes at 400


def told(*samples: tuple[int, float, float]) -> Recording:
    """Stamp, reward and success, in order of arrival."""
    messages = [
        vector(at, ["success", "reward"], [success, value], f"s{value:g}")
        for at, value, success in samples
    ]
    return Recording("e", "bag", {"reward": messages, "episode/state": [state(400, "success")]})


def earned(recording: Recording, since: int = 0, is_last: bool = True) -> list[float]:
    ending = read_ending(recording, CONTRACT, "success")
    won = read_won(recording, ending, since, is_last)
    rewards, source, table = read_rewards(recording, STEPS, won)
    for value, index in zip(rewards, source, strict=True):
        assert (table[index] == f"s{value:g}") if index >= 0 else np.isnan(value)
    return [float(value) for value in rewards]


NAN = float("nan")


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        # A slow judge: what it saw at 130 it tells at 390.
        ([(10, 0, 0), (130, 1, 1)], [0, NAN, NAN, 1]),
        # It saw nothing else in its step, or that there was no reward yet.
        ([(110, 0, 0), (130, 1, 1)], [NAN, 0, NAN, 1]),
        # Captured before the first step.
        ([(0, 1, 1)], [NAN, NAN, NAN, 1]),
        # In the last step, as if nothing were: the newest of it counts.
        ([(290, 0, 0), (310, 0, 0), (320, 1, 1)], [NAN, NAN, 0, 1]),
        # A quick judge says it again until the episode has ended: it is earned once.
        ([(210, 0, 0), (280, 1, 1), (310, 1, 1), (340, 1, 1)], [NAN, NAN, 0, 1]),
        # A judge of differences tells the sum of its step: 3 of the 7 were told before.
        ([(20, 2, 0), (210, 3, 0), (280, 7, 1)], [2, NAN, NAN, 7]),
        # The clock's price is in both, too; nobody can tell them apart.
        ([(210, -0.5, 0), (280, 0.5, 1)], [NAN, NAN, NAN, 0.5]),
        # A film is scored when the success is known: it is told last, and is the reward.
        ([(280, 0, 1), (390, 0.75, 1)], [NAN, NAN, NAN, 0.75]),
        # Somebody else's reward of later, told earlier, stays where it is.
        ([(220, 5, 0), (310, 6, 0), (130, 1, 1)], [NAN, NAN, 5, 1]),
        ([(180, 5, 0), (130, 1, 1)], [NAN, 5, NAN, 1]),
        # Without a success an operator ended it.
        ([(130, 0.25, 0.99), (310, 0, 0)], [NAN, 0.25, NAN, 0]),
    ],
)
def test_a_success_is_earned_where_the_episode_terminates(
    samples: list[tuple[int, float, float]], expected: list[float]
) -> None:
    np.testing.assert_array_equal(earned(told(*samples)), expected)


def test_a_success_that_did_not_count_stays_in_its_step() -> None:
    # Of the episode before, or while it was held: then it would have ended there.
    recording = told((30, 1, 1), (130, 1, 1), (310, 0, 0))
    np.testing.assert_array_equal(earned(recording, since=150), [1, 1, NAN, 0])
    np.testing.assert_array_equal(earned(recording, since=100), [1, NAN, NAN, 1])
    # Or behind the end.
    np.testing.assert_array_equal(earned(told((130, 0, 0), (401, 1, 1))), [NAN, 0, NAN, NAN])


def test_with_the_last_step_the_reward_of_a_success_is_lost() -> None:
    recording = told((110, 0, 0), (130, 1, 1), (310, 2, 0))
    np.testing.assert_array_equal(earned(recording, is_last=False), [NAN, 0, NAN, 2])


@pytest.mark.parametrize("outcome", ["failure", "timeout", "aborted"])
def test_in_any_other_episode_nothing_moves(outcome: str) -> None:
    recording = told((130, 1, 1))
    recording = Recording(
        "e", "bag", {**recording.messages, "episode/state": [state(400, outcome)]}
    )
    won = read_won(recording, read_ending(recording, CONTRACT, outcome), 0, True)
    assert won == NOT_WON
    assert read_rewards(recording, STEPS, won)[0].tolist()[1] == 1


@given(
    sent=st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 3), st.booleans()), min_size=1, max_size=25
    )
)
def test_no_reward_counts_twice_and_the_others_stay(sent: list[tuple[int, int, bool]]) -> None:
    # Every sample has a value of its own, so that it can be told where it went.
    samples = [
        (at, 0.0 if value == 0 and not won else 1.0 + number, float(won))
        for number, (at, value, won) in enumerate(sent)
    ]
    found = earned(told(*samples))
    plain, _, _ = read_rewards(told(*samples), STEPS)
    known = [value for value in found if not np.isnan(value) and value != 0.0]
    assert len(set(known)) == len(known)
    said = {value for at, value, won in samples if won}
    same = {at for at, _, won in samples if won}  # of equal stamps the later counts
    moved = [entry for entry in sorted(samples, key=lambda entry: entry[0]) if entry[0] in same]
    if not said:
        np.testing.assert_array_equal(found, plain)
        return
    assert found[-1] == moved[-1][1] and not said & set(found[:-1])
    for step in range(3):
        if not any(STEPS[step] < at <= STEPS[step + 1] for at in same):
            np.testing.assert_array_equal(found[step], plain[step])


@given(
    stamps=st.lists(st.integers(0, 50), unique=True, min_size=2, max_size=9).map(sorted),
    at=st.integers(0, 55),
    is_last=st.booleans(),
    success=st.booleans(),
)
def test_the_step_of_a_verdict_is_the_step_of_its_reward(
    stamps: list[int], at: int, is_last: bool, success: bool
) -> None:
    won = Won(frozenset({at} if success else ()), is_last)
    messages = {"reward": [vector(at, ["reward"], [1.0])]}
    rewards, _, _ = read_rewards(Recording("e", "bag", messages), stamps, won)
    step = judged_step(stamps, at, won)
    assert np.flatnonzero(~np.isnan(rewards)).tolist() == ([] if step == -1 else [step])
