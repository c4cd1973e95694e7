"""Recorded messages as they lie in one block of bytes, whatever the storage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError

LARGEST_BLOCK = 1 << 30  # of what is unpacked at once: a packed length may claim anything
LATEST_NS = (1 << 63) - 1


class Channel(NamedTuple):
    """What a storage's channel carries; ``encoding`` of its messages, such as ``cdr``."""

    topic: str
    type_name: str
    encoding: str


class RawMessage(NamedTuple):
    """One recorded message: its CDR bytes as they came. Times in nanoseconds."""

    topic: str
    type_name: str
    log_time_ns: int
    publish_time_ns: int
    sequence: int
    data: bytes


@dataclass(frozen=True)
class Batch:
    """Messages in the order in which they were written; all arrays are int64 [n].

    Attributes:
        data: the block; it may be overwritten when later batches are read.
        starts: where each message's CDR begins in it.
        sizes: bytes of each message's CDR.
        channels: keys of ``table``.
        log_ns: log times, nanoseconds, none negative.
        publish_ns: publish times, nanoseconds, none negative.
        sequences: sequence numbers.
        table: the channels of the file.
        progress: share of the file that is read with this batch, in (0, 1].
    """

    data: bytes | memoryview
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    channels: NDArray[np.int64]
    log_ns: NDArray[np.int64]
    publish_ns: NDArray[np.int64]
    sequences: NDArray[np.int64]
    table: Mapping[int, Channel]
    progress: float

    def __len__(self) -> int:
        return len(self.starts)

    def select(self, which: slice | NDArray[np.intp]) -> Batch:
        """Only some of the messages."""
        return replace(
            self,
            starts=self.starts[which],
            sizes=self.sizes[which],
            channels=self.channels[which],
            log_ns=self.log_ns[which],
            publish_ns=self.publish_ns[which],
            sequences=self.sequences[which],
        )

    def parts(self) -> Iterator[tuple[Channel, NDArray[np.intp]]]:
        """Every channel with messages here, and which of the messages are its own.

        Raises:
            InputError: a channel whose messages are not CDR.
            KeyError: a channel that was never declared.
        """
        for number in dict.fromkeys(self.channels.tolist()):
            channel = self.table[number]
            if channel.encoding != "cdr":
                raise InputError(
                    channel.topic,
                    f"is encoded as {channel.encoding or 'nothing'}, not cdr",
                    "record it with ROS 2's default serialisation",
                )
            yield channel, (self.channels == number).nonzero()[0]

    def messages(self) -> Iterator[RawMessage]:
        """The messages one by one."""
        for number, start, size, log, publish, sequence in zip(
            self.channels.tolist(), self.starts.tolist(), self.sizes.tolist(),
            self.log_ns.tolist(), self.publish_ns.tolist(), self.sequences.tolist(), strict=True,
        ):  # fmt: skip
            topic, type_name, _ = self.table[number]
            data = bytes(self.data[start : start + size])
            yield RawMessage(topic, type_name, log, publish, sequence, data)
