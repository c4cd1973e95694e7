"""Tokens, sessions, and how long a wrong token keeps its sender waiting."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.operator.access import (
    FORGOTTEN_S,
    LONGEST_DELAY_S,
    MOST_ADDRESSES,
    Access,
)

TOKEN = b"a" * 40


def test_without_a_token_everybody_comes_in() -> None:
    assert Access(None, 60.0).try_token("", "1.2.3.4", 0.0).taken


def test_a_wrong_token_makes_its_address_wait_longer_and_longer() -> None:
    access, now, waits = Access(TOKEN, 60.0), 100.0, []
    for _ in range(9):
        verdict = access.try_token("b" * 40, "1.2.3.4", now)
        assert not verdict.taken
        waits.append(verdict.wait_s)
        # Too early, even the right one is not looked at; another address is.
        early = access.try_token(TOKEN.decode(), "1.2.3.4", now + verdict.wait_s / 2)
        assert not early.taken and 0 < early.wait_s < verdict.wait_s
        assert access.try_token(TOKEN.decode(), "1.2.3.5", now).taken
        now += verdict.wait_s
    assert waits == sorted(waits) and waits[0] == 1.0 and waits[3] == 8.0
    assert waits[-1] == LONGEST_DELAY_S
    assert access.try_token(TOKEN.decode(), "1.2.3.4", now).taken
    assert access.try_token("no", "1.2.3.4", now).wait_s == 1.0  # counted from the start again


def test_wrong_tokens_are_forgotten_after_an_hour() -> None:
    access = Access(TOKEN, 60.0)
    access.try_token("no", "1.2.3.4", 0.0)
    assert access.try_token("no", "1.2.3.4", 2.0 + FORGOTTEN_S).wait_s == 1.0


def test_addresses_of_one_network_wait_together_and_do_not_fill_the_memory() -> None:
    access = Access(TOKEN, 60.0)
    access.try_token("no", "2001:db8::1", 0.0)
    assert access.try_token(TOKEN.decode(), "2001:db8::2", 0.5).wait_s == 0.5
    for number in range(2 * MOST_ADDRESSES):
        access.try_token("no", f"10.0.{number // 256}.{number % 256}", 0.0)
    assert len(access._tries) == MOST_ADDRESSES


def test_a_session_lasts_and_ends() -> None:
    access = Access(TOKEN, 60.0)
    text = access.session(1000.0)
    assert access.session_holds(text, 1059.0) and not access.session_holds(text, 1060.5)
    assert Access(TOKEN, 60.0).session_holds(text, 1059.0)  # after a restart
    assert not Access(b"b" * 40, 60.0).session_holds(text, 1059.0)
    assert not Access(None, 60.0).session_holds(text, 1059.0)
    assert TOKEN.decode() not in text and access.session(1000.0) != text


@given(st.text(max_size=80))
def test_no_other_text_is_a_session(text: str) -> None:
    access = Access(TOKEN, 60.0)
    assert not access.session_holds(text, 0.0)
    real = access.session(1000.0)
    head, _, tail = real.partition(".")
    assert not access.session_holds(f"{int(head) + 1}.{tail}", 1000.0)


@given(st.text(max_size=100))
def test_no_other_text_is_the_token(text: str) -> None:
    assert Access(TOKEN, 60.0).try_token(text, "1.2.3.4", 0.0).taken == (text == TOKEN.decode())


def test_a_session_that_was_ended_is_over_and_others_are_not() -> None:
    access = Access(b"t" * 40, 100.0)
    one, other = access.session(1000.0), access.session(1000.0)
    access.end_session(one, 1001.0)
    access.end_session("nonsense", 1001.0)
    assert not access.session_holds(one, 1001.0) and access.session_holds(other, 1001.0)
