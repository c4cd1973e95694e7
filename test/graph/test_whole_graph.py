"""Nodes, topics and an episode from start to replay, with the nodes as separate processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.nodes.driver import EpisodeResult
from vla_rl_nodes.replay.check import check_parity, check_repeat
from vla_rl_nodes.replay.convert import build_episode
from vla_rl_nodes.robots.load import load_robot

from .running import CONTRACT, Graph, start

pytestmark = pytest.mark.graph


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Graph]:
    with start(folder) as whole:
        yield whole


@pytest.fixture(scope="module")
def episode(running: Graph) -> EpisodeResult:
    """An episode; a machine that stalls for a quarter of a second aborts one, so a few tries."""
    for _ in range(3):
        result = running.driver.run_episode(seed=7)
        if result.outcome != "aborted":
            break
    return result


def test_nodes_are_separate_processes_in_one_namespace(running: Graph) -> None:
    names = [
        "camera_ingest", "episode", "policy", "proprio_ingest", "recorder", "reset", "reward",
        "safety_filter", "sim_cameras", "sim_robot",
    ]  # fmt: skip
    node = running.driver.node

    def seen() -> list[str]:
        return sorted(
            name for name, space in node.get_node_names_and_namespaces()
            if space == "/fr3" and name != "episode_driver"
        )  # fmt: skip

    running.wait(lambda: seen() == names, 10.0, f"the nodes {names}")
    assert len({running.processes.pid(name) for name in names}) == len(names)


def test_topics_of_the_graph_have_their_types_and_publishers(running: Graph) -> None:
    expected = {
        "observation/images/scene": ("camera_ingest", "sensor_msgs/msg/Image"),
        "observation/images/wrist": ("camera_ingest", "sensor_msgs/msg/Image"),
        "observation/state": ("proprio_ingest", "sensor_msgs/msg/JointState"),
        "policy/chunk": ("policy", "trajectory_msgs/msg/JointTrajectory"),
        "policy/command": ("policy", "sensor_msgs/msg/JointState"),
        "policy/residual": ("policy", "sensor_msgs/msg/JointState"),
        "policy/status": ("policy", "diagnostic_msgs/msg/DiagnosticArray"),
        "safety/executed": ("safety_filter", "sensor_msgs/msg/JointState"),
        "safety/reference": ("safety_filter", "sensor_msgs/msg/JointState"),
        "safety/status": ("safety_filter", "diagnostic_msgs/msg/DiagnosticArray"),
        "episode/state": ("episode", "diagnostic_msgs/msg/DiagnosticArray"),
        "episode/label": ("episode", "diagnostic_msgs/msg/DiagnosticArray"),
        "recorder/status": ("recorder", "diagnostic_msgs/msg/DiagnosticArray"),
        "franka/joint_states": ("sim_robot", "sensor_msgs/msg/JointState"),
        "reward": ("reward", "sensor_msgs/msg/JointState"),
        "reset/status": ("reset", "diagnostic_msgs/msg/DiagnosticArray"),
    }
    for topic, (publisher, kind) in expected.items():
        infos = running.driver.node.get_publishers_info_by_topic(f"/fr3/{topic}")
        assert [(i.node_name, i.topic_type) for i in infos] == [(publisher, kind)], topic


def test_only_the_safety_filter_publishes_to_controllers(running: Graph) -> None:
    topics = load_robot("fr3").topics
    node = running.driver.node
    commanded = [topics.trajectory_command, topics.gripper_command]
    for topic in (*commanded, topics.position_command):
        assert topic is not None
        publishers = [i.node_name for i in node.get_publishers_info_by_topic(f"/fr3/{topic}")]
        listeners = [i.node_name for i in node.get_subscriptions_info_by_topic(f"/fr3/{topic}")]
        assert publishers == (["safety_filter"] if topic in commanded else [])
        assert "sim_robot" in listeners


def test_episode_leaves_one_closed_bag(running: Graph, episode: EpisodeResult) -> None:
    assert episode.bag is not None
    reader = EpisodeReader(episode.bag)
    assert reader.closed
    assert reader.metadata["outcome"] == episode.outcome
    assert reader.metadata["seed"] == "7"
    counts = {topic: content.count for topic, content in reader.topics.items()}
    seconds = counts["/fr3/policy/status"] / 20.0
    assert counts["/fr3/franka/joint_states"] / seconds > 200.0
    assert counts["/fr3/observation/images/wrist"] / seconds > 25.0


def test_bag_rebuilds_what_the_policy_saw_bit_for_bit(episode: EpisodeResult) -> None:
    assert episode.bag is not None
    report = check_parity(episode.bag, load_contract(CONTRACT))
    assert report.matched > 20
    assert report.matched == report.built_live


def test_converting_twice_gives_the_same_bytes(episode: EpisodeResult) -> None:
    assert episode.bag is not None
    report = check_repeat(episode.bag, load_contract(CONTRACT))
    assert report.files > 10
    assert report.differing == []


def test_transitions_hold_the_four_actions_and_the_outcome(episode: EpisodeResult) -> None:
    assert episode.bag is not None
    replay = build_episode(episode.bag, load_contract(CONTRACT)).transitions
    assert replay.action_proposed.shape == replay.action_executed.shape
    assert not replay.intervened.any()
    ended = bool(replay.terminated[-1]), bool(replay.truncated[-1])
    assert ended == ((True, False) if episode.outcome == "success" else (False, True))
    assert not (replay.terminated[:-1] | replay.truncated[:-1]).any()
    # A tick may follow the success before the policy hears of it; its reward is not known.
    assert np.isfinite(replay.reward[:-1]).all()
    assert np.nansum(replay.reward) == (1.0 if episode.outcome == "success" else 0.0)


def test_a_second_start_while_running_is_refused(running: Graph, episode: EpisodeResult) -> None:
    driver = running.driver
    first = driver.start_episode(seed=8)
    with pytest.raises(ValueError, match="wait for"):
        driver.start_episode(seed=9)
    driver.abort()
    assert driver.finish(first, 8, 20.0).outcome == "aborted"
