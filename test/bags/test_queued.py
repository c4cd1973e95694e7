from __future__ import annotations

import resource
import threading
from collections import Counter
from pathlib import Path

import pytest

from vla_rl_nodes.bags.queued import QueuedWriter
from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.bags.writer import EpisodeWriter
from vla_rl_nodes.errors import InputError

from .sensor_messages import IMAGE, JOINTS, START_NS, TOPICS, traffic

IMAGES, STATES = TOPICS[0].name, TOPICS[1].name


class GatedWriter(EpisodeWriter):
    """A disk that stands still until it is released."""

    def __init__(self, folder: Path) -> None:
        self.gate = threading.Event()
        self.reached = threading.Event()
        self.flushed = threading.Event()
        super().__init__(
            folder, folder.name, TOPICS, contract_yaml="", metadata={}, start_ns=START_NS
        )

    def write(
        self, topic: str, type_name: str, cdr: bytes, log_time_ns: int, publish_time_ns: int
    ) -> None:
        self.reached.set()
        assert self.gate.wait(30)
        super().write(topic, type_name, cdr, log_time_ns, publish_time_ns)

    def flush(self) -> None:
        super().flush()
        self.flushed.set()


def test_everything_arrives_in_order_when_the_disk_keeps_up(tmp_path: Path) -> None:
    sent = traffic(seed=1, seconds=1.0)
    writer = GatedWriter(tmp_path / "ep")
    writer.gate.set()
    queued = QueuedWriter(writer)
    assert all(
        queued.put(s.topic, s.type_name, s.cdr, s.log_time_ns, s.publish_time_ns) for s in sent
    )
    manifest = queued.close("success", {"reason": "operator"})
    assert manifest.dropped == {} and manifest.metadata["reason"] == "operator"
    assert [m.data for m in EpisodeReader(tmp_path / "ep")] == [s.cdr for s in sent]
    assert queued.written == len(sent)


def test_drops_are_bounded_counted_and_told(tmp_path: Path) -> None:
    writer = GatedWriter(tmp_path / "ep")
    queued = QueuedWriter(writer, max_bytes=200_000)
    sent = traffic(seed=2, seconds=2.0)
    # The thread takes one message and waits; the queue then fills up behind it.
    first, rest = sent[0], sent[1:]
    assert queued.put(
        first.topic, first.type_name, first.cdr, first.log_time_ns, first.publish_time_ns
    )
    assert writer.reached.wait(30)
    taken = [first]
    lost: Counter[str] = Counter()
    for s in rest:
        if queued.put(s.topic, s.type_name, s.cdr, s.log_time_ns, s.publish_time_ns):
            taken.append(s)
        else:
            lost[s.topic] += 1
    assert lost[IMAGES] > 0 and lost[STATES] > 0
    assert queued.dropped == dict(lost)
    assert sum(len(s.cdr) for s in taken) - len(first.cdr) <= 200_000
    writer.gate.set()
    manifest = queued.close("timeout")
    assert manifest.dropped == dict(lost)
    assert manifest.messages == len(taken) == len(sent) - sum(lost.values())
    assert [m.data for m in EpisodeReader(tmp_path / "ep")] == [s.cdr for s in taken]


def test_a_flood_of_images_leaves_room_for_small_messages(tmp_path: Path) -> None:
    writer = GatedWriter(tmp_path / "ep")
    queued = QueuedWriter(writer, max_bytes=160_000)
    image = next(s.cdr for s in traffic(seed=3, seconds=0.1) if s.topic == IMAGES)
    state = next(s.cdr for s in traffic(seed=3, seconds=0.1) if s.topic == STATES)
    taken = [queued.put(IMAGES, IMAGE, image, START_NS + i, START_NS) for i in range(30)]
    assert taken.count(False) > 5
    assert not queued.put(IMAGES, IMAGE, image, START_NS + 40, START_NS)
    assert all(queued.put(STATES, JOINTS, state, START_NS + 50 + i, START_NS) for i in range(20))
    writer.gate.set()
    manifest = queued.close("success")
    assert manifest.topics[STATES].messages == 20
    assert manifest.dropped == {IMAGES: taken.count(False) + 1}


def test_room_comes_back_when_the_disk_has_caught_up(tmp_path: Path) -> None:
    writer = GatedWriter(tmp_path / "ep")
    queued = QueuedWriter(writer, max_bytes=20_000)
    state = next(s.cdr for s in traffic(seed=6, seconds=0.1) if s.topic == STATES)
    total = 0
    for _ in range(3):
        writer.gate.clear()
        accepted = 0
        while queued.put(STATES, JOINTS, state, START_NS + total, START_NS):
            accepted += 1
            total += 1
        assert accepted >= 20
        writer.gate.set()
        while queued.written < total:
            writer.flushed.clear()
            assert writer.flushed.wait(30)
    manifest = queued.close("success")
    assert (manifest.messages, manifest.dropped) == (total, {STATES: 3})


def test_a_failing_disk_is_told_and_later_messages_are_counted(tmp_path: Path) -> None:
    writer = GatedWriter(tmp_path / "ep")
    writer.gate.set()
    queued = QueuedWriter(writer)
    sent = traffic(seed=4, seconds=3.0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, hard))
    try:
        accepted = sum(
            queued.put(s.topic, s.type_name, s.cdr, s.log_time_ns, s.publish_time_ns) for s in sent
        )
        with pytest.raises(InputError, match=r"cannot be written .*free space"):
            queued.close("success")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert queued.failure is not None and "cannot be written" in queued.failure
    assert queued.written + sum(queued.dropped.values()) == len(sent)
    assert accepted >= queued.written
    assert not (tmp_path / "ep" / "manifest.json").exists()


def test_a_fault_in_the_thread_is_a_failure_not_a_silent_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = GatedWriter(tmp_path / "ep")

    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("some fault")

    monkeypatch.setattr(writer, "write", broken)
    queued = QueuedWriter(writer)
    queued.put(STATES, JOINTS, b"\0\1\0\0", START_NS, START_NS)
    with pytest.raises(InputError, match=r"cannot be written \(ZeroDivisionError"):
        queued.close("success")
    assert queued.dropped == {STATES: 1}
    assert not (tmp_path / "ep" / "manifest.json").exists()


def test_put_refuses_what_the_bag_does_not_declare(tmp_path: Path) -> None:
    writer = GatedWriter(tmp_path / "ep")
    writer.gate.set()
    queued = QueuedWriter(writer)
    with pytest.raises(InputError, match="is not recorded"):
        queued.put("/fr3/else", IMAGE, b"\0\1\0\0", 1, 1)
    with pytest.raises(InputError, match="impossible time"):
        queued.put(STATES, JOINTS, b"\0\1\0\0", -5, 1)
    assert queued.put(STATES, JOINTS, b"\0\1\0\0", 5, 1)
    assert queued.close("success").messages == 1
    with pytest.raises(InputError, match="is closed"):
        queued.put(STATES, JOINTS, b"\0\1\0\0", 6, 1)


def test_silence_brings_what_is_in_memory_to_the_disk(tmp_path: Path) -> None:
    writer = GatedWriter(tmp_path / "ep")
    writer.gate.set()
    queued = QueuedWriter(writer)
    sent = traffic(seed=5, seconds=0.1)
    for s in sent:
        queued.put(s.topic, s.type_name, s.cdr, s.log_time_ns, s.publish_time_ns)
    writer.flushed.clear()
    assert writer.flushed.wait(30)
    while queued.written < len(sent):
        writer.flushed.clear()
        assert writer.flushed.wait(30)
    kept = [m.data for m in EpisodeReader(tmp_path / "ep", partial=True)]
    queued.abandon()
    assert kept == [s.cdr for s in sent]
    assert not (tmp_path / "ep" / "manifest.json").exists()


def test_queue_needs_room(tmp_path: Path) -> None:
    writer = GatedWriter(tmp_path / "ep")
    with pytest.raises(InputError, match="max_bytes"):
        QueuedWriter(writer, max_bytes=0)
    writer.abandon()
