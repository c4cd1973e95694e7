"""What a browser may say, and nothing else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.operator.client_messages import Do, Jog, parse

JOG = {"kind": "jog", "axes": [0, 0.5, -1, 0, 0, 0], "gripper": False, "at_ms": 12.5}


def test_good_messages() -> None:
    assert parse('{"kind":"do","n":1,"what":"start"}') == Do(kind="do", n=1, what="start")
    jog = parse(json.dumps(JOG))
    assert isinstance(jog, Jog) and jog.axes == [0.0, 0.5, -1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "message",
    [
        {}, {"kind": "none"}, {"kind": "do", "n": 1}, {"kind": "do", "n": 1, "what": "../etc"},
        {"kind": "do", "n": 1, "what": "start", "more": 1}, {"kind": "do", "n": -1, "what": "x"},
        {"kind": "do", "n": True, "what": "start"}, {"kind": "take", "n": 1, "name": ""},
        {"kind": "take", "n": 1, "name": "<b>"}, {"kind": "take", "n": 1, "name": "a" * 33},
        {"kind": "take", "n": 1, "name": "op1", "over": 1}, {"kind": "e_stop"}, [], "x", 3, None,
        JOG | {"axes": [0] * 5}, JOG | {"axes": [2, 0, 0, 0, 0, 0]}, JOG | {"axes": ["1"] * 6},
        JOG | {"gripper": 1}, JOG | {"at_ms": -1},
    ],
)  # fmt: skip
def test_anything_else_is_refused_and_not_repeated(message: object) -> None:
    with pytest.raises(InputError) as told:
        parse(json.dumps(message))
    assert str(told.value) == "message: is none of this page's; load the page again"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_no_number_that_is_none(number: str) -> None:
    text = json.dumps(JOG).replace("0.5", number)
    with pytest.raises(InputError):
        parse(text)


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_garbage(text: str) -> None:
    with pytest.raises(InputError):
        parse(text)
