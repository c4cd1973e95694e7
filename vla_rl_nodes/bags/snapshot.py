"""The last seconds of everything, kept in memory, and written as a bag of their own on a fault."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from vla_rl_nodes.bags.manifest import Manifest
from vla_rl_nodes.bags.rosbag2 import Topic
from vla_rl_nodes.bags.writer import EpisodeWriter
from vla_rl_nodes.errors import InputError

SNAPSHOT_KIND = "snapshot"  # the metadata's "kind" of such a bag
OVERHEAD_BYTES = 256  # of one message in Python, so that tiny ones are bounded too
_SAME_NAME = 10


class Entry(NamedTuple):
    """The arguments of ``EpisodeWriter.write``."""

    topic: str
    type_name: str
    cdr: bytes
    log_time_ns: int
    publish_time_ns: int


class Ring:
    """Messages of the last seconds, as many as fit. Not thread-safe.

    Args:
        seconds: how far back it goes.
        max_bytes: greatest size in memory; the oldest message goes first.
    """

    def __init__(self, seconds: float, max_bytes: int) -> None:
        self._span_ns, self._max_bytes = round(1e9 * seconds), max_bytes
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._crowded_out: deque[tuple[int, str]] = deque()

    def add(self, entry: Entry) -> None:
        """Takes the newest message, and lets go of what is too old or too much."""
        self._entries.append(entry)
        self._bytes += len(entry.cdr) + OVERHEAD_BYTES
        horizon = entry.log_time_ns - self._span_ns
        while self._entries and self._entries[0].log_time_ns < horizon:
            self._pop()
        while self._bytes > self._max_bytes:
            gone = self._pop()
            self._crowded_out.append((gone.log_time_ns, gone.topic))
        while self._crowded_out and self._crowded_out[0][0] < horizon:
            self._crowded_out.popleft()

    def since(self, start_ns: int) -> tuple[list[Entry], dict[str, int]]:
        """The messages from a time on, and how many per topic the bound in bytes has cost."""
        kept = [entry for entry in self._entries if entry.log_time_ns >= start_ns]
        lost = Counter(topic for at, topic in self._crowded_out if at >= start_ns)
        return kept, dict(lost)

    @property
    def held_bytes(self) -> int:
        """Bytes of memory in use."""
        return self._bytes

    def _pop(self) -> Entry:
        entry = self._entries.popleft()
        self._bytes -= len(entry.cdr) + OVERHEAD_BYTES
        return entry


class Limiter:
    """Lets one through in so many seconds.

    Args:
        every_s: least time between two.
    """

    def __init__(self, every_s: float) -> None:
        self._every_ns = round(1e9 * every_s)
        self._last_ns: int | None = None

    def ask(self, now_ns: int) -> bool:
        """Whether it is time again; ``now_ns`` is of a monotonic clock."""
        if self._last_ns is not None and now_ns - self._last_ns < self._every_ns:
            return False
        self._last_ns = now_ns
        return True


def snapshot_name(stamp_ns: int, cause: str) -> str:
    """``snapshot-<milliseconds>-<cause>``, the name of the bag and of its folder."""
    plain = re.sub(r"[^A-Za-z0-9]+", "_", cause).strip("_")[:60] or "unknown"
    return f"snapshot-{stamp_ns // 1_000_000}-{plain}"


def write_snapshot(
    bags: Path,
    name: str,
    topics: Sequence[Topic],
    entries: Sequence[Entry],
    lost: Mapping[str, int],
    *,
    contract_yaml: str,
    metadata: Mapping[str, str],
    stamp_ns: int,
) -> Manifest:
    """Writes messages as a closed bag; the outcome of a snapshot is ``aborted``.

    Args:
        bags: folder of the bags; the snapshot gets a folder in it.
        name: of :func:`snapshot_name`; a number is put behind it where it is taken.
        topics: all that the entries can be of.
        entries: from the oldest to the newest.
        lost: messages per topic that there was no room for.
        contract_yaml: the contract's text.
        metadata: of the bag; its ``kind`` is added.
        stamp_ns: of the cause, nanoseconds.

    Raises:
        InputError: the disk is full or gone.
    """
    number = 1
    while True:
        own = name if number == 1 else f"{name}-{number}"
        if not (bags / own).exists():
            break
        number += 1
        if number > _SAME_NAME:
            raise InputError(bags / name, "exists already", "remove old snapshots")
    with EpisodeWriter(
        bags / own, own, topics, contract_yaml=contract_yaml,
        metadata={**metadata, "kind": SNAPSHOT_KIND}, start_ns=stamp_ns,
    ) as writer:  # fmt: skip
        for entry in entries:
            writer.write(*entry)
        return writer.close("aborted", dropped=lost)
