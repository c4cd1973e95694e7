"""Texts that somebody else says, made fit for one line of a log, a state or a page."""

from __future__ import annotations

LONGEST = 200  # characters


def one_line(text: str) -> str:
    """The text without what is not printable, and not longer than ``LONGEST``."""
    shown = "".join(c if c.isprintable() else " " for c in text[: 10 * LONGEST])
    return " ".join(shown.split())[:LONGEST]
