"""What a command's sender is told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """Whether it was done, and one line."""

    ok: bool
    text: str
