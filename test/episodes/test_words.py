from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.episodes.words import LONGEST, one_line


@given(st.text())
def test_any_text_becomes_one_short_line(text: str) -> None:
    line = one_line(text)
    assert line.isprintable() and len(line) <= LONGEST and line == line.strip()


def test_words_stay() -> None:
    assert one_line(" der rote\n Würfel\x00 ") == "der rote Würfel"
