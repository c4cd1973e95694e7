"""The bag that a salvage makes, and what it says of what was lost."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer
from rosbags.rosbag2 import Reader

from vla_rl_nodes.bags.manifest import load_manifest
from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.bags.salvage import SalvageReport, as_json, salvage
from vla_rl_nodes.bags.writer import EpisodeWriter
from vla_rl_nodes.cli import main
from vla_rl_nodes.errors import InputError

from .chunk_map import chunk_map, other_recorder, rows_of
from .sensor_messages import EVENT, START_NS, STORE, TOPICS, TYPES, Sent, cdr, header, traffic
from .tiny_bag import TINY_TOPICS, tiny_traffic, write_tiny

SENT = traffic(seed=8, seconds=2.2, side=8)
STATE = TOPICS[2].name


def state(at_ns: int, message: str, episode_id: str = "ep") -> Sent:
    value = TYPES["diagnostic_msgs/msg/KeyValue"](key="episode_id", value=episode_id)
    status = TYPES["diagnostic_msgs/msg/DiagnosticStatus"](
        level=0, name="episode", message=message, hardware_id="", values=[value]
    )
    data = cdr(TYPES[EVENT](header(at_ns), [status]), EVENT)
    return Sent(STATE, EVENT, data, at_ns, at_ns)


def record(folder: Path, outcome: str = "failure", tell_at_s: float = 0.3) -> bytes:
    """A closed bag whose episode says its outcome at some time."""
    told = [state(START_NS + round(tell_at_s * 1e9), outcome), state(START_NS, "running")]
    sent = sorted([*SENT, *told], key=lambda s: s.log_time_ns)
    writer = EpisodeWriter(
        folder, "ep", TOPICS, contract_yaml="a: 1\n", metadata={"robot": "fr3", "seed": "7"},
        start_ns=START_NS,
    )  # fmt: skip
    for s in sent:
        writer.write(s.topic, s.type_name, s.cdr, s.log_time_ns, s.publish_time_ns)
    writer.close(outcome, metadata={"reason": "r"}, dropped={STATE: 2})  # type: ignore[arg-type]
    return (folder / "ep.mcap").read_bytes()


def damage(folder: Path, data: bytes) -> None:
    (folder / "ep.mcap").write_bytes(data)


def files_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}


def test_the_new_bag_is_closed_checked_and_says_where_it_comes_from(tmp_path: Path) -> None:
    whole = record(tmp_path / "bag")
    blocks = chunk_map(whole)
    hole = blocks[2].end - 40
    damaged = whole[:hole] + bytes(16) + whole[hole + 16 :]
    damage(tmp_path / "bag", damaged)
    before = files_of(tmp_path / "bag")
    report = salvage(tmp_path / "bag", tmp_path / "new")
    assert files_of(tmp_path / "bag") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bag", "new"]

    expected = rows_of([b for b in blocks if b is not blocks[2]])
    reader = EpisodeReader(tmp_path / "new")
    got = [(m.topic, m.sequence, m.log_time_ns, m.publish_time_ns, m.data) for m in reader]
    assert got == expected and reader.closed
    sha256 = hashlib.sha256(damaged).hexdigest()
    manifest = load_manifest(tmp_path / "new")
    assert manifest is not None and manifest.outcome == "failure"
    assert (manifest.episode_id, manifest.dropped) == ("ep", {STATE: 2})
    assert manifest.metadata["salvaged_from"] == sha256
    assert (manifest.metadata["seed"], manifest.metadata["reason"]) == ("7", "r")
    assert reader.metadata["salvaged_from"] == sha256
    assert reader.attachments["contract.yaml"] == b"a: 1\n"
    assert json.loads(reader.attachments["salvage.json"]) == json.loads(
        json.dumps(as_json(report))
    )
    with (tmp_path / "new" / "ep.mcap").open("rb") as file:
        messages = list(make_reader(file, validate_crcs=True).iter_messages())
    assert len(messages) == len(expected)

    # What is said of the loss: exactly the chunk, its time and its messages.
    (lost,) = report.lost
    assert (lost.start, lost.end, lost.reason) == (
        blocks[2].begin, blocks[2].end, "a chunk has changed",
    )  # fmt: skip
    (chunk,) = report.lost_chunks
    times = [row[2] for row in blocks[2].rows]
    assert (chunk.start_ns, chunk.end_ns) == (min(times), max(times))
    topics = {row[0] for row in blocks[2].rows}
    assert chunk.messages == {t: sum(r[0] == t for r in blocks[2].rows) for t in topics}
    assert {t: r.lost for t, r in report.topics.items() if r.lost} == chunk.messages
    assert report.metadata_verified and not report.complete and not report.unverified


def test_rosbags_reads_a_salvaged_bag(tmp_path: Path) -> None:
    exact = [s for s in SENT if len(s.cdr) == _length(s)]
    whole = other_recorder(tmp_path / "r.mcap", exact, CompressionType.ZSTD, chunk_size=20_000)
    blocks = chunk_map(whole)
    (tmp_path / "r.mcap").write_bytes(whole[: blocks[-1].begin + 100])
    report = salvage(tmp_path / "r.mcap", tmp_path / "new")
    rows = rows_of(blocks[:-1])
    assert report.messages == len(rows) > 100 and report.outcome == "aborted"
    with Reader(tmp_path / "new") as reader:
        assert reader.message_count == len(rows)
        got = [(c.topic, t, raw) for c, t, raw in reader.messages()]
    assert sorted(got) == sorted((topic, at, data) for topic, _, at, _, data in rows)


def _length(sent: Sent) -> int:
    definition = STORE.get_msgdef(sent.type_name)
    _, end = definition.deserialize_cdr_le(sent.cdr[4:], 0, definition.cls, STORE)
    return int(end) + 4


@pytest.mark.parametrize("outcome", ["success", "failure", "timeout"])
def test_outcome_is_what_is_left_of_the_episodes_own_word(tmp_path: Path, outcome: str) -> None:
    whole = record(tmp_path / "bag", outcome, tell_at_s=0.9)
    blocks = chunk_map(whole)
    (tmp_path / "bag" / "manifest.json").unlink()
    said = next(i for i, b in enumerate(blocks) if any(
        row[0] == STATE and row[2] > START_NS + 800_000_000 for row in b.rows))  # fmt: skip
    damage(tmp_path / "bag", whole[: blocks[said].end + 3])
    assert salvage(tmp_path / "bag", tmp_path / "with").outcome == outcome
    damage(tmp_path / "bag", whole[: blocks[said].end - 3])
    report = salvage(tmp_path / "bag", tmp_path / "without")
    assert report.outcome == "aborted"
    assert EpisodeReader(tmp_path / "without").metadata["outcome"] == "aborted"
    assert report.lost_chunks[0].messages is None
    times = [row[2] for row in blocks[said].rows]
    assert (report.lost_chunks[0].start_ns, report.lost_chunks[0].end_ns) == (
        min(times), max(times),
    )  # fmt: skip


def test_an_outcome_of_another_episode_is_not_taken(tmp_path: Path) -> None:
    folder = tmp_path / "bag"
    writer = EpisodeWriter(folder, "ep", TOPICS, contract_yaml="", metadata={}, start_ns=START_NS)
    for s in (state(START_NS, "success", "ep-before"), state(START_NS + 5, "running")):
        writer.write(s.topic, s.type_name, s.cdr, s.log_time_ns, s.publish_time_ns)
    writer.abandon()
    assert salvage(folder, tmp_path / "new").outcome == "aborted"


def test_an_intact_bag_comes_out_complete(tmp_path: Path) -> None:
    record(tmp_path / "bag")
    report = salvage(tmp_path / "bag", tmp_path / "new")
    assert report.complete and report.in_words() == "nothing"
    assert [m.data for m in EpisodeReader(tmp_path / "new")] == [
        m.data for m in EpisodeReader(tmp_path / "bag")
    ]


def test_what_changed_outside_of_the_chunks_is_not_complete(tmp_path: Path) -> None:
    whole = record(tmp_path / "bag")
    place = whole.index(b"fr3", 30)  # in the metadata, which has no CRC
    damage(tmp_path / "bag", whole[:place] + b"fr4" + whole[place + 3 :])
    report = salvage(tmp_path / "bag", tmp_path / "new")
    assert not report.complete and not report.lost and report.files[0].data_crc == "wrong"
    assert EpisodeReader(tmp_path / "new").metadata["robot"] == "fr3"  # from the bag's own copy


def test_messages_without_a_checksum_are_counted_as_unverified(tmp_path: Path) -> None:
    whole = other_recorder(tmp_path / "r.mcap", tiny_traffic(4), crcs=False)
    (tmp_path / "r.mcap").write_bytes(whole[: len(whole) - 9])
    report = salvage(tmp_path / "r.mcap", tmp_path / "new")
    assert report.unverified == report.messages == 30
    assert {t.unverified for t in report.topics.values()} <= {t.messages for t in
                                                              report.topics.values()}  # fmt: skip
    assert EpisodeReader(tmp_path / "new").metadata["salvaged_unverified"] == "30"


def test_a_split_recording_with_a_type_of_its_own(tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    bag.mkdir()
    for number in (0, 1, 10):
        with (bag / f"rec_{number}.mcap").open("wb") as file:
            writer = Writer(file, chunk_size=100)
            writer.start(profile="ros2")
            schema = writer.register_schema("my_msgs/msg/Foo", "ros2msg", b"int32 a\n")
            channel = writer.register_channel("/t", "cdr", schema, {"topic_type_hash": "RIHS01_x"})
            for index in range(20):
                at = 1000 * number + index
                writer.add_message(channel, at, b"\0\1\0\0" + bytes([number, index, 0, 0]), at)
            writer.finish()  # type: ignore[no-untyped-call]
    names = [f"rec_{n}.mcap" for n in (0, 1, 2, 10)]
    info = {"version": 8, "storage_identifier": "mcap", "relative_file_paths": names}
    (bag / "metadata.yaml").write_text(yaml.safe_dump({"rosbag2_bagfile_information": info}))
    report = salvage(bag, tmp_path / "new")
    assert report.missing_files == ["rec_2.mcap"] and not report.complete
    with (tmp_path / "new" / f"{report.episode_id}.mcap").open("rb") as file:
        rows = [(s.name, s.data, c.metadata, m.log_time) for s, c, m in
                make_reader(file, validate_crcs=True).iter_messages() if s]  # fmt: skip
    assert [row[3] for row in rows] == [1000 * n + i for n in (0, 1, 10) for i in range(20)]
    assert {(r[0], r[1], r[2]["topic_type_hash"]) for r in rows} == {
        ("my_msgs/msg/Foo", b"int32 a\n", "RIHS01_x")
    }


def test_refusals_are_one_line_and_leave_nothing(tmp_path: Path) -> None:
    record(tmp_path / "bag")
    (tmp_path / "empty").mkdir()
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "n.mcap").write_bytes(np.random.default_rng(0).bytes(30_000))
    (tmp_path / "there").mkdir()
    for bag, out, said in (
        ("none", "new", "does not exist"), ("empty", "new", "holds no .mcap file"),
        ("noise", "new", "holds no intact message"), ("bag", "there", "exists already"),
        ("bag", "bag/new", "lies inside of the bag"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said) as caught:
            salvage(tmp_path / bag, tmp_path / out)
        assert "\n" not in str(caught.value)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["bag", "empty", "noise", "there"]


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    whole = record(tmp_path / "bag")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) // 2, hard))
    try:
        with pytest.raises(InputError, match=r"cannot be written .*free space"):
            salvage(tmp_path / "bag", tmp_path / "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.name for p in tmp_path.iterdir()] == ["bag"]
    assert salvage(tmp_path / "bag", tmp_path / "new").complete


def test_a_salvaged_bag_can_be_damaged_and_salvaged_again(tmp_path: Path) -> None:
    whole = record(tmp_path / "bag")
    damage(tmp_path / "bag", whole[: chunk_map(whole)[-1].begin])
    salvage(tmp_path / "bag", tmp_path / "new")
    again = (tmp_path / "new" / "ep.mcap").read_bytes()
    (tmp_path / "new" / "ep.mcap").write_bytes(again[:-200])
    report = salvage(tmp_path / "new", tmp_path / "newer")
    metadata = EpisodeReader(tmp_path / "newer").metadata
    assert metadata["salvaged_from"] == report.files[0].sha256
    assert "before that: " in metadata["salvaged_lost"] and metadata["seed"] == "7"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = record(tmp_path / "bag")
    blocks = chunk_map(whole)
    damage(tmp_path / "bag", whole[: blocks[2].begin] + bytes(50) + whole[blocks[2].begin + 50 :])
    bag, new = str(tmp_path / "bag"), str(tmp_path / "new")
    assert main(["bag", "info", bag]) == 0
    assert f"vla-rl bag salvage {bag} --out" in capsys.readouterr().out
    assert main(["bag", "salvage", bag, "--out", new]) == 0
    out = capsys.readouterr().out
    count = len(blocks[2].rows)
    assert f"lost chunk at byte {blocks[2].begin} of ep.mcap" in out and f"{count} messages" in out
    assert main(["bag", "salvage", bag, "--out", new]) == 2
    assert capsys.readouterr().err.startswith(f"vla-rl: {new}: exists already; ")
    assert main(["bag", "salvage", bag, "--out", f"{new}2", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["messages"] == len(rows_of(blocks)) - count and data["complete"] is False
    assert data["lost"][0]["start"] == blocks[2].begin


RECORDER = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from bags.tiny_bag import TINY_TOPICS, tiny_traffic
from vla_rl_nodes.bags.writer import EpisodeWriter
sent = tiny_traffic(seed=6, chunks=3000)
for line in sys.stdin:
    child = os.fork()
    if child:
        print(child, flush=True)
        os.waitpid(child, 0)
        print("ended", flush=True)
        continue
    w = EpisodeWriter(
        Path(line.strip()), "ep", TINY_TOPICS, contract_yaml="", metadata={}, start_ns=0
    )
    for count, s in enumerate(sent, start=1):
        w.write(s.topic, s.type_name, s.cdr, s.log_time_ns, s.publish_time_ns)
        os.write(1, b"%d\\n" % count)
    os._exit(0)
"""


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: a killed process's pages stay there too."""
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=shared if os.access(shared, os.W_OK) else tmp_path))
    yield folder
    shutil.rmtree(folder)


def test_killed_while_it_records(memory: Path) -> None:
    """kill -9 at random moments: all is there but what came in the last half second."""
    seed = 20
    rng = np.random.default_rng(seed)
    sent = tiny_traffic(seed=6, chunks=3000)
    salvaged = 0
    with subprocess.Popen(
        [sys.executable, "-c", RECORDER, str(Path(__file__).parents[1])], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
    ) as recorder:  # fmt: skip
        assert recorder.stdin is not None and recorder.stdout is not None
        for number in range(20):
            bag, new = memory / f"bag{number}", memory / f"new{number}"
            moment = int(rng.integers(1, 100))
            print(bag, file=recorder.stdin, flush=True)
            said = [int(recorder.stdout.readline())]
            while said[-1] < moment or len(said) == 1:
                said.append(int(recorder.stdout.readline()))
            os.kill(said[0], signal.SIGKILL)
            while (line := recorder.stdout.readline()) != "ended\n":
                said.append(int(line))
            newest = sent[said[-1] - 1].log_time_ns
            synced = [s for s in sent[: said[-1]] if s.log_time_ns < newest - 550_000_000]
            if len(said) - 1 < 7:  # no chunk was full yet
                continue
            salvage(bag, new)
            got = [m.data for m in EpisodeReader(new)]
            assert got == [s.cdr for s in sent[: len(got)]], (seed, moment)
            assert len(got) >= len(synced), (seed, moment)
            salvaged += 1
        recorder.stdin.close()
        assert recorder.wait(30) == 0
    assert salvaged > 12


def test_tiny_bags_are_what_the_damage_tests_think(tmp_path: Path) -> None:
    data = write_tiny(tmp_path / "t", tiny_traffic(1))
    assert {t.name for t in TINY_TOPICS} >= {row[0] for row in rows_of(chunk_map(data))}
    report: SalvageReport = salvage(tmp_path / "t", tmp_path / "new")
    assert report.messages == 30 and report.complete
