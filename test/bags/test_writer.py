from __future__ import annotations

import hashlib
import json
import os
import resource
from pathlib import Path

import pytest
import yaml
from mcap.reader import make_reader
from mcap.records import Chunk, DataEnd
from mcap.stream_reader import StreamReader
from rosbags.rosbag2 import Reader

from vla_rl_nodes.bags.manifest import Outcome, load_manifest
from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.bags.rosbag2 import Qos, Topic
from vla_rl_nodes.bags.writer import EpisodeWriter
from vla_rl_nodes.episodes.machine import OUTCOMES
from vla_rl_nodes.errors import InputError

from .sensor_messages import EVENT, IMAGE, JOINTS, START_NS, STORE, TOPICS, Sent, traffic


def open_writer(folder: Path, topics: tuple[Topic, ...] = TOPICS) -> EpisodeWriter:
    return EpisodeWriter(
        folder,
        folder.name,
        topics,
        contract_yaml="contract: 1\n",
        metadata={"robot": "fr3", "seed": "7"},
        start_ns=START_NS,
    )


def write_bag(folder: Path, sent: list[Sent]) -> None:
    with open_writer(folder) as writer:
        write_all(writer, sent)
        writer.close("success", metadata={"reason": "operator"}, dropped={TOPICS[0].name: 3})


def write_all(writer: EpisodeWriter, sent: list[Sent]) -> None:
    for s in sent:
        writer.write(s.topic, s.type_name, s.cdr, s.log_time_ns, s.publish_time_ns)


def test_bytes_times_and_order_come_back_as_they_were_written(tmp_path: Path) -> None:
    sent = traffic(seed=1, seconds=2.0)
    write_bag(tmp_path / "ep1", sent)
    got = list(EpisodeReader(tmp_path / "ep1"))
    assert [(m.topic, m.type_name, m.data, m.log_time_ns, m.publish_time_ns) for m in got] == [
        (s.topic, s.type_name, s.cdr, s.log_time_ns, s.publish_time_ns) for s in sent
    ]
    for topic in TOPICS[:2]:
        numbers = [m.sequence for m in got if m.topic == topic.name]
        assert numbers == list(range(len(numbers)))


def test_rosbags_opens_the_folder_and_reads_the_same_messages(tmp_path: Path) -> None:
    # rosbags refuses bytes behind a message, so these come without.
    sent = [s for s in traffic(seed=2, seconds=1.0) if _exact(s)]
    write_bag(tmp_path / "ep", sent)
    with Reader(tmp_path / "ep") as reader:
        assert reader.message_count == len(sent)
        assert reader.start_time == sent[0].log_time_ns
        assert reader.duration == sent[-1].log_time_ns - sent[0].log_time_ns + 1
        assert {c.topic: c.digest for c in reader.connections} == {
            t.name: STORE.hash_rihs01(t.type) for t in TOPICS
        }
        qos = {c.topic: c.ext.offered_qos_profiles for c in reader.connections}
        assert [len(qos[t.name]) for t in TOPICS] == [1, 2, 1]
        assert qos[TOPICS[0].name][0].reliability.name == "BEST_EFFORT"
        assert qos[TOPICS[2].name][0].durability.name == "TRANSIENT_LOCAL"
        got = [(c.topic, t, raw) for c, t, raw in reader.messages()]
        assert sorted(got) == sorted((s.topic, s.log_time_ns, s.cdr) for s in sent)
        for connection, _, raw in reader.messages():
            message = STORE.deserialize_cdr(raw, connection.msgtype)
            assert STORE.serialize_cdr(message, connection.msgtype) == raw


def _exact(sent: Sent) -> bool:
    definition = STORE.get_msgdef(sent.type_name)
    _, end = definition.deserialize_cdr_le(sent.cdr[4:], 0, definition.cls, STORE)
    return end + 4 == len(sent.cdr)


def test_mcap_library_validates_every_crc_and_finds_the_records(tmp_path: Path) -> None:
    sent = traffic(seed=3, seconds=1.5)
    write_bag(tmp_path / "ep", sent)
    with (tmp_path / "ep" / "ep.mcap").open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None and summary.statistics is not None
        assert summary.statistics.message_count == len(sent)
        assert len(summary.chunk_indexes) >= 3  # more than 1 MiB and more than half a second
        assert {s.encoding for s in summary.schemas.values()} == {"ros2msg"}
        assert {c.message_encoding for c in summary.channels.values()} == {"cdr"}
        for channel in summary.channels.values():
            profiles = yaml.safe_load(channel.metadata["offered_qos_profiles"])
            declared = next(t for t in TOPICS if t.name == channel.topic)
            assert [p["depth"] for p in profiles] == [q.depth for q in declared.qos]
        data = [(c.topic, m.log_time, m.data) for _, c, m in reader.iter_messages()]
        assert sorted(data) == sorted((s.topic, s.log_time_ns, s.cdr) for s in sent)
        (attachment,) = reader.iter_attachments()
        assert (attachment.name, attachment.data) == ("contract.yaml", b"contract: 1\n")
        records = {m.name: m.metadata for m in reader.iter_metadata()}
    assert records["vla_rl_nodes.episode"] == {"episode_id": "ep", "robot": "fr3", "seed": "7"}
    assert records["vla_rl_nodes.close"]["outcome"] == "success"
    info = yaml.safe_load((tmp_path / "ep" / "metadata.yaml").read_text())
    serialized = yaml.safe_load(records["rosbag2"]["serialized_metadata"])
    assert info == {"rosbag2_bagfile_information": serialized}
    assert serialized["version"] == 9


def test_every_chunk_carries_a_crc(tmp_path: Path) -> None:
    write_bag(tmp_path / "ep", traffic(seed=4, seconds=1.2))
    with (tmp_path / "ep" / "ep.mcap").open("rb") as file:
        records = list(StreamReader(file, emit_chunks=True).records)
    chunks = [r for r in records if isinstance(r, Chunk)]
    assert chunks and all(c.uncompressed_crc != 0 and c.compression == "zstd" for c in chunks)
    assert [r.data_section_crc != 0 for r in records if isinstance(r, DataEnd)] == [True]


def test_manifest_describes_the_file(tmp_path: Path) -> None:
    sent = traffic(seed=5, seconds=0.7)
    write_bag(tmp_path / "ep", sent)
    data = (tmp_path / "ep" / "ep.mcap").read_bytes()
    manifest = load_manifest(tmp_path / "ep")
    assert manifest is not None
    assert manifest.sha256 == hashlib.sha256(data).hexdigest()
    assert manifest.size == len(data)
    assert manifest.messages == len(sent)
    assert {name: t.messages for name, t in manifest.topics.items()} == {
        t.name: sum(s.topic == t.name for s in sent) for t in TOPICS
    }
    assert manifest.topics[TOPICS[0].name].type == IMAGE
    assert (manifest.start_ns, manifest.end_ns) == (sent[0].log_time_ns, sent[-1].log_time_ns)
    assert manifest.outcome == "success"
    assert manifest.dropped == {TOPICS[0].name: 3}
    assert manifest.metadata == {"robot": "fr3", "seed": "7", "reason": "operator"}


def test_outcomes_are_those_of_the_episode_machine() -> None:
    assert set(Outcome.__args__) == {state.value for state in OUTCOMES}  # type: ignore[attr-defined]


def test_manifest_is_the_last_file_and_everything_before_it_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real_sync, real_replace = os.fsync, os.replace

    def sync(descriptor: int) -> None:
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        real_sync(descriptor)

    def replace(source: Path, target: Path) -> None:
        synced.append(f"-> {Path(target).name}")
        real_replace(source, target)

    writer = open_writer(tmp_path / "ep")
    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    writer.close("failure")
    assert synced == [
        "ep.mcap",
        ".metadata.yaml.part", "-> metadata.yaml", "ep",
        ".manifest.json.part", "-> manifest.json", "ep",
    ]  # fmt: skip
    assert sorted(p.name for p in (tmp_path / "ep").iterdir()) == [
        "ep.mcap", "manifest.json", "metadata.yaml",
    ]  # fmt: skip


def test_an_episode_without_messages_is_still_a_bag(tmp_path: Path) -> None:
    write_bag(tmp_path / "ep", [])
    assert list(EpisodeReader(tmp_path / "ep")) == []
    with Reader(tmp_path / "ep") as reader:
        assert reader.message_count == 0


def test_at_most_half_a_second_is_only_in_memory(tmp_path: Path) -> None:
    sent = traffic(seed=6, seconds=2.0, side=8)  # far below the size that ends a chunk
    writer = open_writer(tmp_path / "ep")
    write_all(writer, sent)
    on_disk = list(EpisodeReader(tmp_path / "ep", partial=True))
    writer.abandon()
    missing = sent[len(on_disk) :]
    assert [m.data for m in on_disk] == [s.cdr for s in sent[: len(on_disk)]]
    assert missing and missing[-1].log_time_ns - missing[0].log_time_ns < 500_000_000


def test_abandoned_bag_keeps_all_messages_but_has_no_manifest(tmp_path: Path) -> None:
    sent = traffic(seed=7, seconds=0.3)
    with open_writer(tmp_path / "ep") as writer:
        write_all(writer, sent)
    assert load_manifest(tmp_path / "ep") is None
    reader = EpisodeReader(tmp_path / "ep", partial=True)
    assert [m.data for m in reader] == [s.cdr for s in sent]
    assert not reader.closed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"topic": "/fr3/other"}, "/fr3/other: is not recorded"),
        ({"type_name": JOINTS}, f"carries {JOINTS}, not {IMAGE}"),
        ({"log_time_ns": -1}, "impossible time -1 ns"),
        ({"publish_time_ns": 1 << 63}, "impossible time"),
    ],
)
def test_write_refuses(tmp_path: Path, change: dict[str, object], said: str) -> None:
    good = {
        "topic": TOPICS[0].name, "type_name": IMAGE, "cdr": b"\0\1\0\0data", "log_time_ns": 5,
        "publish_time_ns": 4,
    }  # fmt: skip
    with open_writer(tmp_path / "ep") as writer:
        with pytest.raises(InputError, match=said):
            writer.write(**{**good, **change})  # type: ignore[arg-type]
        writer.write(**good)  # type: ignore[arg-type]
        assert writer.close("success").messages == 1


@pytest.mark.parametrize("name", ["", "..", "a/b", "-x", ".hidden", "a" * 129, "a\n"])
def test_episode_id_must_be_a_plain_file_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot be a file name"):
        EpisodeWriter(tmp_path / "ep", name, TOPICS, contract_yaml="", metadata={}, start_ns=0)
    assert not (tmp_path / "ep").exists()


@pytest.mark.parametrize(
    ("topics", "said"),
    [
        ((Topic("relative/name", IMAGE),), "full topic name"),
        ((Topic("/a b", IMAGE),), "full topic name"),
        ((Topic("/a", IMAGE), Topic("/a", JOINTS)), "declared twice"),
        ((Topic("/a", "nobody_msgs/msg/Thing"),), "nobody_msgs/msg/Thing: is no message type"),
        ((Topic("/a", ""),), "is no message type"),
    ],
)
def test_topics_are_checked_before_anything_is_made(
    tmp_path: Path, topics: tuple[Topic, ...], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        open_writer(tmp_path / "ep", topics)
    assert not (tmp_path / "ep").exists()


def test_a_recorded_episode_is_never_overwritten(tmp_path: Path) -> None:
    write_bag(tmp_path / "ep", traffic(seed=8, seconds=0.1))
    before = (tmp_path / "ep" / "ep.mcap").read_bytes()
    with pytest.raises(InputError, match="exists already"):
        open_writer(tmp_path / "ep")
    assert (tmp_path / "ep" / "ep.mcap").read_bytes() == before


def test_close_refuses_what_would_contradict_the_start(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "ep")
    with pytest.raises(InputError, match="no way to end"):
        writer.close("won")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="'seed': was given before"):
        writer.close("success", metadata={"seed": "8"})
    with pytest.raises(InputError, match="'outcome': was given before"):
        writer.close("success", metadata={"outcome": "failure"})
    assert writer.close("success", metadata={"seed": "7"}).metadata["seed"] == "7"
    with pytest.raises(InputError, match="is closed"):
        writer.close("success")
    with pytest.raises(InputError, match="is closed"):
        writer.write(TOPICS[0].name, IMAGE, b"\0\1\0\0", 1, 1)


def test_metadata_keys_of_the_writer_are_reserved(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="reserved"):
        EpisodeWriter(
            tmp_path / "ep", "ep", TOPICS, contract_yaml="", metadata={"outcome": "x"}, start_ns=0
        )


def test_a_full_disk_is_one_line_and_what_was_written_stays(tmp_path: Path) -> None:
    sent = traffic(seed=9, seconds=3.0)
    writer = open_writer(tmp_path / "ep")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(InputError) as caught:
            write_all(writer, sent)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cannot be written" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(InputError, match="is closed"):
        writer.flush()
    kept = [m.data for m in EpisodeReader(tmp_path / "ep", partial=True)]
    assert kept and kept == [s.cdr for s in sent[: len(kept)]]
    assert load_manifest(tmp_path / "ep") is None


def test_manifest_text_is_the_same_for_the_same_episode(tmp_path: Path) -> None:
    sent = traffic(seed=10, seconds=0.2)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_bag(tmp_path / name / "ep", sent)
    texts = [(tmp_path / n / "ep" / "manifest.json").read_bytes() for n in ("a", "b")]
    assert texts[0] == texts[1]
    assert json.loads(texts[0])["sha256"] == json.loads(texts[1])["sha256"]


def test_event_topics_without_messages_keep_their_schema(tmp_path: Path) -> None:
    write_bag(tmp_path / "ep", traffic(seed=11, seconds=0.1))
    with Reader(tmp_path / "ep") as reader:
        types = {c.topic: (c.msgtype, c.msgcount) for c in reader.connections}
        assert types[TOPICS[2].name] == (EVENT, 0)


def test_qos_profiles_are_written_as_metadata_version_9(tmp_path: Path) -> None:
    (profile,) = yaml.safe_load(Topic("/a", IMAGE, (Qos("best_effort"),)).qos_text())
    assert profile["reliability"] == "best_effort"
    assert profile["deadline"] == {"sec": 9223372036, "nsec": 854775807}
    assert (profile["history"], profile["depth"]) == ("keep_last", 10)
