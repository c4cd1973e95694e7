"""Reading, unpacking and checksums on a thread of their own, while their result is used."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

Item = TypeVar("Item")
DEPTH = 2  # items that wait; so four exist: one being made, two waiting, one in use


def ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """The same items in the same order, made by another thread, a few of them ahead.

    What the iterator raises is raised here, behind the items before it. Ending early ends the
    thread, too. With one processor core nothing is gained, and no thread is started.
    """
    if len(os.sched_getaffinity(0)) < 2:
        yield from items
        return
    waiting: queue.Queue[tuple[Item] | BaseException | None] = queue.Queue(DEPTH)
    stopped = threading.Event()

    def run() -> None:
        end: BaseException | None = None
        try:
            for item in items:
                waiting.put((item,))
                if stopped.is_set():
                    break
        except BaseException as error:
            end = error
        finally:
            if isinstance(items, Generator):
                items.close()
            waiting.put(end)

    thread = threading.Thread(target=run, name="bag reader", daemon=True)
    thread.start()
    try:
        while (got := waiting.get()) is not None:
            if isinstance(got, BaseException):
                raise got
            yield got[0]
    finally:
        stopped.set()
        while thread.is_alive():
            with contextlib.suppress(queue.Empty):
                waiting.get(timeout=0.01)
