from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.bags.manifest import load_manifest
from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.bags.snapshot import (
    OVERHEAD_BYTES,
    Entry,
    Limiter,
    Ring,
    snapshot_name,
    write_snapshot,
)

from .sensor_messages import IMAGE, START_NS, TOPICS, traffic

TOPIC = TOPICS[0].name


@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 900)), min_size=1, max_size=80),
    st.integers(0, 1500),
    st.integers(1000, 12_000),
)
def test_ring_holds_the_newest_that_fit(
    steps: list[tuple[int, int]], span_ms: int, max_bytes: int
) -> None:
    ring = Ring(span_ms / 1000, max_bytes)
    entries: list[Entry] = []
    now = 0
    for step, size in steps:
        now += step * 1_000_000
        entries.append(Entry(TOPIC, IMAGE, bytes(size), now, now))
        ring.add(entries[-1])
        assert ring.held_bytes <= max_bytes
    horizon = now - span_ms * 1_000_000
    expected: list[Entry] = []
    room = max_bytes
    for entry in reversed(entries):
        room -= len(entry.cdr) + OVERHEAD_BYTES
        if entry.log_time_ns < horizon or room < 0:
            break
        expected.insert(0, entry)
    kept, lost = ring.since(0)
    assert kept == expected
    late = [e for e in entries if e.log_time_ns >= horizon]
    assert ring.since(horizon)[0] == expected
    assert lost.get(TOPIC, 0) == len(late) - len(expected)


def test_ring_gives_what_came_since_a_time() -> None:
    ring = Ring(10.0, 1 << 20)
    for at in range(10):
        ring.add(Entry(TOPIC, IMAGE, b"", at, at))
    assert [e.log_time_ns for e in ring.since(7)[0]] == [7, 8, 9]


def test_limiter_lets_one_through_in_so_many_seconds() -> None:
    limiter = Limiter(2.0)
    moments = [0.0, 0.1, 1.9, 2.0, 2.1, 4.1]
    assert [limiter.ask(round(1e9 * s)) for s in moments] == [
        True,
        False,
        False,
        True,
        False,
        True,
    ]


def test_name_is_a_plain_file_name() -> None:
    stamp = 1_760_000_000_123_456_789
    assert snapshot_name(stamp, "faulted_tracking_error") == (
        "snapshot-1760000000123-faulted_tracking_error"
    )
    assert snapshot_name(stamp, "../x y\n") == "snapshot-1760000000123-x_y"
    assert snapshot_name(stamp, "") == "snapshot-1760000000123-unknown"


def test_a_snapshot_is_a_closed_bag_of_its_own(tmp_path: Path) -> None:
    sent = traffic(seed=2, seconds=0.8)
    entries = [Entry(s.topic, s.type_name, s.cdr, s.log_time_ns, s.publish_time_ns) for s in sent]

    def write() -> str:
        return write_snapshot(
            tmp_path / "bags", "snapshot-1-asked", TOPICS, entries, {TOPIC: 3},
            contract_yaml="a: 1\n", metadata={"cause": "asked"}, stamp_ns=START_NS,
        ).episode_id  # fmt: skip

    names = [write(), write()]
    assert names == ["snapshot-1-asked", "snapshot-1-asked-2"]
    for name in names:
        reader = EpisodeReader(tmp_path / "bags" / name)
        assert [m.data for m in reader] == [s.cdr for s in sent]
        manifest = load_manifest(tmp_path / "bags" / name)
        assert manifest is not None and manifest.outcome == "aborted"
        assert manifest.dropped == {TOPIC: 3}
        assert manifest.metadata == {"cause": "asked", "kind": "snapshot"}
        assert Counter(m.topic for m in reader) == {
            t: e.messages for t, e in manifest.topics.items() if e.messages
        }


@pytest.mark.parametrize("seed", range(3))
def test_ring_counts_nothing_twice(seed: int) -> None:
    rng = random.Random(seed)
    ring, now, added = Ring(1e6, 20_000), 0, 0
    for _ in range(500):
        now += rng.randrange(1000)
        ring.add(Entry(TOPIC, IMAGE, bytes(rng.randrange(2000)), now, now))
        added += 1
    kept, lost = ring.since(0)
    assert len(kept) + lost[TOPIC] == added
