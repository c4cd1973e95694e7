from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.bags.room import DiskRoom
from vla_rl_nodes.bags.salvage import salvage
from vla_rl_nodes.bags.writer import EpisodeWriter
from vla_rl_nodes.errors import InputError

from .sensor_messages import START_NS, TOPICS, Sent, traffic


def test_a_folder_that_is_not_there_yet_has_room(tmp_path: Path) -> None:
    DiskRoom(tmp_path / "a" / "b", 1, 0).require()
    with pytest.raises(InputError, match="must stay free"):
        DiskRoom(tmp_path / "a" / "b", None, 1 << 62).require()
    assert not (tmp_path / "a").exists()


def test_a_full_folder_is_refused_and_has_room_again_when_bags_go(tmp_path: Path) -> None:
    room = DiskRoom(tmp_path, 3000, 0)
    (tmp_path / "ep1").mkdir()
    (tmp_path / "ep1" / "a.mcap").write_bytes(bytes(2999))
    room.require()
    (tmp_path / "ep2").mkdir()
    (tmp_path / "ep2" / "a.mcap").write_bytes(b"x")
    with pytest.raises(InputError, match="holds 3000 bytes, 3000 are allowed; remove bags"):
        room.require()
    shutil.rmtree(tmp_path / "ep2")
    room.require()


def test_what_the_disk_must_keep_free(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    DiskRoom(tmp_path, None, free // 2).require()
    with pytest.raises(InputError, match=r"bytes are free, \d+ must stay free; free space"):
        DiskRoom(tmp_path / "new", None, free * 2).require()


def write_all(writer: EpisodeWriter, sent: list[Sent]) -> None:
    for s in sent:
        writer.write(s.topic, s.type_name, s.cdr, s.log_time_ns, s.publish_time_ns)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = os.geteuid() == 0 and not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True
    ).returncode  # fmt: skip
    if not mounted:
        pytest.skip("may not mount a tmpfs")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_up_costs_no_message_that_was_synced(
    small_disk: Path, tmp_path: Path
) -> None:
    DiskRoom(small_disk, None, 900_000).require()
    writer = EpisodeWriter(
        small_disk / "ep", "ep", TOPICS, contract_yaml="", metadata={}, start_ns=START_NS
    )
    sent = traffic(seed=4, seconds=4.0)
    with pytest.raises(InputError, match=r"cannot be written \(no space left on device\)"):
        write_all(writer, sent)
    with pytest.raises(InputError, match="must stay free"):
        DiskRoom(small_disk, None, 900_000).require()
    report = salvage(small_disk / "ep", tmp_path / "new")
    kept = [m.data for m in EpisodeReader(tmp_path / "new")]
    assert kept == [s.cdr for s in sent[: len(kept)]] and report.messages == len(kept) > 100
    with pytest.raises(InputError, match="cannot be written"):
        salvage(small_disk / "ep", small_disk / "new")
    assert [p.name for p in small_disk.iterdir()] == ["ep"]
