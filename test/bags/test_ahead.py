from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from vla_rl_nodes.bags.ahead import DEPTH, ahead


def readers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "bag reader"]


def test_items_come_in_order() -> None:
    assert list(ahead(iter(range(500)))) == list(range(500))
    assert not readers()


def test_errors_come_behind_the_items_before_them() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("here")

    got: list[int] = []
    with pytest.raises(KeyError, match="here"):
        got.extend(ahead(items()))
    assert got == [1, 2]
    assert not readers()


def test_only_a_few_items_are_made_ahead_and_an_early_end_closes_the_iterator() -> None:
    made: list[int] = []
    enough, closed = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        try:
            for number in range(1000):
                made.append(number)
                if len(made) == DEPTH + 2:
                    enough.set()
                yield number
        finally:
            closed.set()

    stream = ahead(items())
    assert next(stream) == 0
    assert enough.wait(10.0)
    stream.close()
    assert closed.is_set() and not readers()
    assert DEPTH + 2 <= len(made) <= DEPTH + 4


def test_one_core_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    seen = [threading.get_ident() for _ in ahead(iter(range(3)))]
    assert set(seen) == {threading.get_ident()}

    def where() -> Iterator[int]:
        yield threading.get_ident()

    assert list(ahead(where())) == [threading.get_ident()]
