"""The process that checks episodes, kept by the learner: one episode at a time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path

from vla_rl_nodes.errors import InputError


class UncheckedError(Exception):
    """The check came to no answer; the episode may be good."""


class Checker:
    """Starts the process when it is first needed, and again when it has died or is late.

    Its end of a pipe breaks when the learner dies, however that happens, and then it ends, too.

    Args:
        seconds: that the check of one episode may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def check(self, file: Path, manifest: bytes) -> None:
        """See :func:`~vla_rl_nodes.link.episode_check.check_episode`.

        Raises:
            InputError: the file is not what its manifest promises.
            UncheckedError: no answer.
        """
        task = json.dumps({"file": str(file), "manifest": manifest.decode()})
        async with self._turn:
            try:
                async with asyncio.timeout(self._seconds):
                    answer = json.loads(await self._ask(task.encode() + b"\n"))
            except BaseException as error:
                await self._end()  # behind a late or broken answer the next is told apart
                if isinstance(error, TimeoutError):
                    raise UncheckedError(f"no answer within {self._seconds:g} s") from error
                if isinstance(error, (OSError, ValueError)):
                    raise UncheckedError("the checking process died") from error
                raise
        if answer is not None:
            raise InputError(*answer)

    async def close(self) -> None:
        """Ends the process."""
        await self._end()

    async def _ask(self, task: bytes) -> bytes:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "vla_rl_nodes.link.episode_check",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is the learner's to answer
            )  # fmt: skip
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(task)
        await self._process.stdin.drain()
        return await self._process.stdout.readline()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
