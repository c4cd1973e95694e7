from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from mcap.writer import CompressionType, Writer

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.bags.schemas import schema_text
from vla_rl_nodes.bags.writer import EpisodeWriter
from vla_rl_nodes.errors import InputError

from .sensor_messages import EVENT, IMAGE, JOINTS, STORE, TOPICS, Sent, joints, traffic

SENT = traffic(seed=21, seconds=1.6)


def write_bag(folder: Path, sent: list[Sent], close: bool = True) -> Path:
    writer = EpisodeWriter(
        folder, folder.name, TOPICS, contract_yaml="a: 1\n", metadata={"task": "t"}, start_ns=9
    )
    for s in sent:
        writer.write(s.topic, s.type_name, s.cdr, s.log_time_ns, s.publish_time_ns)
    if close:
        writer.close("failure")
    else:
        writer.abandon()
    return folder


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(tmp_path_factory.mktemp("bags") / "ep", SENT)


def one_line(error: pytest.ExceptionInfo[InputError], name: str) -> str:
    text = str(error.value)
    assert "\n" not in text and text.count("; ") >= 1
    assert text.startswith(str(error.value.place)) and name in str(error.value.place)
    return text


def test_decoded_messages_are_those_of_rosbags(bag: Path) -> None:
    reader = EpisodeReader(bag)
    for topic in TOPICS[:2]:
        sent = [s for s in SENT if s.topic == topic.name]
        got = list(reader.messages(topic.name))
        assert [(m.log_time_ns, m.publish_time_ns) for m in got] == [
            (s.log_time_ns, s.publish_time_ns) for s in sent
        ]
        for message, s in zip(got, sent, strict=True):
            data = bytes(STORE.serialize_cdr(message.message, topic.type))
            assert s.cdr.startswith(data) and len(s.cdr) - len(data) < 13


def test_contents_are_counted(bag: Path) -> None:
    reader = EpisodeReader(bag)
    assert reader.closed and reader.problem is None
    assert set(reader.topics) == {t.name for t in TOPICS[:2]}
    for name, content in reader.topics.items():
        times = [s.log_time_ns for s in SENT if s.topic == name]
        assert (content.count, content.first_ns, content.last_ns) == (
            len(times), min(times), max(times),
        )  # fmt: skip
    assert reader.metadata == {"episode_id": "ep", "task": "t", "outcome": "failure"}
    assert reader.attachments == {"contract.yaml": b"a: 1\n"}


def test_a_bare_file_reads_like_its_folder(bag: Path) -> None:
    assert list(EpisodeReader(bag / "ep.mcap")) == list(EpisodeReader(bag))


def test_absent_topic_is_told_with_those_that_are_there(bag: Path) -> None:
    reader = EpisodeReader(bag)
    for call in (reader.messages, lambda t: reader.raw([t])):
        with pytest.raises(InputError, match=r"has no messages on /no; it holds /fr3/franka"):
            next(iter(call("/no")))


def test_every_flipped_bit_is_found(bag: Path, tmp_path: Path) -> None:
    whole = (bag / "ep.mcap").read_bytes()
    rng = np.random.default_rng(5)
    copy = tmp_path / "copy"
    shutil.copytree(bag, copy)
    for position in [0, 8, len(whole) - 1, *rng.integers(0, len(whole), size=60)]:
        broken = bytearray(whole)
        broken[position] ^= 1 << rng.integers(8)
        (copy / "ep.mcap").write_bytes(broken)
        with pytest.raises(InputError) as caught:
            EpisodeReader(copy)
        one_line(caught, "ep.mcap")


def test_flipped_bit_in_a_message_is_told_as_a_checksum(bag: Path, tmp_path: Path) -> None:
    # Without a manifest beside it, only the file's own checksums can tell. Uncompressed data, so
    # that the bit surely lies in a message's bytes.
    path = tmp_path / "plain.mcap"
    with path.open("wb") as file:
        write_plain(file, SENT, CompressionType.NONE)
    broken = bytearray(path.read_bytes())
    place = broken.index(SENT[40].cdr) + 100
    broken[place] ^= 16
    path.write_bytes(broken)
    with pytest.raises(InputError, match=r"is damaged: checksum \(CRC\) wrong at byte") as caught:
        EpisodeReader(path)
    one_line(caught, "plain.mcap")
    reader = EpisodeReader(path, partial=True)
    intact = list(reader)
    assert reader.problem is not None and "checksum" in reader.problem
    assert [m.data for m in intact] == [s.cdr for s in SENT[: len(intact)]]
    assert len(intact) <= 40


def write_plain(
    file: object, sent: list[Sent], compression: CompressionType, chunk_size: int = 200_000
) -> None:
    writer = Writer(file, compression=compression, chunk_size=chunk_size)  # type: ignore[arg-type]
    writer.start(profile="ros2")
    ids: dict[str, int] = {}
    for s in sent:
        if s.topic not in ids:
            schema = writer.register_schema(
                s.type_name, "ros2msg", schema_text(s.type_name).encode()
            )
            ids[s.topic] = writer.register_channel(s.topic, "cdr", schema)
        writer.add_message(ids[s.topic], s.log_time_ns, s.cdr, s.publish_time_ns)
    writer.finish()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("compression", list(CompressionType))
def test_recordings_of_other_writers_open(tmp_path: Path, compression: CompressionType) -> None:
    path = tmp_path / "foreign.mcap"
    with path.open("wb") as file:
        write_plain(file, SENT, compression)
    reader = EpisodeReader(path)
    assert [m.data for m in reader] == [s.cdr for s in SENT]
    assert reader.metadata == {} and reader.closed


def test_split_recording_reads_as_one(tmp_path: Path) -> None:
    parts = [SENT[:150], SENT[150:300], SENT[300:]]
    names = [f"part_{i}.mcap" for i in range(3)]
    for name, part in zip(names, parts, strict=True):
        with (tmp_path / name).open("wb") as file:
            write_plain(file, part, CompressionType.ZSTD)
    info = {"version": 5, "storage_identifier": "mcap", "relative_file_paths": names}
    (tmp_path / "metadata.yaml").write_text(yaml.safe_dump({"rosbag2_bagfile_information": info}))
    reader = EpisodeReader(tmp_path)
    assert [m.data for m in reader] == [s.cdr for s in SENT]
    assert sum(t.count for t in reader.topics.values()) == len(SENT)
    (tmp_path / names[1]).unlink()
    with pytest.raises(InputError, match=r"part_1.mcap: is listed in metadata.yaml but missing"):
        EpisodeReader(tmp_path)


def test_every_cut_is_one_line_and_leaves_the_prefix_readable(bag: Path, tmp_path: Path) -> None:
    whole = (bag / "ep.mcap").read_bytes()
    folder = tmp_path / "ep"
    folder.mkdir()
    kept = []
    for size in [9, 60, *range(200, len(whole), len(whole) // 37), len(whole) - 1]:
        (folder / "ep.mcap").write_bytes(whole[:size])
        with pytest.raises(InputError, match="was not closed: ends inside a record") as caught:
            EpisodeReader(folder)
        one_line(caught, "ep.mcap")
        reader = EpisodeReader(folder, partial=True)
        intact = [m.data for m in reader]
        assert intact == [s.cdr for s in SENT[: len(intact)]]
        assert not reader.closed
        kept.append(len(intact))
    assert kept == sorted(kept) and kept[0] == 0 and kept[-1] == len(SENT)


def test_a_cut_below_a_manifest_is_damage(bag: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bag, copy)
    data = (copy / "ep.mcap").read_bytes()
    (copy / "ep.mcap").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="is damaged: ends inside a record"):
        EpisodeReader(copy)


def test_missing_manifest_means_not_closed(bag: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bag, copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"was not closed: it has no manifest.json"):
        EpisodeReader(copy)
    reader = EpisodeReader(copy, partial=True)
    assert len(list(reader)) == len(SENT) and not reader.closed


def test_another_episodes_file_is_refused(bag: Path, tmp_path: Path) -> None:
    other = write_bag(tmp_path / "other", traffic(seed=3, seconds=0.2))
    copy = tmp_path / "copy"
    shutil.copytree(bag, copy)
    (copy / "ep.mcap").write_bytes((other / "other.mcap").read_bytes())
    with pytest.raises(InputError, match=r"is not the file of its manifest.json"):
        EpisodeReader(copy)


def test_file_that_the_manifest_names_must_be_there(bag: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bag, copy)
    (copy / "ep.mcap").rename(copy / "other.mcap")
    with pytest.raises(InputError, match=r"ep.mcap: cannot be read \(no such file") as caught:
        EpisodeReader(copy)
    one_line(caught, "ep.mcap")


@pytest.mark.parametrize("text", ["", "{", '{"manifest": 2}', "[]", '{"episode_id": "../x"}'])
def test_broken_manifest_is_one_line(bag: Path, tmp_path: Path, text: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bag, copy)
    (copy / "manifest.json").write_text(text)
    with pytest.raises(InputError) as caught:
        EpisodeReader(copy)
    one_line(caught, "manifest.json")
    assert len(list(EpisodeReader(copy, partial=True))) == len(SENT)


def test_paths_that_hold_no_bag(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mcap").write_text("this is no recording at all\n" * 9)
    (tmp_path / "short.mcap").write_bytes(b"\x89MC")
    (tmp_path / "other.bin").write_bytes(b"x")
    two = tmp_path / "two"
    two.mkdir()
    for name in ("a.mcap", "b.mcap"):
        (two / name).write_bytes(b"x")
    sql = tmp_path / "sql"
    sql.mkdir()
    info = {"version": 9, "storage_identifier": "leveldb", "relative_file_paths": ["x.db"]}
    (sql / "metadata.yaml").write_text(yaml.safe_dump({"rosbag2_bagfile_information": info}))
    for path, said in (
        ("missing", "does not exist"), ("empty", "holds no .mcap"), ("text.mcap", "is no MCAP"),
        ("short.mcap", "is no MCAP"), ("other.bin", "is no MCAP"), ("two", "holds 2 recordings"),
        ("sql", "is a bag in leveldb"),
    ):  # fmt: skip
        for partial in (False, True):
            with pytest.raises(InputError, match=said) as caught:
                EpisodeReader(tmp_path / path, partial=partial)
            one_line(caught, path)


def test_listed_files_never_lead_out_of_the_folder(bag: Path, tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    for name in (str(bag / "ep.mcap"), "../bags/ep.mcap", "..", "a/../ep.mcap", "./ep.mcap"):
        info = {"version": 5, "storage_identifier": "mcap", "relative_file_paths": [name]}
        text = yaml.safe_dump({"rosbag2_bagfile_information": info})
        (folder / "metadata.yaml").write_text(text)
        with pytest.raises(InputError, match=r"which is no name in the folder"):
            EpisodeReader(folder)


def test_types_and_encodings_that_cannot_be_decoded(tmp_path: Path) -> None:
    path = tmp_path / "x.mcap"
    for encoding, type_name, said in (
        ("json", JOINTS, "is encoded as json, not cdr"),
        ("cdr", "my_msgs/msg/Foo", "my_msgs/msg/Foo: is no message type known here"),
        ("cdr", EVENT, f"holds bytes that are no {EVENT}"),
    ):
        with path.open("wb") as file:
            writer = Writer(file)
            writer.start(profile="ros2")
            schema = writer.register_schema(type_name, "ros2msg", b"")
            channel = writer.register_channel("/t", encoding, schema)
            writer.add_message(channel, 1, joints(np.random.default_rng(0), 5), 1)
            writer.finish()  # type: ignore[no-untyped-call]
        with pytest.raises(InputError, match=said):
            list(EpisodeReader(path).messages("/t"))


def test_one_topic_with_two_types_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.mcap"
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start(profile="ros2")
        for type_name in (JOINTS, IMAGE):
            schema = writer.register_schema(type_name, "ros2msg", b"")
            channel = writer.register_channel("/t", "cdr", schema)
            writer.add_message(channel, 1, b"\0\1\0\0", 1)
        writer.finish()  # type: ignore[no-untyped-call]
    with pytest.raises(InputError, match=f"/t: carries both {JOINTS} and {IMAGE}"):
        EpisodeReader(path)


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from sensor_messages import TOPICS, traffic
from vla_rl_nodes.bags.writer import EpisodeWriter
folder = Path(sys.argv[2])
writer = EpisodeWriter(folder, "ep", TOPICS, contract_yaml="", metadata={}, start_ns=0)
for count, s in enumerate(traffic(seed=77, seconds=4.0, side=32), start=1):
    writer.write(s.topic, s.type_name, s.cdr, s.log_time_ns, s.publish_time_ns)
    if count == 600:
        writer.flush()
    if count == 640:
        print("written", flush=True)
        sys.stdin.read()
"""


def test_killed_while_writing_leaves_the_synced_prefix(tmp_path: Path) -> None:
    here = str(Path(__file__).parent)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, here, str(tmp_path / "ep")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert child.stdout is not None and child.stdin is not None
    assert child.stdout.readline() == b"written\n"
    child.send_signal(signal.SIGKILL)
    assert child.wait(30) == -signal.SIGKILL
    child.stdin.close()
    child.stdout.close()
    with pytest.raises(InputError, match="was not closed") as caught:
        EpisodeReader(tmp_path / "ep")
    one_line(caught, "ep.mcap")
    sent = traffic(seed=77, seconds=4.0, side=32)
    intact = [m.data for m in EpisodeReader(tmp_path / "ep", partial=True)]
    assert 600 <= len(intact) <= 640
    assert intact == [s.cdr for s in sent[: len(intact)]]
