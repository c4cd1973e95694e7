"""A writer thread behind a bounded queue: recording never holds up a callback."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping
from typing import NamedTuple

from vla_rl_nodes.bags.manifest import Manifest, Outcome
from vla_rl_nodes.bags.writer import EpisodeWriter
from vla_rl_nodes.errors import InputError

_OVERHEAD_BYTES = 256  # of one queued message in Python, so that tiny messages are bounded too
_SMALL_BYTES = 4096
_IDLE_S = 0.5


class _Item(NamedTuple):
    topic: str
    type_name: str
    cdr: bytes
    log_time_ns: int
    publish_time_ns: int


class QueuedWriter:
    """Hands messages to an ``EpisodeWriter`` on a thread of its own.

    ``put`` never waits for the disk: when the queue is full the message is dropped, counted for
    its topic, and the count ends in the manifest. The last eighth of the queue is kept for
    messages of at most 4 KiB, so that a flood of images cannot push out the actions and events.

    Args:
        writer: the open bag; from now on only this object may use it.
        max_bytes: greatest size of what is queued, in bytes of memory.
    """

    def __init__(self, writer: EpisodeWriter, max_bytes: int = 64 << 20) -> None:
        if max_bytes < 1:
            raise InputError("max_bytes", f"is {max_bytes}", "give the queue some room")
        self._writer = writer
        self._max_bytes = max_bytes
        self._images_bytes = max_bytes - max_bytes // 8
        self._queue: deque[_Item] = deque()
        self._bytes = 0
        self._dropped: Counter[str] = Counter()
        self._written = 0
        self._closing = False
        self._failure: InputError | None = None
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="bag writer", daemon=True)
        self._thread.start()

    def put(
        self, topic: str, type_name: str, cdr: bytes, log_time_ns: int, publish_time_ns: int
    ) -> bool:
        """Queues one message; the arguments are those of ``EpisodeWriter.write``.

        Returns:
            False when it was dropped: the queue is full, or the disk failed (see ``failure``).

        Raises:
            InputError: an undeclared topic, another type, an impossible time, or a closed bag.
        """
        self._writer.check(topic, type_name, log_time_ns, publish_time_ns)
        size = len(cdr) + _OVERHEAD_BYTES
        room = self._max_bytes if len(cdr) <= _SMALL_BYTES else self._images_bytes
        with self._wake:
            if self._closing:
                raise InputError(self._writer.path, "is closed", "start a new episode")
            if self._failure is not None or self._bytes + size > room:
                self._dropped[topic] += 1
                return False
            self._queue.append(_Item(topic, type_name, cdr, log_time_ns, publish_time_ns))
            self._bytes += size
            self._wake.notify()
        return True

    def lost(self, counts: Mapping[str, int]) -> None:
        """Counts messages per topic that were lost on the way to the queue."""
        with self._wake:
            self._dropped.update(counts)

    @property
    def dropped(self) -> dict[str, int]:
        """Messages per topic that did not reach the bag."""
        with self._wake:
            return dict(self._dropped)

    @property
    def written(self) -> int:
        """Messages handed to the file so far."""
        return self._written

    @property
    def failure(self) -> str | None:
        """Why the bag cannot be written any more; None while it can."""
        return None if self._failure is None else str(self._failure)

    def close(self, outcome: Outcome, metadata: Mapping[str, str] | None = None) -> Manifest:
        """Writes out what is queued and closes the bag; see ``EpisodeWriter.close``.

        Raises:
            InputError: the disk failed now or before; the bag stays unclosed.
        """
        self._stop()
        if self._failure is not None:
            self._writer.abandon()
            raise self._failure
        return self._writer.close(outcome, metadata=metadata, dropped=self._dropped)

    def abandon(self) -> None:
        """Writes out what is queued and leaves the bag unclosed, without a manifest."""
        self._stop()
        self._writer.abandon()

    def _stop(self) -> None:
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._queue and not self._closing:
                    self._wake.wait(_IDLE_S)
                item = self._queue.popleft() if self._queue else None
                if item is None and self._closing:
                    return
                if item is not None:
                    self._bytes -= len(item.cdr) + _OVERHEAD_BYTES
            try:
                if item is None:
                    self._writer.flush()  # nothing came for a while: leave nothing in memory
                else:
                    self._writer.write(*item)
                    self._written += 1
            except Exception as error:  # else the thread would end and lose messages unseen
                self._fail(error, item)
                return

    def _fail(self, error: Exception, item: _Item | None) -> None:
        if not isinstance(error, InputError):
            error = InputError(
                self._writer.path, f"cannot be written ({error!r})", "report this fault"
            )
        with self._wake:
            self._failure = error
            for lost in ([] if item is None else [item]) + list(self._queue):
                self._dropped[lost.topic] += 1
            self._queue.clear()
            self._bytes = 0
