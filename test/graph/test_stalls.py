"""The watcher of the machine is itself watched: it must neither miss a stall nor invent one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from . import stalls

pytestmark = pytest.mark.alone


def test_the_longest_overlapping_one_counts(tmp_path: Path) -> None:
    file = tmp_path / "stalls.txt"
    file.write_text("10.000 10.200\n20.000 20.500\n30.000 30.900\n", encoding="ascii")
    assert stalls.longest(file, 10.1, 20.1) == pytest.approx(0.5)
    assert stalls.longest(file, 5.0, 10.0) == 0.0
    assert stalls.longest(file, 10.3, 19.0) == 0.0
    assert stalls.longest(file, 0.0, 99.0) == pytest.approx(0.9)


def test_a_watcher_that_is_kept_from_waking_says_so(tmp_path: Path) -> None:
    file = tmp_path / "stalls.txt"
    file.touch()
    watcher = subprocess.Popen([sys.executable, stalls.__file__, str(file)])
    try:
        deadline = time.monotonic() + 20.0
        since = time.monotonic()
        while stalls.longest(file, since, time.monotonic()) < 2.0 * stalls.STALL_S:
            assert time.monotonic() < deadline, "no stall was written"
            since = time.monotonic()
            os.kill(watcher.pid, signal.SIGSTOP)
            time.sleep(3.0 * stalls.STALL_S)  # the stall itself
            os.kill(watcher.pid, signal.SIGCONT)
            time.sleep(stalls.STALL_S)
    finally:
        watcher.kill()
        watcher.wait()
