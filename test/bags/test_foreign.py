"""Bags of `ros2 bag record`: both storages, split, compressed, metadata versions 5 to 9."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zstandard
from mcap.writer import CompressionType
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from vla_rl_nodes.bags.reader import COLUMNS, EpisodeReader
from vla_rl_nodes.bags.schemas import decode
from vla_rl_nodes.bags.summary import summarise
from vla_rl_nodes.cli import main
from vla_rl_nodes.errors import InputError

from .foreign_bags import change, join, metadata, write_foreign
from .sensor_messages import JOINTS, STORE, TOPICS, Sent, traffic
from .test_reader import write_plain


# As rosbags writes a bag: in the order of log times, without bytes behind the messages, which
# its deserialiser refuses when there are more than three.
def tidy(sent: list[Sent]) -> list[Sent]:
    return [
        replace(
            s,
            cdr=bytes(STORE.serialize_cdr(decode(s.type_name, s.cdr, ""), s.type_name)),
            publish_time_ns=s.log_time_ns,
        )
        for s in sent
    ]


SENT = tidy(traffic(seed=8, seconds=0.4, side=16))
MCAP, SQLITE = StoragePlugin.MCAP, StoragePlugin.SQLITE3
NONE, FILE = CompressionMode.NONE, CompressionMode.FILE
MESSAGE, STORAGE = CompressionMode.MESSAGE, CompressionMode.STORAGE
WAYS = [
    (MCAP, NONE), (MCAP, FILE), (MCAP, MESSAGE), (MCAP, STORAGE),
    (SQLITE, NONE), (SQLITE, FILE), (SQLITE, MESSAGE),
]  # fmt: skip


def check(folder: Path, sent: list[Sent] = SENT) -> EpisodeReader:
    reader = EpisodeReader(folder, hold=lambda topic: COLUMNS)
    got = [(m.topic, m.type_name, m.log_time_ns, m.publish_time_ns, m.data) for m in reader]
    assert got == [(s.topic, s.type_name, s.log_time_ns, s.log_time_ns, s.cdr) for s in sent]
    assert {t: c.count for t, c in reader.topics.items()} == {
        t.name: sum(s.topic == t.name for s in sent) for t in TOPICS[:2]
    }
    positions = [
        STORE.deserialize_cdr(s.cdr, JOINTS).position for s in sent if s.type_name == JOINTS
    ]
    columns = reader.columns(TOPICS[1].name)
    np.testing.assert_array_equal(columns.fields["position"], np.array(positions))
    return reader


@pytest.mark.parametrize(("storage", "mode"), WAYS)
@pytest.mark.parametrize("version", [5, 9])
def test_every_storage_and_compression(
    tmp_path: Path, storage: StoragePlugin, mode: CompressionMode, version: int
) -> None:
    folder = write_foreign(tmp_path / "bag", SENT, storage, mode, version)
    reader = check(folder)
    assert reader.closed and reader.metadata == {} and reader.manifest is None


@pytest.mark.parametrize("storage", [MCAP, SQLITE])
@pytest.mark.parametrize("version", [5, 6, 7, 8, 9])
def test_every_version_of_metadata(tmp_path: Path, storage: StoragePlugin, version: int) -> None:
    folder = write_foreign(tmp_path / "bag", SENT, storage, version=version)
    qos = metadata(folder)["topics_with_message_count"][0]["topic_metadata"][
        "offered_qos_profiles"
    ]
    assert isinstance(qos, list if version == 9 else str)
    check(folder)


def test_upper_case_compression_as_rosbag2_writes_it(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "bag", SENT, MCAP, FILE)
    change(folder, lambda info: info.update(compression_mode="FILE"))
    check(folder)
    folder = write_foreign(tmp_path / "none", SENT, MCAP)
    change(folder, lambda info: info.update(compression_mode="NONE"))
    check(folder)


@pytest.mark.parametrize(("storage", "mode"), [(MCAP, NONE), (SQLITE, NONE), (MCAP, FILE),
                                               (SQLITE, MESSAGE)])  # fmt: skip
def test_split_files_are_read_in_the_listed_order(
    tmp_path: Path, storage: StoragePlugin, mode: CompressionMode
) -> None:
    third = len(SENT) // 3
    pieces = [SENT[:third], SENT[third : 2 * third], SENT[2 * third :]]
    parts = [
        write_foreign(tmp_path / f"part{i}", piece, storage, mode)
        for i, piece in enumerate(pieces)
    ]
    folder = join(tmp_path / "whole", parts, SENT)
    check(folder)
    with AnyReader([folder]) as reader:
        assert [bytes(m[2]) for m in reader.messages()] == [s.cdr for s in SENT]
    # Listed the other way round they are read the other way round.
    change(folder, lambda info: info["relative_file_paths"].reverse())
    reader = EpisodeReader(folder)
    assert [m.data for m in reader] == [s.cdr for piece in reversed(pieces) for s in piece]


@pytest.mark.parametrize(("storage", "mode"), [(MCAP, NONE), (MCAP, FILE), (SQLITE, NONE),
                                               (SQLITE, FILE)])  # fmt: skip
def test_bare_file_and_folder_without_metadata(
    tmp_path: Path, storage: StoragePlugin, mode: CompressionMode
) -> None:
    folder = write_foreign(tmp_path / "bag", SENT, storage, mode)
    (name,) = metadata(folder)["relative_file_paths"]
    check(folder / name)
    (folder / "metadata.yaml").unlink()
    check(folder)


def test_parts_without_metadata_are_read_by_number_but_not_called_closed(tmp_path: Path) -> None:
    half = len(SENT) // 2
    parts = [write_foreign(tmp_path / f"p{i}", piece) for i, piece in
             enumerate([SENT[:half], SENT[half:]])]  # fmt: skip
    folder = join(tmp_path / "whole", parts, SENT)
    (folder / "metadata.yaml").unlink()
    with pytest.raises(InputError, match=r"was not closed: it has no metadata.yaml"):
        EpisodeReader(folder)
    reader = EpisodeReader(folder, partial=True)
    assert [m.data for m in reader] == [s.cdr for s in SENT] and not reader.closed
    (folder / "whole_0.mcap").rename(folder / "whole_2.mcap")
    with pytest.raises(InputError, match=r"holds 2 recordings and no metadata.yaml"):
        EpisodeReader(folder)


def test_a_database_keeps_the_order_of_writing(tmp_path: Path) -> None:
    mixed = SENT[10:] + SENT[:10]
    reader = EpisodeReader(write_foreign(tmp_path / "bag", mixed, SQLITE))
    assert [m.data for m in reader] == [s.cdr for s in mixed]


def test_reading_writes_nothing_beside_a_database(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "bag", SENT, SQLITE)
    before = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    for path in (*folder.iterdir(), folder):
        path.chmod(path.stat().st_mode & ~0o222)
    check(folder)
    assert {p.name: p.stat().st_mtime_ns for p in folder.iterdir()} == before


@pytest.mark.parametrize("ending", ["-wal", "-journal"])
def test_a_database_that_was_not_closed(tmp_path: Path, ending: str) -> None:
    folder = write_foreign(tmp_path / "bag", SENT, SQLITE)
    (folder / f"bag.db3{ending}").write_bytes(b"unfinished")
    with pytest.raises(InputError, match=f"was not closed: its recorder left bag.db3{ending}"):
        EpisodeReader(folder)
    assert EpisodeReader(folder, partial=True).problem is not None


CHILD = """
import sqlite3, sys
base = sqlite3.connect(sys.argv[1], isolation_level=None)
base.execute("PRAGMA journal_mode = WAL")
base.execute("INSERT INTO messages (topic_id, timestamp, data) VALUES (1, 5, x'00010000')")
print("written", flush=True)
sys.stdin.read()
"""


def test_a_killed_writer_of_a_database_is_told(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "bag", SENT, SQLITE)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder / "bag.db3")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None and child.stdin is not None
    assert child.stdout.readline() == b"written\n"
    child.kill()
    child.wait(30)
    child.stdin.close()
    child.stdout.close()
    with pytest.raises(InputError, match=r"was not closed: its recorder left bag.db3-wal"):
        EpisodeReader(folder)


@pytest.mark.parametrize("storage", [MCAP, SQLITE])
def test_messages_that_metadata_counts_but_the_file_lacks(
    tmp_path: Path, storage: StoragePlugin
) -> None:
    folder = write_foreign(tmp_path / "bag", SENT, storage)
    n = len(SENT)
    change(folder, lambda info: info.update(message_count=n + 3))
    with pytest.raises(InputError, match=f"holds {n} messages, metadata.yaml says {n + 3}"):
        EpisodeReader(folder)
    reader = EpisodeReader(folder, partial=True)
    assert len(list(reader)) == n and reader.problem is not None


def test_rows_deleted_from_a_database_are_told(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "bag", SENT, SQLITE)
    with sqlite3.connect(folder / "bag.db3") as base:
        base.execute("DELETE FROM messages WHERE id % 7 = 3")
    base.close()
    with pytest.raises(InputError, match="is damaged: it holds"):
        EpisodeReader(folder)


def test_content_sizes_need_not_stand_in_zstd_frames(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "bag", SENT)
    plain = (folder / "bag.mcap").read_bytes()
    packer = zstandard.ZstdCompressor(write_content_size=False)
    halves = [packer.compress(plain[:5000]), packer.compress(plain[5000:])]
    packed = tmp_path / "x.mcap.zstd"
    packed.write_bytes(b"".join(halves))
    check(packed)


@pytest.mark.parametrize(("storage", "mode"), WAYS)
def test_bag_info_shows_them(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    storage: StoragePlugin,
    mode: CompressionMode,
) -> None:
    folder = write_foreign(tmp_path / "bag", SENT, storage, mode, 7)
    assert main(["bag", "info", str(folder), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["messages"] == len(SENT) and shown["closed"] is True
    assert {t["name"]: t["type_name"] for t in shown["topics"]} == {
        t.name: t.type for t in TOPICS[:2]
    }
    assert shown["size_bytes"] == sum(
        p.stat().st_size for p in folder.iterdir() if p.suffix != ".yaml"
    )
    assert main(["bag", "info", str(folder)]) == 0


def test_a_cut_compressed_file_keeps_its_prefix(tmp_path: Path) -> None:
    sent = tidy(traffic(seed=3, seconds=2.0, side=64))
    with (tmp_path / "x.mcap").open("wb") as file:
        write_plain(file, sent, CompressionType.NONE, chunk_size=20_000)
    whole = zstandard.compress((tmp_path / "x.mcap").read_bytes())
    packed = tmp_path / "x.mcap.zstd"
    packed.write_bytes(whole)
    check(packed, sent)
    kept = []
    for share in (0.0, 0.3, 0.6, 0.9):
        packed.write_bytes(whole[: round(len(whole) * share)])
        with pytest.raises(InputError, match=r"ends inside a record|is no MCAP file"):
            EpisodeReader(packed)
        if share:
            intact = [m.data for m in EpisodeReader(packed, partial=True)]
            assert intact == [s.cdr for s in sent[: len(intact)]]
            kept.append(len(intact))
    assert kept == sorted(kept) and kept[-1] > 20


def test_summaries_of_both_storages_agree(tmp_path: Path) -> None:
    one = summarise(write_foreign(tmp_path / "a", SENT, MCAP))
    two = summarise(write_foreign(tmp_path / "b", SENT, SQLITE))
    assert one.topics == two.topics and one.start_ns == two.start_ns
    assert one.duration_s == two.duration_s


def test_a_bag_under_a_strange_path(tmp_path: Path) -> None:
    plain = write_foreign(tmp_path / "bag", SENT, SQLITE)
    shutil.copytree(plain, tmp_path / "copy")
    check(plain.rename(tmp_path / "a b?mode=rw#é%20"))
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        check(Path("copy"))
    finally:
        os.chdir(here)
