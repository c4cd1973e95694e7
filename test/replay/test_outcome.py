from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.episodes.machine import OUTCOMES, State
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.outcome import ends, read_ending, read_rewards
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
