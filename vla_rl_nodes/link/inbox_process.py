"""The process that fills the episode store: torch and its store stay out of the server's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.settings import load_learner_settings

_RESTART_S = 2.0
_ENDING_S = 5.0


class InboxProcess:
    """Keeps the process running; its lines come out as the learner's.

    Args:
        settings: path of learner.yaml.
        log: told when it ends unasked.
    """

    def __init__(self, settings: Path, log: Callable[[str], None]) -> None:
        self._settings, self._log = settings, log

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "vla_rl_nodes.link.inbox_process", str(self._settings),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
            try:
                status = await process.wait()
            finally:
                await _end(process)
            self._log(f"store: its process ended with status {status}; started again")
            await asyncio.sleep(_RESTART_S)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_ENDING_S):
            await process.wait()
    except TimeoutError:  # nothing is lost by it
        process.kill()
        await process.wait()


def _die_with_learner() -> None:
    """Ends this process when the pipe from the learner does, however that died."""
    while os.read(0, 1):
        pass
    os._exit(0)


def main() -> None:
    """Runs beside the learner that holds the other end of stdin; takes learner.yaml's path."""
    threading.Thread(target=_die_with_learner, daemon=True).start()
    try:
        _take_in(Path(sys.argv[1]))
    except (InputError, ImportError) as error:
        if isinstance(error, ImportError):
            error = InputError(
                "store", f"{error.name} is not installed", "install vla_rl_nodes[learner]"
            )
        print(f"store: {error}", file=sys.stderr, flush=True)
        time.sleep(_RESTART_S)
        sys.exit(2)


def _take_in(path: Path) -> None:
    from vla_rl_nodes.link.events import tell
    from vla_rl_nodes.link.inbox import Inbox, run_inbox
    from vla_rl_nodes.link.records import Records
    from vla_rl_nodes.replay.store.store import EpisodeStore

    settings = load_learner_settings(path)
    if settings.store is None:
        raise InputError(path, "names no store", "start the learner again")
    records = Records(settings.folder)
    with EpisodeStore(settings.store, writable=True) as store:
        run_inbox(Inbox(settings.folder, records, store, tell))


if __name__ == "__main__":
    main()
