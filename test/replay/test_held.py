"""What was paused, waited for help or was taken back by the reset is no step, and nothing leads
across it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from bag_messages import vector

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.chunks import chunk_transitions
from vla_rl_nodes.replay.convert import build_episode, convert_episode
from vla_rl_nodes.replay.episode import EpisodeData, load_episode
from vla_rl_nodes.replay.export.source import open_episodes
from vla_rl_nodes.replay.held import read_held
from vla_rl_nodes.replay.recording import Recording
from vla_rl_nodes.replay.returns import step_transitions
from vla_rl_nodes.replay.store.forms import Steps
from vla_rl_nodes.replay.store.pool import Pool, View
from vla_rl_nodes.replay.store.store import EpisodeStore

from .episode_bag import EVENT, MS, START_NS, VECTOR, Episode, Message, event, make_episode

ROWS = ("action_proposed", "action_residual", "action_intervention", "action_executed", "chunk")


def held_episode(
    seed: int, spans_ms: list[tuple[int, int]], how: str = "paused", outcome: str = "success"
) -> Episode:
    """An episode that is held from one to the other time after its start, with whole streams."""
    episode = make_episode(seed, seconds=2.0, outcome=outcome)
    for begin, end in spans_ms:
        for at, value in ((begin, "1"), (end, "0")):
            stamp = START_NS + at * MS
            if stamp < episode.end_ns:
                say(episode, stamp, "running", **{how: value})
    return episode


def say(episode: Episode, stamp: int, state: str, **values: str) -> None:
    known = {"episode_id": episode.episode_id, "contract_sha256": episode.contract.sha256}
    body = event(stamp, state, known | values)
    episode.messages.append(Message("episode/state", EVENT, stamp, stamp, body))


def converted(tmp_path: Path, episode: Episode) -> EpisodeData:
    folder = convert_episode(episode.write(tmp_path / "bag"), episode.contract, tmp_path / "out")
    return load_episode(folder)


@pytest.mark.parametrize("how", ["paused", "retreating"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_break_stands_for_all_of_it(tmp_path: Path, seed: int, how: str) -> None:
    begin, end = START_NS + 310 * MS, START_NS + 530 * MS
    data = converted(tmp_path, held_episode(seed, [(310, 530)], how))
    original = make_episode(seed, seconds=2.0)
    whole = build_episode(original.write(tmp_path / "w"), original.contract)
    steps, other = data.transitions, whole.transitions
    stamps = steps.stamp_ns.tolist()
    row = stamps.index(begin)
    assert not any(begin < stamp < end for stamp in stamps)
    inside = sum(begin <= tick < end for tick in original.ticks)
    assert data.header.counts["breaks"] == 1
    assert data.header.counts["dropped_held"] == inside >= 3
    # Nobody acts in it, nothing is earned, and neither it nor the step before goes on.
    for name in ROWS:
        assert np.isnan(steps.arrays()[name][row]).all(), name
    assert np.isnan(steps.reward[row]) and steps.reward_source[row] == -1
    assert np.flatnonzero(steps.truncated).tolist() == [row - 1, row]
    assert steps.terminated.sum() == 1 and steps.terminated[-1]
    assert steps.chunk_id[row] == steps.delay[row] == -1 and steps.observation_match[row] == 2
    assert (steps.sample_stamp_ns[row] == -1).all() and not steps.rule_differs[row]
    # What was kept is what it was without the pause, and the rewards are of their own step.
    kept = [k for k, stamp in enumerate(other.stamp_ns[:-1]) if not begin <= stamp < end]
    own = [k for k in range(len(steps.reward)) if k != row]
    for name in set(other.arrays()) - {"stamp_ns", "truncated", "reward", "reward_source",
                                       "safety_reasons", "intervention_start",
                                       "intervention_end"}:  # fmt: skip
        one, two = steps.arrays()[name][own], other.arrays()[name][kept]
        np.testing.assert_array_equal(one, two, err_msg=name)
    same = [k for k in own if k != row - 1]
    np.testing.assert_array_equal(
        steps.reward[same], other.reward[[k for k in kept if other.stamp_ns[k] != stamps[row - 1]]]
    )
    # The step before leads to what was seen when it began, not to what was seen after.
    at = build_episode(cut_at(seed, begin).write(tmp_path / "cut"), original.contract)
    for key, array in steps.observations.items():
        np.testing.assert_array_equal(array[row], at.transitions.observations[key][-1])


def cut_at(seed: int, end_ns: int) -> Episode:
    """The same episode, had it ended then."""
    episode = make_episode(seed, seconds=2.0)
    states = [m for m in episode.messages if m.topic == "episode/state"]
    final = next(m for m in states if m.stamp_ns == episode.end_ns)
    episode.messages.remove(final)
    say(episode, end_ns, "success")
    return episode


def test_nothing_that_learns_reads_across_a_break(tmp_path: Path) -> None:
    data = converted(tmp_path, held_episode(4, [(310, 530), (900, 1010)]))
    steps = data.transitions
    breaks = np.flatnonzero(
        np.isin(steps.stamp_ns[:-1], [START_NS + 310 * MS, START_NS + 900 * MS])
    )
    assert len(breaks) == 2

    def crosses(first: np.ndarray, count: np.ndarray) -> np.ndarray:
        return np.array([
            any(begin <= row < begin + length for row in breaks)
            for begin, length in zip(first, count, strict=True)
        ])  # fmt: skip

    for n in (1, 3, 8):
        returns = step_transitions(data, n, 0.99)
        across = crosses(returns.spans.observation, returns.spans.steps)
        assert across.sum() == 2 * n and not returns.complete[across].any()
        chunks = chunk_transitions(data, n, 0.99)
        assert not chunks.complete[across].any()
    with EpisodeStore(tmp_path / "store", writable=True) as store:
        store.append(data)
        rows = Pool([View(store)], Steps()).entries["row"]
        assert len(rows) > 5 and not set(rows.tolist()) & set(breaks.tolist())


def test_an_export_is_cut_at_a_break(tmp_path: Path) -> None:
    episode = held_episode(5, [(310, 530)])
    folder = convert_episode(episode.write(tmp_path / "bag"), episode.contract, tmp_path / "out")
    runs = list(open_episodes([folder]).runs())
    for run in runs:
        stamps = [*run.steps["stamp_ns"].tolist(), run.end_stamp_ns]
        for earlier, later in pairwise(stamps):
            inside = earlier < START_NS + 310 * MS < later or earlier < START_NS + 530 * MS < later
            assert not inside
        assert run.steps["truncated"][-1] or run.steps["terminated"][-1]


def test_pauses_that_touch_each_other_are_one_break(tmp_path: Path) -> None:
    data = converted(tmp_path, held_episode(6, [(310, 330), (331, 420), (421, 530)]))
    assert data.header.counts["breaks"] == 1
    assert START_NS + 310 * MS in data.transitions.stamp_ns


@pytest.mark.parametrize("outcome", ["success", "failure", "timeout", "aborted"])
def test_an_episode_that_ends_while_it_is_held_ended_when_that_began(
    tmp_path: Path, outcome: str
) -> None:
    episode = held_episode(7, [(1000, 9000)], outcome=outcome)
    after = episode.end_ns - 1  # whoever looked at it rewards what it had reached
    body = vector(after, ["success", "reward"], [1.0, 77.0], "operator")
    episode.messages.append(Message("reward", VECTOR, after, after, body))
    steps = converted(tmp_path, episode).transitions
    assert steps.stamp_ns[-1] == START_NS + 1000 * MS
    judged = outcome in ("success", "failure")
    assert bool(steps.terminated[-1]) == judged and bool(steps.truncated[-1]) != judged
    assert (steps.reward[-1] == 77.0) == judged
    assert steps.terminated.sum() + steps.truncated.sum() == 1


def test_a_pause_before_the_first_step_is_no_break(tmp_path: Path) -> None:
    data = converted(tmp_path, held_episode(8, [(0, 430)]))
    assert data.header.counts["breaks"] == 0 and data.header.counts["dropped_held"] > 5
    assert data.transitions.truncated.sum() == 0
    assert data.transitions.stamp_ns[0] >= START_NS + 430 * MS


def test_where_nothing_could_be_seen_the_step_before_is_the_break(tmp_path: Path) -> None:
    episode = held_episode(9, [(610, 730)])
    begin = START_NS + 610 * MS
    stream = next(s for s in episode.contract.streams if s.key == "state")
    silent = begin - stream.max_age_ns - 1
    episode.messages = [
        m for m in episode.messages if m.topic != stream.topic or not silent < m.stamp_ns <= begin
    ]
    seen = [t for t in episode.ticks if t < begin and t in episode.live]
    before = max(t for t in seen if episode.live[t][0]["state"] <= silent)
    data = converted(tmp_path, episode)
    steps = data.transitions
    row = steps.stamp_ns.tolist().index(before)
    assert data.header.counts["breaks"] == 1 and steps.stamp_ns[row + 1] > begin
    assert np.isnan(steps.action_executed[row]).all() and np.isnan(steps.reward[row])
    assert np.flatnonzero(steps.truncated).tolist() == [row - 1, row]


def test_only_the_episodes_own_word_counts() -> None:
    def state(stamp: int, message: str, **values: str) -> object:
        return event(stamp, message, {"episode_id": "e", **values})

    messages = [
        state(1, "ready", paused="1"), state(2, "running", paused="0"),
        state(10, "running", paused="1"), state(12, "running", paused="1", help="x"),
        event(14, "running", {"episode_id": "other", "paused": "0"}),
        state(20, "running", paused="0", retreating="1"), state(30, "running", retreating="0"),
        state(40, "running", paused="1"), state(50, "aborted", paused="1"),
    ]  # fmt: skip
    held = read_held(Recording("e", "bag", {"episode/state": messages}), 50)
    assert (list(held.starts_ns), list(held.ends_ns)) == ([10, 40], [30, 50])
    assert held.acting_ns == 30
    assert [held.holds(at) for at in (9, 10, 29, 30, 40, 49)] == [
        False, True, True, False, True, True,
    ]  # fmt: skip


def test_since_when_it_acts() -> None:
    def acting(*states: tuple[int, str, str]) -> int | None:
        messages = [
            event(stamp, message, {"episode_id": "e", "paused": paused})
            for stamp, message, paused in states
        ]
        return read_held(Recording("e", "bag", {"episode/state": messages}), 50).acting_ns

    began = [(1, "ready", "0"), (2, "running", "0"), (5, "running", "0")]
    assert acting(*began) == 2
    assert acting(*began, (9, "running", "1")) == 2  # it ended while it was held
    assert acting(*began, (9, "running", "1"), (12, "running", "0"), (50, "success", "0")) == 12
    assert acting((1, "ready", "0")) is None


def test_a_discarded_episode_is_refused_in_one_line(tmp_path: Path) -> None:
    by_bag = make_episode(10, seconds=0.6)
    by_bag.metadata = {"discarded": "1"}
    by_event = make_episode(11, seconds=0.6)
    final = next(m for m in by_event.on("episode/state") if m.stamp_ns == by_event.end_ns)
    by_event.messages.remove(final)
    say(by_event, by_event.end_ns, "success", discarded="1")
    for number, episode in enumerate((by_bag, by_event)):
        bag = episode.write(tmp_path / f"bag{number}")
        with pytest.raises(InputError) as caught:
            convert_episode(bag, episode.contract, tmp_path / "out")
        line = str(caught.value)
        assert "was discarded by its operator; leave it out of what is converted" in line
        assert "\n" not in line and not (tmp_path / "out").exists()


def test_what_the_episode_says_of_itself_is_in_the_header(tmp_path: Path) -> None:
    episode = make_episode(12, seconds=0.6)
    final = next(m for m in episode.on("episode/state") if m.stamp_ns == episode.end_ns)
    episode.messages.remove(final)
    said = {"operator": "Ada", "goal": "the red one", "reset_mode": "start", "attempt": "3",
            "reset_attempts": "2", "retry_cause": "21 steps behind", "discarded": "0"}  # fmt: skip
    say(episode, episode.end_ns, "success", **said)
    header = converted(tmp_path, episode).header
    assert header.goal == "the red one"
    assert header.metadata == {
        "operator": "Ada", "reset_mode": "start", "attempt": "3", "reset_attempts": "2",
        "retry_cause": "21 steps behind",
    }  # fmt: skip
