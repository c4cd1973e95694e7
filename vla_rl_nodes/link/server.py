"""The learner as a server: robots bring episodes and fetch policies."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from aiohttp import web

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.blobs import Blobs
from vla_rl_nodes.link.bundle_shelf import BundleShelf, known_contracts
from vla_rl_nodes.link.bundles_api import BundlesApi
from vla_rl_nodes.link.checker import Checker
from vla_rl_nodes.link.connection import Connections
from vla_rl_nodes.link.disk_thread import DiskThread
from vla_rl_nodes.link.episodes_api import EpisodesApi
from vla_rl_nodes.link.events import tell
from vla_rl_nodes.link.identity import learner_context
from vla_rl_nodes.link.inbox_process import InboxProcess
from vla_rl_nodes.link.records import Records
from vla_rl_nodes.link.recovery import recover
from vla_rl_nodes.link.requests import gate, outermost
from vla_rl_nodes.link.settings import SettingsFile
from vla_rl_nodes.link.uploads import Uploads
from vla_rl_nodes.policy.trust import trusted_keys

_LOOK_S = 0.5  # between looks at learner.yaml and at the bundles
_SWEEP_S = 3600.0
_HANDSHAKE_S = 10.0
_ENDING_S = 15.0  # for requests that are being answered when the learner is told to end
_BACKLOG = 256


def serve(path: Path, listening: Callable[[str, int], None]) -> None:
    """Runs the learner until it is told to end (SIGTERM, SIGINT); SIGHUP reads the file again.

    Args:
        path: learner.yaml.
        listening: told host and port when robots may come.

    Raises:
        InputError: the settings, a certificate, the folder or the address cannot be used, or
            another learner uses the folder.
    """
    asyncio.run(_serve(SettingsFile(path), listening))


async def _serve(file: SettingsFile, listening: Callable[[str, int], None]) -> None:
    loop = asyncio.get_running_loop()
    ending, again = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    loop.add_signal_handler(signal.SIGHUP, again.set)
    async with AsyncExitStack() as stack:
        learner = await _open(file, stack)
        socket_server = await _listen(file, learner, stack)
        host, port = socket_server.sockets[0].getsockname()[:2]
        tell(f"learner '{file.current.learner}' listens on {host} port {port}")
        listening(host, port)
        tasks = [
            asyncio.create_task(learner.watch(again)),
            asyncio.create_task(learner.sweep()),
            asyncio.create_task(ending.wait()),
        ]
        if learner.inbox is not None:
            tasks.append(asyncio.create_task(learner.inbox.run()))
        done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        tell("learner ends")
        socket_server.close()
        learner.bundles.close()
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for task in done:
            task.result()


class _Learner:
    """What serves, and what runs beside it."""

    def __init__(
        self,
        file: SettingsFile,
        uploads: Uploads,
        shelf: BundleShelf | None,
        episodes: EpisodesApi,
        bundles: BundlesApi,
        inbox: InboxProcess | None,
    ) -> None:
        self._file, self._uploads, self._shelf = file, uploads, shelf
        self.bundles, self.inbox = bundles, inbox
        self.application = web.Application(middlewares=[gate(lambda: file.current, tell)])
        self.application.add_routes([*episodes.routes(), *bundles.routes()])

    async def watch(self, again: asyncio.Event) -> None:
        """Follows learner.yaml and the folder of bundles."""
        while True:
            line = await asyncio.to_thread(self._file.reload, again.is_set())
            again.clear()
            if line is not None:
                tell(line)
                if self._shelf is not None:
                    self._shelf.wake()
            if self._shelf is not None:
                await self._shelf.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await again.wait()

    async def sweep(self) -> None:
        """Forgets uploads that nobody goes on with."""
        while True:
            await self._uploads.forget_old()
            await asyncio.sleep(_SWEEP_S)


async def _open(file: SettingsFile, stack: AsyncExitStack) -> _Learner:
    """Everything but the socket, after the folder was put in order."""
    settings = file.current
    folder = settings.folder
    stack.callback(os.close, await asyncio.to_thread(_lock, folder))
    blobs = Blobs(folder)
    database = DiskThread()
    stack.callback(database.close)
    records = await database(Records, folder)
    stack.push_async_callback(database, records.close)
    await database(recover, blobs, records, tell)
    checker = Checker(settings.verify_s)
    stack.push_async_callback(checker.close)
    uploads = Uploads(blobs, records, database, checker, lambda: file.current, tell)
    await uploads.load()
    shelf = None
    if settings.bundles is not None:
        shelf = BundleShelf(
            settings.bundles,
            folder / "bundles",
            known_contracts(settings.contract_files),
            trusted_keys(settings.trusted_keys),
            tell,
        )
    inbox = None if settings.store is None else InboxProcess(file.path, tell)
    return _Learner(
        file,
        uploads,
        shelf,
        EpisodesApi(uploads, blobs, lambda: file.current),
        BundlesApi(shelf, records, database, lambda: file.current, tell),
        inbox,
    )


async def _listen(file: SettingsFile, learner: _Learner, stack: AsyncExitStack) -> asyncio.Server:
    settings = file.current
    runner = web.AppRunner(
        learner.application, handle_signals=False, shutdown_timeout=_ENDING_S, access_log=None
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    assert runner.server is not None
    runner.server.request_handler = outermost(runner.server.request_handler, tell)
    connections = Connections(runner.server, settings.patience_s, tell)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_unasked)
    where = settings.listen
    try:
        return await loop.create_server(
            connections,
            where.host,
            where.port,
            ssl=learner_context(settings.certificates, tell),
            ssl_handshake_timeout=_HANDSHAKE_S,
            ssl_shutdown_timeout=_HANDSHAKE_S,
            backlog=_BACKLOG,
        )
    except OSError as error:
        if isinstance(error, InputError):
            raise
        reason = (error.strerror or "failed").lower()
        raise InputError(
            f"{where.host} port {where.port}", f"cannot be listened on ({reason})",
            "free the port, or change listen in learner.yaml",
        ) from error  # fmt: skip


def _lock(folder: Path) -> int:
    """Keeps a second learner out of a folder; held until the descriptor is closed."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(folder / "learner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        reason = (error.strerror or "failed").lower()
        raise InputError(folder, f"cannot be written ({reason})", "check the folder") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise InputError(folder, "is served by another learner", "end that one first") from error
    return handle


def _unasked(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What goes wrong outside of any request, such as a handshake."""
    error = context.get("exception")
    said = f"{type(error).__name__}: {error}" if error is not None else context.get("message", "")
    tell(f"connection: {' '.join(str(said).split())[:200]}")
