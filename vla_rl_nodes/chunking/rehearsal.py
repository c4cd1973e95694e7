"""A bundle's first run, in a process of its own: what hangs or crashes there hurts nobody.

``python -m vla_rl_nodes.chunking.rehearsal`` reads one JSON object from its standard input and
answers with one on its standard output.
"""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vla_rl_nodes.errors import InputError

if TYPE_CHECKING:
    from vla_rl_nodes.chunking.opening import Setup
    from vla_rl_nodes.policy.bundle import Bundle

COMMAND = (sys.executable, "-m", "vla_rl_nodes.chunking.rehearsal")
_LOWEST = 19


def rehearse(
    setup: Setup, path: Path, version: str, processor_s: float, command: Sequence[str] = COMMAND
) -> None:
    """Opens a bundle and plans with it in another process, and waits for that.

    Nothing of it comes back but the verdict. A graph can keep a thread for ever or end its
    process, however well it is signed; this process moves a robot.

    Args:
        setup: what to open it with.
        path: the bundle's folder.
        version: that was verified; the other process must find the same.
        processor_s: processor time that it may take. It runs at the lowest priority, so that it
            may take longer by the clock; after ten times as long it is ended in any case.
        command: starts the other process.

    Raises:
        InputError: why the bundle must not run.
    """
    asked = {
        "setup": setup.as_dict(),
        "path": str(path.absolute()),
        "version": version,
        "processor_s": math.ceil(processor_s),
    }
    try:
        done = subprocess.run(
            command, input=json.dumps(asked), capture_output=True, text=True, errors="replace",
            timeout=10.0 * processor_s, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise InputError(
            path,
            f"did not finish its trial run within {10.0 * processor_s:g} s",
            "export it again",
        ) from error
    except OSError as error:
        reason = (error.strerror or "failed").lower()
        raise InputError(path, f"cannot be tried ({reason})", "end other programs") from error
    try:
        refused = json.loads(done.stdout.strip().rpartition("\n")[2])["refused"]
        if refused is None:
            return
        place, problem, remedy = map(str, refused)
    except (ValueError, TypeError, KeyError) as error:
        problem = _end(done.returncode, processor_s)
        raise InputError(path, problem, "export it again") from error
    raise InputError(place, problem, remedy)


def _end(status: int, processor_s: float) -> str:
    if status >= 0:
        return f"ended its trial run with status {status}"
    if status == -signal.SIGXCPU:
        return f"took more than {math.ceil(processor_s)} s of processor time for its trial run"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"ended its trial run with {name}"


def plan_at_every_delay(setup: Setup, path: Path, version: str) -> None:
    """Opens a bundle and asks it for a chunk at every delay.

    Raises:
        InputError: why the bundle must not run.
    """
    # Imported here: this process must have stepped back before it does any work.
    import numpy as np

    from vla_rl_nodes.chunking.opening import Opener
    from vla_rl_nodes.chunking.queue import Request
    from vla_rl_nodes.chunking.strategies.strategy import Job
    from vla_rl_nodes.policy.checked_engine import trial
    from vla_rl_nodes.policy.evidence import unusable

    opener = Opener(setup)
    bundle: Bundle = opener.verify(path)
    if bundle.version != version:
        raise InputError(path, "was changed while it was tried", "write it to a new folder")
    strategy = opener.open(bundle)
    rng = np.random.default_rng(1)
    for delay in range(bundle.contract.action.max_delay + 1):
        observation, prefix = trial(bundle, rng)
        request = Request(delay, 1, 0, 0, delay, prefix.astype(np.float64))
        chunk = strategy.plan(Job(request, 0, observation, delay)).chunk
        problem = unusable(chunk, bundle.contract)
        if problem:
            raise InputError(path, f"{problem} at delay {delay}", "export it again")


def main() -> int:
    """Entry point of the other process."""
    _step_back()
    # Whatever a library prints must not be taken for the answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    asked = json.load(sys.stdin)
    limit = asked["processor_s"]
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
    from vla_rl_nodes.chunking.opening import Setup

    refused = None
    try:
        plan_at_every_delay(Setup(**asked["setup"]), Path(asked["path"]), asked["version"])
    except InputError as error:
        refused = [error.place, error.problem, error.remedy]
    answers.write(json.dumps({"refused": refused}) + "\n")
    answers.flush()
    return 0


def _step_back() -> None:
    """Leaves the robot's processes the machine: lowest priority, first to go without memory."""
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.nice(_LOWEST)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")


if __name__ == "__main__":
    sys.exit(main())
