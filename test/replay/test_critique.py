from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.critique import (
    MOST_BYTES,
    Critique,
    critiques_bytes,
    from_text,
    that_fit,
    to_texts,
)

from .spoken import HARD, codes, words

STEPS = 4
critiques = st.lists(
    st.builds(
        Critique, step=st.integers(-1, STEPS - 1), stamp_ns=st.integers(0, 2**62), source=words,
        text=words, code=codes,
    ),
    max_size=8,
)  # fmt: skip


def said(text: str, step: int = 0, source: str = "s", code: int | None = None) -> Critique:
    return Critique(step=step, stamp_ns=5, source=source, text=text, code=code)


@given(critiques)
def test_a_step_s_text_gives_every_critique_back(given: list[Critique]) -> None:
    texts = to_texts(given, STEPS)
    assert len(texts) == STEPS
    back = [c for step, text in enumerate(texts) for c in from_text(text, step, "here")]
    assert back == sorted((c for c in given if c.step >= 0), key=lambda c: c.step)
    for step, text in enumerate(texts):
        assert (text == "") == all(c.step != step for c in given)
        assert "\0" not in text  # some formats end their texts there
        assert text.encode().decode() == text


@pytest.mark.parametrize("text", HARD)
def test_anybody_s_json_reads_the_very_words(text: str) -> None:
    (found,) = json.loads(to_texts([said(text, source=text, code=-3)], 1)[0])
    assert found == {"text": text, "source": text, "code": -3, "stamp_ns": 5}


@pytest.mark.parametrize(
    "text",
    ["x", "{}", "[1]", '[{"text":"a"}]', "[" * 100_000, '[{"code":1.5}]',
     '[{"code":null,"source":"s","stamp_ns":1,"text":"\\ud800"}]',
     '[{"code":9223372036854775808,"source":"s","stamp_ns":1,"text":""}]',
     '[{"code":null,"source":"s","stamp_ns":1,"text":"","more":1}]'],
)  # fmt: skip
def test_another_text_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError, match="step 3: holds a text that is no list") as caught:
        from_text(text, 3, "file.parquet")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "field",
    [{"step": -2}, {"step": 2**31}, {"code": 2**63}, {"stamp_ns": 2**63}, {"text": "\ud800"},
     {"text": b"x"}, {"code": 1.0}, {"code": True}],
)  # fmt: skip
def test_what_is_out_of_range_is_no_critique(field: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"step": 0, "stamp_ns": 1, "source": "s", "text": "t", "code": 1}
    assert Critique(**fields)
    with pytest.raises(ValidationError):
        Critique(**(fields | field))


def test_the_hash_sees_every_field_and_the_order() -> None:
    base = [said("a"), said("b", 1, code=2)]
    others = [
        base[:1], base[::-1], [base[0], said("b", 2, code=2)], [base[0], said("b", 1, code=3)],
        [base[0], said("b", 1)], [base[0], said("c", 1, code=2)],
        [base[0], said("b", 1, "t", code=2)],
        [base[0], base[1].model_copy(update={"stamp_ns": 6})],
        [said('a","x":"'), base[1]],
    ]  # fmt: skip
    assert len({critiques_bytes(found) for found in [base, *others]}) == len(others) + 1
    assert critiques_bytes(list(base)) == critiques_bytes(base)


def test_the_last_ones_have_room() -> None:
    long = "é" * (MOST_BYTES // 8)  # a quarter, in bytes
    given = [said(f"{number}{long}") for number in range(5)]
    assert that_fit(given) == given[2:]  # three, and not one more
    given.insert(3, said("short"))
    assert that_fit(given) == given[2:]
    assert that_fit([said("x" * MOST_BYTES), said("y")]) == [said("y")]
    many = [said("", step=number) for number in range(2**15)]
    assert len(that_fit(many)) == MOST_BYTES // 65
    assert that_fit([]) == []
