"""Connections are counted, and who never reads is ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from page_serving import Served, run, serving, until

from vla_rl_nodes.operator import slots
from vla_rl_nodes.operator.slots import KEPT, MOST, MOST_OF_ONE, Slot, Slots

ASKS = b"GET /login.css HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class Line(asyncio.Transport):
    """A connection from an address."""

    def __init__(self, who: str) -> None:
        super().__init__()
        self.who, self.aborted = who, False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self.who, 9) if name == "peername" else default

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.aborted = True


def taken(of: Slots, who: str, count: int) -> list[Slot]:
    found = [of.take(Line(who)) for _ in range(count)]
    return [slot for slot in found if slot is not None]


def test_so_many_of_one_and_so_many_of_all() -> None:
    async def scenario() -> None:
        of = Slots()
        first = taken(of, "a", MOST_OF_ONE + 5)
        assert len(first) == MOST_OF_ONE
        line = Line("a")
        assert of.take(line) is None and line.aborted
        second = taken(of, "b", MOST_OF_ONE)
        assert len(first) + len(second) == MOST - KEPT
        assert taken(of, "c", 1) == []  # the last ones are kept
        for slot in first[:2]:
            slot.free()
            slot.free()
        assert of.open["a"] == MOST_OF_ONE - 2
        viewer = taken(of, "c", 1)[0]
        viewer.look()
        viewer.look()
        more = taken(of, "c", MOST)
        assert len(more) == MOST - of.open["a"] - of.open["b"] - 1  # for who looks already
        for slot in (*first, *second, *more, viewer):
            slot.free()
        assert not of.open and not of.looking

    run(scenario)


async def clogged(page: Served, greedy: int) -> list[asyncio.StreamWriter]:
    """Connections that ask and never read, until the server can write no more."""
    host, port = page.address.removeprefix("http://").rstrip("/").split(":")
    lines = []
    for _ in range(greedy):
        _, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        lines.append(writer)
    for _ in range(40):
        for writer in lines:
            writer.write(ASKS * 500)
        await asyncio.sleep(0.01)
    return lines


def test_who_asks_and_never_reads_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "UNREAD_S", 0.5)
    monkeypatch.setattr(slots, "LOOK_S", 0.1)

    async def scenario() -> None:
        async with serving() as page, page.browser() as good:
            lines = await clogged(page, 4)
            await until(lambda: len(page.slots.open) == 1 and page.slots.open.total() <= 2)
            assert (await good.ask(kind="e_stop"))["ok"]
            for writer in lines:
                writer.transport.abort()

    run(scenario)


def test_a_slow_viewer_is_no_reader_that_never_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "UNREAD_S", 0.2)
    monkeypatch.setattr(slots, "LOOK_S", 0.05)

    async def scenario() -> None:
        async with serving() as page, page.browser() as browser:
            since = len(browser.states)
            await until(lambda: len(browser.states) > since + 8)
            assert page.slots.looking.total() == 1
        await until(lambda: not page.slots.looking)

    run(scenario)
