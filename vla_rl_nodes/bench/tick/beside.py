"""Processes that run beside a measurement and end with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from vla_rl_nodes.closable import Closable
from vla_rl_nodes.errors import InputError

_PATIENCE_S = 10.0


class Beside(Closable):
    """A module of this package as a process, its output in a log file.

    Args:
        module: name within ``vla_rl_nodes.bench.tick``.
        arguments: of its command line.
        folder: gets ``<module>.log``.
    """

    def __init__(self, module: str, arguments: Sequence[object], folder: Path) -> None:
        self._module = module
        self._log = folder / f"{module}.log"
        environment = dict(os.environ)
        # Hidden worker threads of a library would be more than the one busy process.
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            environment.setdefault(variable, "1")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-m", f"vla_rl_nodes.bench.tick.{module}",
                    *(str(argument) for argument in arguments),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )  # fmt: skip

    def check(self) -> None:
        """Refuses to go on when the process has ended.

        Raises:
            InputError: with the last line that it wrote.
        """
        if self._process.poll() is not None:
            raise self._ended()

    def wait(self, timeout_s: float) -> None:
        """Waits for the process's orderly end.

        Raises:
            InputError: it failed, or did not end in time.
        """
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise InputError(
                f"bench {self._module}", f"did not end within {timeout_s:g} s ({self._last()})",
                "measure on a less busy machine",
            ) from error  # fmt: skip
        if self._process.returncode:
            raise self._ended()

    def close(self) -> None:
        """Interrupts the process, waits, and kills it when it does not end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _ended(self) -> InputError:
        return InputError(
            f"bench {self._module}",
            f"ended with status {self._process.returncode} ({self._last()})",
            "run vla-rl doctor",
        )

    def _last(self) -> str:
        lines = self._log.read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "no output")
