"""What carries messages to a server and back."""

from __future__ import annotations

from typing import Protocol

from vla_rl_nodes.errors import InputError


class Link(Protocol):
    """One connection. An error leaves it closed: an answer that comes late is never read."""

    def open(self) -> bytes | None:
        """Connects. Returns what the server says of itself, or None where it says nothing.

        Raises:
            InputError: the server cannot be reached or does not speak the protocol.
        """

    def exchange(self, request: bytes, seconds: float) -> bytes:
        """Sends a request and gives its answer, within ``seconds`` altogether.

        Raises:
            InputError: no whole answer in time, one over the size cap, or a refusal.
        """

    def close(self) -> None:
        """Ends the connection; may be called twice."""


def late(place: object, seconds: float) -> InputError:
    """The deadline has passed."""
    return InputError(place, f"gave no answer within {seconds:g} s", "look at the server's load")


def oversized(place: object, largest: int) -> InputError:
    """The answer is over the cap."""
    return InputError(place, f"answered with more than {largest} bytes", "check what serves there")


def unreachable(place: object, error: Exception) -> InputError:
    """No connection, or one that broke."""
    reason = plain(str(getattr(error, "strerror", None) or error)).lower()
    return InputError(
        place, f"cannot be reached ({reason or type(error).__name__})", "start the server there"
    )


def refused(place: object, said: str) -> InputError:
    """The server answered that it cannot."""
    last = plain(said) or "without a word"
    return InputError(place, f"refused the request ({last})", "read the server's log")


def plain(said: str) -> str:
    """The last line of what a server said, short and without control characters."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return "".join(c for c in (lines[-1] if lines else "") if c.isprintable())[:160]
