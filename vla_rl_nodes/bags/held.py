"""Messages of one topic kept in memory: rows of bytes while all have one layout, else singly."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bags.batch import Batch, Channel
from vla_rl_nodes.bags.columns import BODY_AT, Columns, fields_of_messages, fields_of_rows, fits
from vla_rl_nodes.bags.layout import HEADER, Layout, layout_of
from vla_rl_nodes.bags.mcap_records import at_offsets
from vla_rl_nodes.bags.schemas import decode
from vla_rl_nodes.errors import InputError

_LARGE = 4096  # bytes from which a message is copied on its own
_SPARE_BYTES = 1 << 30  # by which a guess of what is still to come may exceed what has come
_OVERHEAD = 128  # of a message that is kept singly


class Memory:
    """How much may be held: three quarters of the machine's memory, for one bag."""

    def __init__(self) -> None:
        self._left = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4 * 3

    def take(self, size: int, topic: str) -> None:
        """Counts bytes that are about to be held.

        Raises:
            InputError: they are more than there is.
        """
        self._left -= size
        if self._left < 0:
            raise InputError(topic, "does not fit into memory", "read fewer topics, or in parts")


class HeldTopic:
    """The messages of one topic.

    While all of them have the layout of the first they are copied, each once, into rows of one
    array, of which the fields are views. The layout's bytes are compared in all rows: at once
    where sizes differ, else at the end.

    Args:
        channel: of the topic.
        by_layout: whether to look for a layout; else every message is kept singly.
        memory: of the whole bag.
    """

    def __init__(self, channel: Channel, by_layout: bool, memory: Memory) -> None:
        self.channel = channel
        self._memory = memory
        self._by_layout = by_layout
        self._layout: Layout | None = None
        self._checked = 0  # rows whose layout was compared
        self._first_size = 0
        self._rows = np.empty((0, 0), dtype=np.uint8)
        self._count = 0
        self._single: list[bytes] = []
        self._log: list[NDArray[np.int64]] = []
        self._publish: list[NDArray[np.int64]] = []
        self.lost = False

    def add(self, batch: Batch, which: NDArray[np.intp]) -> None:
        """Takes the messages of a batch that are this topic's.

        Raises:
            InputError: they do not fit into memory.
        """
        if self.lost:
            return
        starts, sizes = batch.starts[which], batch.sizes[which]
        self._log.append(batch.log_ns[which])
        self._publish.append(batch.publish_ns[which])
        if self._by_layout and self._layout is None:
            start, size = int(starts[0]), int(sizes[0])
            self._layout = layout_of(
                self.channel.type_name, memoryview(batch.data)[start : start + size]
            )
            self._by_layout = self._layout is not None
            self._first_size = size
        if self._layout is None or not self._add_rows(self._layout, batch, starts, sizes):
            self._add_single(batch, starts, sizes)

    def _add_rows(
        self, layout: Layout, batch: Batch, starts: NDArray[np.int64], sizes: NDArray[np.int64]
    ) -> bool:
        whole = HEADER + layout.size
        alike = bool((sizes == self._first_size).all())
        if not alike and int(sizes.min()) < whole:
            self._give_up(layout)
            return False
        first, end = self._count, self._count + len(starts)
        self._make_room(whole, end, batch.progress)
        begin = BODY_AT - HEADER
        if whole < _LARGE:
            cells = np.ndarray(
                (len(starts),), f"V{whole}", self._rows, first * self._rows.strides[0] + begin,
                (self._rows.strides[0],),
            )  # fmt: skip
            cells[:] = at_offsets(batch.data, starts, whole)
        else:
            source = np.frombuffer(batch.data, dtype=np.uint8)
            for row, start in enumerate(starts.tolist(), start=first):
                self._rows[row, begin : begin + whole] = source[start : start + whole]
        if (first == 0 or not alike) and not fits(layout, self._rows[self._checked : end]):
            self._give_up(layout)
            return False
        if first == 0 or not alike:
            self._checked = end
        self._count = end
        return True

    def _make_room(self, whole: int, needed: int, progress: float) -> None:
        if needed <= len(self._rows):
            return
        stride = -(-(BODY_AT - HEADER + whole) // 8) * 8
        guess = int(needed / progress * 1.25) + 64
        capacity = min(guess, max(2 * needed, needed + _SPARE_BYTES // stride))
        self._memory.take(needed * stride, self.channel.topic)
        rows = np.empty((capacity, stride), dtype=np.uint8)
        if self._count:
            rows[: self._count] = self._rows[: self._count]
        self._rows = rows

    def _give_up(self, layout: Layout) -> None:
        """Goes on without a layout; rows that had another one are lost and must be read again."""
        rows = self._rows[: self._count]
        self.lost = not fits(layout, rows[self._checked :])
        begin = BODY_AT - HEADER
        self._single = [row[begin : begin + HEADER + layout.size].tobytes() for row in rows]
        self._layout, self._by_layout, self._count = None, False, 0
        self._rows = np.empty((0, 0), dtype=np.uint8)

    def _add_single(
        self, batch: Batch, starts: NDArray[np.int64], sizes: NDArray[np.int64]
    ) -> None:
        self._memory.take(int(sizes.sum()) + _OVERHEAD * len(sizes), self.channel.topic)
        data = batch.data
        for start, size in zip(starts.tolist(), sizes.tolist(), strict=True):
            self._single.append(bytes(data[start : start + size]))

    def finish(self) -> None:
        """Compares what was not compared yet; call it when all was added."""
        if self._layout is not None and not fits(
            self._layout, self._rows[self._checked : self._count]
        ):
            self.lost = True
        self._checked = self._count

    @property
    def has_layout(self) -> bool:
        """Whether all messages have one layout."""
        return self._layout is not None and not self.lost

    def messages(self) -> Iterator[bytes]:
        """The CDR bytes of the messages, in order, without what stood behind them in a row."""
        if self._layout is not None:
            begin = BODY_AT - HEADER
            end = begin + HEADER + self._layout.size
            for row in self._rows[: self._count]:
                yield row[begin:end].tobytes()
        yield from self._single

    def columns(self, place: str) -> Columns:
        """The fields as arrays.

        Args:
            place: named in an error.

        Raises:
            InputError: an unknown type, or bytes that do not fit it.
        """
        type_name = self.channel.type_name
        log_ns, publish_ns = np.concatenate(self._log), np.concatenate(self._publish)
        if self._layout is None:
            messages = [decode(type_name, data, place) for data in self._single]
            fields = fields_of_messages(type_name, messages)
            return Columns(type_name, log_ns, publish_ns, fields, None)
        try:
            fields = fields_of_rows(self._layout, self._rows[: self._count])
        except UnicodeDecodeError as error:
            raise InputError(
                place, f"holds bytes that are no {type_name}",
                "record the topic again with the type that its publisher uses",
            ) from error  # fmt: skip
        return Columns(type_name, log_ns, publish_ns, fields, self._layout)
