"""How many connections there may be, of whom, and when one that nobody reads from is ended."""

from __future__ import annotations

import asyncio
from collections import Counter

MOST = 128
MOST_OF_ONE = 48
KEPT = 32  # of them for addresses that look at the page already
UNREAD_S = 10.0
LOOK_S = 1.0


class Slots:
    """Counts connections by the address that they come from."""

    def __init__(self) -> None:
        self.open: Counter[str] = Counter()
        self.looking: Counter[str] = Counter()
        self.taken: set[Slot] = set()

    def take(self, transport: asyncio.BaseTransport) -> Slot | None:
        """A slot for a connection; one too many is ended."""
        assert isinstance(transport, asyncio.Transport)
        peer = transport.get_extra_info("peername")
        owner = str(peer[0]) if peer else ""
        if self.is_full(owner):
            transport.abort()
            return None
        return Slot(self, owner, transport)

    def end(self) -> None:
        """Ends all connections that are still there."""
        for slot in list(self.taken):
            slot.end()

    def is_full(self, who: str) -> bool:
        """Whether one more of an address is too many."""
        most = MOST if self.looking[who] else MOST - KEPT
        return self.open[who] >= MOST_OF_ONE or self.open.total() >= most


class Slot:
    """One connection's; it is ended when its answers are not read for :data:`UNREAD_S`.

    Args:
        slots: that it is of.
        owner: address.
        transport: of TCP itself, whatever is spoken over it.
    """

    def __init__(self, slots: Slots, owner: str, transport: asyncio.Transport) -> None:
        self._slots, self._owner, self._transport = slots, owner, transport
        self._looks = self._free = False
        self._loop = asyncio.get_running_loop()
        self._read_s = self._loop.time()
        self._timer = self._loop.call_later(LOOK_S, self._look)
        slots.open[owner] += 1
        slots.taken.add(self)

    def look(self) -> None:
        """A WebSocket is spoken now, whose feeds see to slow viewers themselves."""
        if not self._looks:
            self._looks = True
            self._slots.looking[self._owner] += 1

    def free(self) -> None:
        """The connection is over."""
        if self._free:
            return
        self._free = True
        self._timer.cancel()
        self._slots.taken.discard(self)
        _less(self._slots.open, self._owner)
        if self._looks:
            _less(self._slots.looking, self._owner)

    def end(self) -> None:
        """Ends the connection at once."""
        self._transport.abort()

    def _look(self) -> None:
        now_s = self._loop.time()
        if self._looks or not self._transport.get_write_buffer_size():
            self._read_s = now_s
        if now_s - self._read_s > UNREAD_S:
            self.end()
            return
        self._timer = self._loop.call_later(LOOK_S, self._look)


def _less(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
