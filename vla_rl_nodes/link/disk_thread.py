"""One thread for everything that touches the disk, so that the event loop never waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from vla_rl_nodes.closable import Closable

P = ParamSpec("P")
R = TypeVar("R")


class DiskThread(Closable):
    """Runs calls one after the other, in the order in which they were asked for.

    What only this thread uses, such as the ledger, needs no lock.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="link disk")

    async def __call__(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What a call gives, awaited; a call must be short, because stopping waits for it."""
        future = self._executor.submit(call, *args, **kwargs)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Waits for the call in progress and drops those that have not begun."""
        self._executor.shutdown(wait=True, cancel_futures=True)
