"""What the scripted person says that he did: the ground truth that the bags are held against."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from vla_rl_nodes.contract.spec import Strict
from vla_rl_nodes.errors import InputError

Nanoseconds = Annotated[int, Field(ge=0)]


class Line(Strict):
    """One line of his log; times in ns on the nodes' clock. See ``sim.person.Deed``."""

    at_ns: Nanoseconds
    decided_ns: Nanoseconds
    what: str
    why: str
    episode_id: str


class Help(Strict):
    """One time that he helped.

    Attributes:
        decided_ns: when he made up his mind.
        hand_ns: when his hand was on the cap.
        felt_ns: when the device first said that it was pushed; None where it never did.
        let_go_ns: when he took his hand off; None where the record ends before.
        cause: why he took over.
        done: whether he let go because he was done, not because the episode was over.
    """

    decided_ns: int
    hand_ns: int
    felt_ns: int | None
    let_go_ns: int | None
    cause: str
    done: bool


def read_log(path: Path) -> dict[str, list[Line]]:
    """The lines of a log by episode, in their order; none where there is no file.

    Raises:
        InputError: it cannot be read, or a line is none of his.
    """
    found: defaultdict[str, list[Line]] = defaultdict(list)
    if not path.exists():
        return found
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"cannot be read ({error})", "check the file") from error
    for number, row in enumerate(text.splitlines(), start=1):
        try:
            line = Line.model_validate(json.loads(row))
        except (ValueError, ValidationError) as error:
            raise InputError(
                f"{path}: line {number}",
                "is no deed of the scripted person",
                "run the bench again",
            ) from error
        found[line.episode_id].append(line)
    return found


def helps(lines: Sequence[Line]) -> list[Help]:
    """The times that he helped in one episode."""
    found: list[Help] = []
    for line in lines:
        if line.what == "take_over":
            found.append(
                Help(
                    decided_ns=line.decided_ns, hand_ns=line.at_ns, felt_ns=None,
                    let_go_ns=None, cause=line.why, done=False,
                )
            )  # fmt: skip
        elif found and line.what == "felt" and found[-1].felt_ns is None:
            found[-1] = found[-1].model_copy(update={"felt_ns": line.at_ns})
        elif found and line.what == "let_go" and found[-1].let_go_ns is None:
            done = {"let_go_ns": line.at_ns, "done": line.why == "done"}
            found[-1] = found[-1].model_copy(update=done)
    return found
