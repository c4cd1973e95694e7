"""The busy Python process beside the node under test: arithmetic until its starter is gone."""

from __future__ import annotations

import os


def turn(state: int, steps: int = 200_000) -> int:
    """Some tens of milliseconds of pure-Python arithmetic (a linear congruential generator)."""
    for _ in range(steps):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
    return state


def main() -> None:
    """Keeps a core busy; ends by itself when the process that started it has ended."""
    starter, state = os.getppid(), 1
    while os.getppid() == starter:
        state = turn(state)


if __name__ == "__main__":
    main()
