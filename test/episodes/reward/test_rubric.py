"""Answers of 1 to 5, strictly read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.episodes.reward.rubric import Scored, parse_answer
from vla_rl_nodes.errors import InputError


@pytest.mark.parametrize("score", range(1, 6))
def test_a_score_alone(score: int) -> None:
    assert parse_answer("s", f"ANSWER: {score}") == Scored(score)
    assert parse_answer("s", f"ANSWER: {score} \n\n") == Scored(score)


def test_what_stands_before_is_the_critique_as_it_is() -> None:
    text = "  The cube\tslipped –\n\noff “the edge”. \nANSWER: 2"
    assert parse_answer("s", text) == Scored(2, "  The cube\tslipped –\n\noff “the edge”. ")


@pytest.mark.parametrize(
    "text",
    [
        "", "ANSWER:", "ANSWER: 0", "ANSWER: 6", "ANSWER: 10", "ANSWER: 4.5", "ANSWER: five",
        "ANSWER: 3\nor so", "the ANSWER: 3", "ANSWER: 2\nANSWER: 3", "answer: 4", "ANSWER:4",
        "ANSWER: -1", "ANSWER: 3 or 4", "ANSWER: 1\n answer: 5\nANSWER: 5", "NO ANSWER",
        "ANSWER: ٣", "5", " ANSWER: 3",
    ],
)  # fmt: skip
def test_everything_else_is_no_answer(text: str) -> None:
    with pytest.raises(InputError, match=r"^s: has no answer"):
        parse_answer("s", text)


@pytest.mark.parametrize(
    ("text", "words"),
    [("half a pair \ud83d\nANSWER: 5", "is no plain text"), ("a\0b\nANSWER: 5", "no plain text"),
     ("x" * 4000 + "\nANSWER: 5", "4010 characters, at most 4000")],
)  # fmt: skip
def test_what_could_not_be_published_is_no_answer(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_answer("s", text)
    assert parse_answer("s", "x" * 3990 + "\nANSWER: 5").critique == "x" * 3990


@given(st.text(max_size=80))
def test_no_text_is_ever_guessed(text: str) -> None:
    try:
        scored = parse_answer("s", text)
    except InputError:
        return
    assert text.rstrip().split("\n")[-1] == f"ANSWER: {scored.score}"
