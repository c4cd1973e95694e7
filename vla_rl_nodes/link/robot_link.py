"""The robot's side of the link on a thread of its own, beside whatever the process does."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from vla_rl_nodes.closable import Closable
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.bandwidth import TokenBucket
from vla_rl_nodes.link.bundle_ledger import BundleLedger
from vla_rl_nodes.link.bundle_watch import BundleWatch, Offer
from vla_rl_nodes.link.client import LearnerClient
from vla_rl_nodes.link.disk_thread import DiskThread
from vla_rl_nodes.link.ledger import Ledger
from vla_rl_nodes.link.protocol import BundleState
from vla_rl_nodes.link.robot_settings import RobotSettings
from vla_rl_nodes.link.robot_tls import robot_context
from vla_rl_nodes.link.uploader import Teller, Uploader
from vla_rl_nodes.policy.trust import trusted_keys

NICE = 10  # the graph comes first
_RATE_S = 5.0
_LOOK_S = 0.5
_PATIENCE_S = 2.0


@dataclass(frozen=True)
class LinkStatus:
    """What the bridge says of itself.

    Attributes:
        connection: ``not tried``, ``up`` or ``down``.
        waiting: episodes on this disk that the learner has not stored.
        waiting_bytes: of them.
        held: those of them that were refused or are damaged.
        oldest_ns: log time at which the oldest of them ended; 0 for none.
        stored: episodes that are stored and still on this disk.
        stored_bytes: of them.
        unfit: bags that cannot be sent as they are.
        bytes_per_s: sent in the last seconds.
        full: whether more waits than ``max_bytes``.
        last_error: the last thing that went wrong, in one line; empty where nothing did.
    """

    connection: str = "not tried"
    waiting: int = 0
    waiting_bytes: int = 0
    held: int = 0
    oldest_ns: int = 0
    stored: int = 0
    stored_bytes: int = 0
    unfit: int = 0
    bytes_per_s: float = 0.0
    full: bool = False
    last_error: str = ""


class RobotLink(Closable):
    """Uploads, deletes and fetches until it is closed.

    Every file that it needs is checked here, so that what is wrong is told before it starts.

    Args:
        settings: of the robot.
        teller: told, from the link's thread, what a person should know.
        offer: called there with each bundle that passed every check, see :class:`BundleWatch`.
        failed: called there once with one line when the thread ends by a fault of its own.

    Raises:
        InputError: a certificate, the ledger, the contract or the keys are not usable.
    """

    def __init__(
        self,
        settings: RobotSettings,
        teller: Teller,
        offer: Offer,
        failed: Callable[[str], None],
    ) -> None:
        self._settings, self._teller, self._offer = settings, teller, offer
        self._failed = failed
        self._tls = robot_context(settings.certificates)
        takes = settings.bundles.take != "never"
        self._contract = load_contract(settings.bundles.contract) if takes else None
        self._keys = trusted_keys(settings.bundles.trusted_keys) if takes else []
        self._ledger = Ledger(settings.ledger)
        self._status = LinkStatus()
        self._uploader: Uploader | None = None
        self._watch: BundleWatch | None = None
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()  # the loop itself keeps no task alive
        self._thread = threading.Thread(target=self._run, name="robot link", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        if self._ledger.repaired:
            self._teller.say(self._ledger.repaired)
        self._thread.start()

    @property
    def status(self) -> LinkStatus:
        """As of about half a second ago at most; from any thread."""
        return self._status

    def wake(self) -> None:
        """An episode may have been closed; from any thread."""
        self._in_loop(lambda: self._uploader.wake() if self._uploader is not None else None)

    def bundle_happened(
        self, version: str, state: BundleState, reason: str, held: set[str]
    ) -> None:
        """See :meth:`BundleWatch.happened`; from any thread."""

        def tell() -> None:
            if self._watch is not None:
                task = self._loop.create_task(self._watch.happened(version, state, reason, held))
                self._telling.add(task)
                task.add_done_callback(self._told)

        self._in_loop(tell)

    def close(self) -> None:
        """Breaks off what is in progress, which goes on from there at the next start."""
        if self._thread.ident is None:
            self._loop.close()
        else:
            self._in_loop(lambda: self._task.cancel() if self._task is not None else False)
            self._thread.join(_PATIENCE_S)
        if not self._thread.is_alive():
            self._ledger.close()

    def _told(self, task: asyncio.Task[None]) -> None:
        self._telling.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._teller.say(task.exception())

    async def _end_telling(self) -> None:
        for task in self._telling:
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)

    def _in_loop(self, call: Callable[[], object]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)

    def _run(self) -> None:
        # Of this thread and of those that it starts, not of the whole process.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        asyncio.set_event_loop(self._loop)
        try:
            self._task = self._loop.create_task(self._main())
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            return
        except BaseException as error:
            group = error
            while isinstance(group, BaseExceptionGroup):
                group = group.exceptions[0]
            line = " ".join(f"{type(group).__name__}: {group}".split())
            self._failed(f"robot link: fails ({line}); report this")
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    async def _main(self) -> None:
        settings = self._settings
        bucket = TokenBucket(settings.upload.bytes_per_s)
        client = LearnerClient(settings.learner, self._tls, settings.upload.patience_s, bucket)
        async with AsyncExitStack() as stack:
            disk = stack.enter_context(DiskThread())
            stack.push_async_callback(self._end_telling)
            await stack.enter_async_context(client)
            async with asyncio.TaskGroup() as tasks:
                self._uploader = Uploader(settings, client, self._ledger, disk, self._teller)
                tasks.create_task(self._uploader.run())
                tasks.create_task(self._account(self._uploader, client, disk))
                if self._contract is not None:
                    self._watch = BundleWatch(
                        settings, self._contract, self._keys, client,
                        BundleLedger(self._ledger), disk, self._teller, self._offer,
                    )  # fmt: skip
                    tasks.create_task(self._watch.run())

    async def _account(self, uploader: Uploader, client: LearnerClient, disk: DiskThread) -> None:
        """Keeps the status up to date."""
        samples: deque[tuple[float, int]] = deque()
        while True:
            now = time.monotonic()
            samples.append((now, client.sent_bytes))
            while now - samples[0][0] > _RATE_S:
                samples.popleft()
            elapsed = now - samples[0][0]
            rate = (client.sent_bytes - samples[0][1]) / elapsed if elapsed > 0 else 0.0
            status = LinkStatus(
                connection=uploader.connection, unfit=len(uploader.unfit),
                bytes_per_s=rate, last_error=uploader.last_error,
            )  # fmt: skip
            try:
                totals = await disk(self._ledger.totals)
                status = replace(
                    status, waiting=totals.waiting, waiting_bytes=totals.waiting_bytes,
                    held=totals.held, oldest_ns=totals.oldest_ns, stored=totals.stored,
                    stored_bytes=totals.stored_bytes,
                    full=totals.waiting_bytes > self._settings.disk.max_bytes,
                )  # fmt: skip
            except InputError as error:
                status = replace(self._status, last_error=str(error))
            self._status = status
            await asyncio.sleep(_LOOK_S)
