"""What judges say of a step in words, kept byte for byte.

An actor may be told by a critique what to do otherwise, where a number says only how good it was
(NLAC, arXiv 2512.04601). A conversion keeps the critiques in a table of its own in the episode's
description, in the order of their steps: most steps have none, and a step has one of each judge.

In datasets of other tools a step has one text: the list of its critiques as JSON, which gives
back every character, or nothing where it has none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from vla_rl_nodes.errors import InputError

NO_STEP: Final = -1
MOST_BYTES = 1 << 21  # of an episode's critiques: two of the longest answers a server may give
_EACH = 64  # bytes that a critique counts for beside its words
_Whole = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
_Text = Annotated[str, Field(max_length=MOST_BYTES)]


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    stamp_ns: _Whole
    source: _Text
    text: _Text
    code: _Whole | None = None


class Critique(_Said):
    """One critique.

    Attributes:
        step: that it judged, found as a reward's is, see ``replay.outcome``; -1 where it judged
            none: before the first, behind the last, or while the episode was held.
        stamp_ns: capture time of the newest input that was judged, nanoseconds.
        source: who judged.
        text: the words as they were published; any characters, or none at all.
        code: a number for them, such as a rubric's score; None where the judge gave none.
    """

    step: Annotated[int, Field(ge=NO_STEP, lt=1 << 31)]


_LIST = TypeAdapter(list[_Said])


def critiques_bytes(critiques: Sequence[Critique]) -> bytes:
    """The table as it goes into an episode's hash."""
    return _json([critique.model_dump(mode="json") for critique in critiques]).encode()


def that_fit(critiques: Sequence[Critique]) -> list[Critique]:
    """Those that together stay below ``MOST_BYTES``, in their order.

    Where there are too many, the last ones are kept, which say how the episode ended.

    Args:
        critiques: in the order in which they came.
    """
    room, kept = MOST_BYTES, []
    for critique in reversed(critiques):
        size = len(critique.source.encode()) + len(critique.text.encode()) + _EACH
        if size <= room:
            room -= size
            kept.append(critique)
    return kept[::-1]


def to_texts(critiques: Sequence[Critique], steps: int) -> list[str]:
    """One text for each step [T]: its critiques as JSON, or nothing."""
    said: list[list[dict[str, Any]]] = [[] for _ in range(steps)]
    for critique in critiques:
        if critique.step != NO_STEP:
            said[critique.step].append(critique.model_dump(mode="json", exclude={"step"}))
    return [_json(entries) if entries else "" for entries in said]


def from_text(text: str, step: int, place: object) -> list[Critique]:
    """The critiques in a step's text.

    Args:
        text: from :func:`to_texts`.
        step: of the episode that they go to.
        place: for the error.

    Raises:
        InputError: it is no such text.
    """
    if not text:
        return []
    try:
        said = _LIST.validate_json(text)
    except ValidationError as error:
        raise InputError(
            place, f"step {step}: holds a text that is no list of critiques", "export it again"
        ) from error
    return [Critique(step=step, **dict(entry)) for entry in said]


def _json(entries: list[dict[str, Any]]) -> str:
    return json.dumps(entries, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
