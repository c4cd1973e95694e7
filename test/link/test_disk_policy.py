"""The disk stays bounded, and nothing goes that the learner has not stored."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vla_rl_nodes.bags.manifest import Manifest
from vla_rl_nodes.bench.link.bags import write_episode
from vla_rl_nodes.link.disk_policy import DiskPolicy
from vla_rl_nodes.link.ledger import Ledger, State
from vla_rl_nodes.link.robot_settings import Disk


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "state" / "ledger.sqlite3") as opened:
        yield opened


def episode(ledger: Ledger, bags: Path, name: str, stored: bool, seed: int = 0) -> Manifest:
    manifest = write_episode(bags, name, "fr3", "franka_pick", 1, seed)
    ledger.found(name, manifest)
    if stored:
        entry = ledger.entry(name)
        assert entry is not None
        ledger.acknowledge(entry, manifest.sha256, manifest.size)
    return manifest


def names(bags: Path) -> list[str]:
    return sorted(path.name for path in bags.iterdir())


def test_what_was_stored_first_goes_first_and_what_waits_stays(
    tmp_path: Path, ledger: Ledger
) -> None:
    bags = tmp_path / "bags"
    episode(ledger, bags, "waits", False)
    for name in ("c", "a", "b"):
        size = episode(ledger, bags, name, True).size
    policy = DiskPolicy(bags, ledger, Disk(keep_bytes=3 * size, max_bytes=0))
    assert policy.delete_surplus() == {} and len(names(bags)) == 4
    DiskPolicy(bags, ledger, Disk(keep_bytes=2 * size)).delete_surplus()
    assert names(bags) == ["a", "b", "waits"]
    DiskPolicy(bags, ledger, Disk(keep_bytes=0)).delete_surplus()
    assert names(bags) == ["waits"]
    for name in "abc":
        entry = ledger.entry(name)
        assert entry is not None and entry.state is State.DELETED


def test_another_bag_in_the_same_folder_is_kept(tmp_path: Path, ledger: Ledger) -> None:
    bags = tmp_path / "bags"
    episode(ledger, bags, "a", True)
    (bags / "a").rename(tmp_path / "old")
    write_episode(bags, "a", "fr3", "franka_pick", 1, 5)
    kept = DiskPolicy(bags, ledger, Disk(keep_bytes=0)).delete_surplus()
    assert "is not the episode that was stored" in kept["a"] and names(bags) == ["a"]


def test_a_damaged_bag_is_kept(tmp_path: Path, ledger: Ledger) -> None:
    bags = tmp_path / "bags"
    episode(ledger, bags, "a", True)
    os.truncate(bags / "a" / "a.mcap", 10)
    kept = DiskPolicy(bags, ledger, Disk(keep_bytes=0)).delete_surplus()
    assert "has 10 bytes, not" in kept["a"] and names(bags) == ["a"]


KILLED = """
import os, signal, sys
from pathlib import Path
from vla_rl_nodes.link import disk_policy
from vla_rl_nodes.link.ledger import Ledger
from vla_rl_nodes.link.robot_settings import Disk
bags, state, step = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
ledger = Ledger(state)
def die(*given, **named):
    os.kill(os.getpid(), signal.SIGKILL)
if step == "before the rename":
    disk_policy.os.rename = die
elif step == "before the row":
    ledger.deleted = die
elif step == "before the files go":
    disk_policy.shutil.rmtree = die
disk_policy.DiskPolicy(bags, ledger, Disk(keep_bytes=0)).delete_surplus()
"""


@pytest.mark.parametrize("step", ["before the rename", "before the row", "before the files go"])
def test_a_kill_in_the_middle_leaves_nothing_in_doubt(tmp_path: Path, step: str) -> None:
    bags, state = tmp_path / "bags", tmp_path / "ledger.sqlite3"
    with Ledger(state) as ledger:
        episode(ledger, bags, "a", True)
        episode(ledger, bags, "waits", False, 1)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(bags), str(state), step])
    assert ended.returncode == -signal.SIGKILL
    with Ledger(state) as ledger:
        policy = DiskPolicy(bags, ledger, Disk(keep_bytes=0))
        policy.sweep()
        folders = {path.name for path in bags.iterdir()}
        assert ledger.missing(folders) == []
        policy.delete_surplus()
        assert names(bags) == ["waits"]
        entry = ledger.entry("a")
        assert entry is not None and entry.state is State.DELETED
