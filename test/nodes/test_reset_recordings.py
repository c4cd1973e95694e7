"""What resets take from recorded episodes."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.reset_recordings import RecordedDemonstrations, RecordedStarts
from vla_rl_nodes.replay.convert import build_episode
from vla_rl_nodes.replay.folder import write_episode
from vla_rl_nodes.replay.start_state import start_state
from vla_rl_nodes.resources import resource
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.sim.scene import load_scene
from vla_rl_nodes.sim.world import World

BAG = resource("bags/franka_pick_sample")
CONTRACT, FR3 = load_contract("franka_pick"), load_robot("fr3")


def test_the_start_is_that_of_the_converted_episode(tmp_path: Path) -> None:
    episode = build_episode(BAG, CONTRACT)
    folder = write_episode(episode, tmp_path)
    from_bag = RecordedStarts(str(BAG), CONTRACT).start()
    from_folder = RecordedStarts(str(folder), CONTRACT).start()
    assert from_bag == from_folder
    assert from_bag.sha256 == episode.header.start_state_sha256
    assert from_bag.episode_id == episode.header.episode_id


def test_a_world_that_is_put_there_has_the_same_hash() -> None:
    start = RecordedStarts(str(BAG), CONTRACT).start()
    world = World(FR3, load_scene("franka_pick"), 99)
    world.put(list(start.state), list(start.state.values()))
    names, values = world.named_state()
    assert start_state(values[None], names, {}, None).sha256 == start.sha256


def test_a_demonstration_begins_and_ends_where_the_arm_was() -> None:
    found = RecordedDemonstrations(str(BAG.parent), FR3, 0.05).choose(3)
    assert found.name == BAG.name
    assert found.joints.shape[1] == 7 and len(found.joints) > 20
    assert found.widths is not None and len(found.widths) == len(found.joints)
    assert found.widths.max() > 0.079 and found.widths[-1] < 0.045
    start = RecordedStarts(str(BAG), CONTRACT).start()
    first = np.array([start.state[name] for name in FR3.joints])
    assert np.abs(found.joints[0] - first).max() < 0.02


def test_what_is_not_named_or_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="parameter recorded: names no episode"):
        RecordedStarts("", CONTRACT).start()
    with pytest.raises(InputError, match="parameter demonstrations: names no folder"):
        RecordedDemonstrations("", FR3, 0.05).choose(0)
    with pytest.raises(InputError, match="none of its 0 bags"):
        RecordedDemonstrations(str(tmp_path), FR3, 0.05).choose(0)
    with pytest.raises(InputError):
        RecordedStarts(str(tmp_path / "gone"), CONTRACT).start()


def test_a_bag_that_cannot_be_read_is_left_out_with_a_line(tmp_path: Path) -> None:
    shutil.copytree(BAG, tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.mcap").write_bytes(b"\x89MCAP0\r\njunk")
    lines: list[str] = []
    source = RecordedDemonstrations(str(tmp_path), FR3, 0.05, lines.append)
    assert {source.choose(seed).name for seed in range(8)} == {"good"}
    assert lines and all("left out" in line and "x.mcap" in line for line in lines)
    assert not any("\n" in line for line in lines)
    shutil.rmtree(tmp_path / "good")
    with pytest.raises(InputError, match="none of its 1 bags can be used"):
        source.choose(0)


@pytest.mark.parametrize(
    ("stamps", "words"),
    [([0.0, 0.1, 0.2, 0.3, 1.4, 1.5], "a gap of 1.1 s"),
     (np.arange(0.0, 6000.0, 0.9), "too many rows"),
     ([0.0, 0.001, 0.002, 0.003, 0.004, 0.005], "ends before it begins")],
)  # fmt: skip
def test_stamps_do_not_decide_how_much_memory_is_taken(
    monkeypatch: pytest.MonkeyPatch, stamps: Any, words: str
) -> None:
    source = RecordedDemonstrations("x", FR3, 0.05)
    found = np.array(stamps) * 1e9
    monkeypatch.setattr(source, "_rows", lambda *given: (found, np.zeros((len(found), 7))))
    monkeypatch.setattr(source, "_stamps", lambda *given: [0.0, 1.0, 2.0, 3.0, 4.0])
    with pytest.raises(InputError, match=words):
        source._read(SimpleNamespace(topics={}), "bag")  # type: ignore[arg-type]
