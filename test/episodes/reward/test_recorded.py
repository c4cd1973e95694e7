"""A recorded episode through the panel: the same rewards as the bag, step by step."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.contract.decode import stamp_ns
from vla_rl_nodes.contract.load import load_contract, load_yaml, named_file
from vla_rl_nodes.episodes.reward.make import Trust, make_judges
from vla_rl_nodes.episodes.reward.panel import Panel, Told
from vla_rl_nodes.episodes.reward.spec import Rewards
from vla_rl_nodes.replay.outcome import read_ending, read_rewards
from vla_rl_nodes.replay.recording import (
    EPISODE_STATE,
    REWARD,
    SIM_STATE,
    Recording,
    read_recording,
)
from vla_rl_nodes.replay.steps import read_ticks
from vla_rl_nodes.resources import resource
from vla_rl_nodes.sim.scene import load_scene
from vla_rl_nodes.sim.task import lift_predicate

CONTRACT = load_contract("franka_pick")
STATE_PERIOD_NS = 33_400_000


@pytest.fixture(scope="module")
def recording() -> Recording:
    return read_recording(EpisodeReader(resource("bags/franka_pick_sample")), CONTRACT)


@pytest.fixture(scope="module")
def running_ns(recording: Recording) -> int:
    """When the episode began to run; the bag begins in the one before it."""
    return next(
        event.stamp_ns for event in recording.events(EPISODE_STATE)
        if event.message == "running" and event.values["episode_id"] == recording.episode_id
    )  # fmt: skip


@pytest.fixture(scope="module")
def told(recording: Recording, running_ns: int) -> list[Told]:
    """What the shipped configuration tells of the bag's states on ``reward``."""
    path = named_file("rewards", "franka_pick")
    config = load_yaml(path, Rewards)

    def rule(scene: str | None) -> Any:
        return lift_predicate(load_scene(scene or CONTRACT.name))

    lines: list[str] = []
    judges = make_judges(path, config, CONTRACT, Trust([]), rule)
    panel = Panel(config, CONTRACT, judges, lambda line, kind: lines.append(line))
    panel.begin("a", "lift", running_ns)
    found: list[Told] = []
    for message in recording.messages[SIM_STATE]:
        stamp = stamp_ns(message)
        found += panel.named_state(stamp, message.name, message.position, stamp + 1_000_000)
    assert lines == []
    return [one for one in found if one.topic == "reward"]


def test_success_comes_with_the_recorded_one(
    recording: Recording, told: list[Told], running_ns: int
) -> None:
    recorded = [
        stamp_ns(message) for message in recording.messages[REWARD]
        if message.position[list(message.name).index("success")] == 1.0
        and stamp_ns(message) >= running_ns
    ]  # fmt: skip
    ours = [one.stamp_ns for one in told if one.values["success"] == 1.0]
    assert recorded and ours
    assert abs(ours[0] - recorded[0]) <= STATE_PERIOD_NS
    assert {one.source for one in told} == {"sim/predicate"}


def test_thirty_rewards_a_second_and_one_in_every_step(
    recording: Recording, told: list[Told]
) -> None:
    stamps = np.array([one.stamp_ns for one in told])
    assert 1e9 / np.median(np.diff(stamps)) >= 29.9
    ticks = [tick.stamp_ns for tick in read_ticks(recording)[0]]
    ticks.append(read_ending(recording, CONTRACT, None).stamp_ns)
    messages = [
        SimpleNamespace(
            name=list(one.values), position=list(one.values.values()),
            header=SimpleNamespace(
                stamp=SimpleNamespace(sec=one.stamp_ns // 10**9, nanosec=one.stamp_ns % 10**9),
                frame_id=one.source,
            ),
        )
        for one in told
    ]  # fmt: skip
    judged: Any = SimpleNamespace(messages={REWARD: messages}, refused=Counter())
    rewards, sources, table = read_rewards(judged, ticks)
    recorded, _, recorded_table = read_rewards(recording, ticks)
    assert table == recorded_table == ["sim/predicate"] and judged.refused == Counter()
    # The last step ends with the outcome, which comes at once.
    assert (sources[:-1] == 0).all()
    np.testing.assert_array_equal(rewards[:-1], recorded[:-1])
