from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.episodes.reset_answer import ResetAnswer, reset_answer
from vla_rl_nodes.errors import InputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mode=start attempts=1 seconds=3.2", ResetAnswer("start", 1, 3.2)),
        ("mode=demo_replay attempts=12 seconds=40", ResetAnswer("demo_replay", 12, 40.0)),
    ],
)
def test_what_a_reset_says(text: str, expected: ResetAnswer) -> None:
    assert reset_answer(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "seed 7", "mode=start attempts=1", "mode=Start attempts=1 seconds=1",
     "mode=start attempts=-1 seconds=1", "mode=start attempts=1 seconds=nan",
     "mode=start attempts=1 seconds=1e9", " mode=start attempts=1 seconds=1",
     "mode=start attempts=1 seconds=1 more=2", "mode=start attempts=1 seconds=1\n",
     "attempts=1 mode=start seconds=1", "mode=start attempts=99999 seconds=1"],
)  # fmt: skip
def test_anything_else_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError) as caught:
        reset_answer(text)
    assert "answer mode=<name> attempts=<n> seconds=<s>" in str(caught.value)


@given(st.text(max_size=60))
def test_no_text_is_a_traceback(text: str) -> None:
    try:
        reset_answer(text)
    except InputError:
        return
    assert text.startswith("mode=")
