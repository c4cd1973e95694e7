"""A robot's uploader as a process that can be killed: its settings file is the only argument."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.robot_link import RobotLink
from vla_rl_nodes.link.robot_settings import load_robot_settings

READY = "running"
_LOOK_S = 0.2


class Printed:
    """Every line, with the time on the clock that all processes share."""

    def say(self, line: object, kind: str | None = None) -> None:
        print(f"{time.monotonic():.3f} {line}", flush=True)


def main(arguments: list[str]) -> int:
    """Runs until it is told to end or its starter is gone."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    starter = os.getppid()
    faults: list[str] = []

    def failed(line: str) -> None:
        faults.append(line)
        ended.set()

    printed = Printed()
    try:
        link = RobotLink(load_robot_settings(Path(arguments[0])), printed, lambda *_: None, failed)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    with link:
        link.start()
        printed.say(READY)
        while not ended.wait(_LOOK_S) and os.getppid() == starter:
            pass
    for line in faults:
        print(line, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
