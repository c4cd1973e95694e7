"""What a reset that succeeded says of itself: ``mode=start attempts=1 seconds=3.2``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vla_rl_nodes.errors import InputError

_ANSWER = re.compile(
    r"mode=([a-z][a-z_]{0,39}) attempts=(\d{1,4}) seconds=(\d{1,6}(?:\.\d{1,6})?)"
)


@dataclass(frozen=True)
class ResetAnswer:
    """How the reset was done, in how many attempts, and how long it took in seconds."""

    mode: str
    attempts: int
    seconds: float


def reset_answer(text: str) -> ResetAnswer:
    """The answer of ``reset/request``, exactly as it must be written.

    Raises:
        InputError: another text.
    """
    found = _ANSWER.fullmatch(text)
    if found is None:
        raise InputError(
            "reset/request",
            f"answered '{text[:80]}'",
            "answer mode=<name> attempts=<n> seconds=<s>",
        )
    mode, attempts, seconds = found.groups()
    return ResetAnswer(mode, int(attempts), float(seconds))
