from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.replay.convert import build_episode
from vla_rl_nodes.replay.start_state import measured_joints, start_state
from vla_rl_nodes.robots.load import load_robot

from .episode_bag import MS, START_NS, VECTOR, Episode, Message, make_episode, vector

SEEN = {"state": np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)}
ROBOT = load_robot("fr3")


def test_the_simulators_state_at_the_first_step_is_hashed_with_its_names() -> None:
    state = np.array([[1.0, 2.0], [5.0, 6.0]])
    base = start_state(state, ["a", "b"], SEEN, None)
    assert base.source == "privileged"
    later = np.array([[1.0, 2.0], [9.0, 9.0]])
    unlike = {key: rows + 1 for key, rows in SEEN.items()}
    assert start_state(later, ["a", "b"], unlike, {"j": 1.0}) == base
    # The order of the columns means nothing, what they are called does.
    assert start_state(state[:, ::-1], ["b", "a"], SEEN, None) == base
    assert start_state(state, ["a", "c"], SEEN, None) != base
    assert start_state(np.nextafter(state, 9.0), ["a", "b"], SEEN, None) != base


@pytest.mark.parametrize("state", [None, np.array([[1.0, np.nan], [1.0, 2.0]])])
def test_else_the_first_observation_and_the_measured_joints_are(state: np.ndarray | None) -> None:
    base = start_state(state, ["a", "b"], SEEN, {"j1": 0.5, "j2": 1.0})
    assert base.source == "observation"
    later = {"state": SEEN["state"] + np.array([[0.0], [1.0]], dtype=np.float32)}
    assert start_state(state, ["a", "b"], later, {"j2": 1.0, "j1": 0.5}) == base
    first = {"state": SEEN["state"] + np.array([[1.0], [0.0]], dtype=np.float32)}
    others = [
        start_state(state, ["a", "b"], first, {"j1": 0.5, "j2": 1.0}),
        start_state(state, ["a", "b"], SEEN, {"j1": 1.0, "j2": 0.5}),
        start_state(state, ["a", "b"], SEEN, None),
    ]
    assert len({other.sha256 for other in [base, *others]}) == 4


def test_a_stream_and_a_joint_of_one_name_are_not_mixed_up() -> None:
    five = np.array([[5.0]])
    assert start_state(None, [], {"x": five}, None) != start_state(None, [], {}, {"x": 5.0})


def with_joints(episode: Episode) -> Episode:
    """Joint states every 4 ms from half a second before the episode, newest value = stamp."""
    topic = ROBOT.topics.joint_states
    for stamp in range(START_NS - 500 * MS, START_NS + 300 * MS, 4 * MS):
        values = [(stamp - START_NS) / 1e9 + i for i in range(len(ROBOT.joints))]
        body = vector(stamp, list(ROBOT.joints), values)
        episode.messages.append(Message(topic, VECTOR, stamp, stamp + MS, body))
    episode.messages.sort(key=lambda m: m.arrival_ns)
    return episode


def test_joints_measured_at_or_before_a_time_are_found(tmp_path: Path) -> None:
    episode = with_joints(make_episode(61, seconds=0.6))
    reader = EpisodeReader(episode.write(tmp_path / "bag"))
    at = START_NS + 41 * MS
    found = measured_joints(reader, "/fr3/", "fr3", at)
    assert found is not None and list(found) == list(ROBOT.joints)
    assert found[ROBOT.joints[0]] == pytest.approx(0.040)
    assert measured_joints(reader, "/fr3/", "fr3", START_NS - 600 * MS) is None
    assert measured_joints(reader, "/fr3/", "fr3", START_NS + 900 * MS) is None  # too old
    assert measured_joints(reader, "/other/", "fr3", at) is None
    assert measured_joints(reader, "/fr3/", "no_such_robot", at) is None


def test_the_bag_of_a_real_robot_gives_the_hash_of_what_was_seen_and_measured(
    tmp_path: Path,
) -> None:
    episode = with_joints(make_episode(62, seconds=0.8))
    episode.messages = [m for m in episode.messages if m.topic != "sim/state"]
    built = build_episode(episode.write(tmp_path / "bag"), episode.contract)
    header, steps = built.header, built.transitions
    first = int(steps.stamp_ns[0])
    newest = max(
        (m for m in episode.on(ROBOT.topics.joint_states) if m.stamp_ns <= first),
        key=lambda m: m.stamp_ns,
    )
    joints = dict(zip(newest.body.name, newest.body.position, strict=True))
    expected = start_state(None, [], steps.observations, joints)
    assert (header.start_state, header.start_state_sha256) == ("observation", expected.sha256)
    assert start_state(None, [], steps.observations, None) != expected
