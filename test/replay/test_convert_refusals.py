from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.convert import build_episode, convert_episode

from .episode_bag import EVENT, MS, START_NS, Episode, Message, ending, event, make_episode


def test_refusals_are_one_line_each(tmp_path: Path) -> None:
    def refused(name: str, episode: Episode, said: str, contract: Any = None) -> None:
        bag = episode.write(tmp_path / name)
        with pytest.raises(InputError, match=said) as caught:
            convert_episode(bag, contract or episode.contract, tmp_path / "out")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out").exists()

    episode = make_episode(14, seconds=0.6)
    refused("contract", episode, "was recorded with contract", load_contract("franka_pick"))

    episode = make_episode(14, seconds=0.6)
    episode.messages = [m for m in episode.messages if m is not ending(episode)]
    refused("no-end", episode, "has no outcome of episode ep-14")

    episode = make_episode(14, seconds=0.6)
    episode.outcome = "failure"  # the recorder's word
    refused("disagree", episode, "closed as failure but episode/state says success")

    episode = make_episode(14, seconds=0.6)
    episode.messages = [m for m in episode.messages if m.topic != "policy/status"]
    refused("no-policy", episode, "holds no policy/status")

    episode = make_episode(14, seconds=0.6)
    episode.messages = [m for m in episode.messages if not m.topic.startswith("observation/im")]
    refused("blind", episode, "gives no step")

    episode = make_episode(14, seconds=0.6)
    tick = episode.ticks[1]
    body = event(tick, "armed", {"reasons": "bored", "command_stamp": str(tick)})
    episode.messages.append(Message("safety/status", EVENT, tick, tick + 9 * MS, body))
    refused("reason", episode, "unknown reason 'bored'")

    episode = make_episode(14, seconds=0.6)
    for m in episode.on("policy/status"):
        for entry in m.body.status[0].values:
            if entry.key == "chunk_id":
                object.__setattr__(entry, "value", str(2**31))
    refused("number", episode, "'chunk_id' is '2147483648', not a whole number of 32 bits")

    episode = make_episode(14, seconds=0.6)
    episode.messages = [
        Message(m.topic, EVENT, m.stamp_ns, m.arrival_ns, event(m.stamp_ns, "", {}))
        if m.topic == "reward" else m
        for m in episode.messages
    ]  # fmt: skip
    refused("type", episode, "/fr3/reward: carries diagnostic_msgs/msg/DiagnosticArray")


def test_bags_that_are_not_closed_or_damaged_are_refused(tmp_path: Path) -> None:
    episode = make_episode(15, seconds=0.6)
    bag = episode.write(tmp_path / "bag")
    file = bag / "ep-15.mcap"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(InputError, match="is damaged"):
        convert_episode(bag, episode.contract, tmp_path / "out")
    file.write_bytes(data[: len(data) // 2])
    (bag / "manifest.json").unlink()
    with pytest.raises(InputError, match="was not closed"):
        convert_episode(bag, episode.contract, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_robots_in_one_bag_are_refused(tmp_path: Path) -> None:
    episode = make_episode(16, seconds=0.6)
    stamp = START_NS + 5
    body = event(stamp, "running", {"episode_id": "x"})
    episode.messages.append(Message("second/policy/status", EVENT, stamp, stamp, body))
    with pytest.raises(InputError, match="holds 2 robots"):
        build_episode(episode.write(tmp_path / "bag"), episode.contract)
