"""What a server says, in one plain line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.remote import link


@given(st.text())
def test_whatever_it_says_stays_one_short_printable_line(said: str) -> None:
    for error in (link.refused("ws://a", said), link.unreachable("ws://a", OSError(said))):
        assert str(error).isprintable() and len(str(error)) < 300


def test_the_last_line_of_a_traceback_is_told() -> None:
    error = link.refused("ws://a", "Traceback:\n  line 1\nValueError: no weights\n\n")
    assert (
        str(error) == "ws://a: refused the request (ValueError: no weights); read the server's log"
    )


def test_an_error_without_words_is_named() -> None:
    assert "(ConnectionResetError)" in str(link.unreachable("ws://a", ConnectionResetError()))
