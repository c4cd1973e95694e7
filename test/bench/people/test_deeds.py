"""The person's own record, read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vla_rl_nodes.bench.people.deeds import Line, helps, read_log
from vla_rl_nodes.errors import InputError


def line(what: str, at: int, episode: str = "a", why: str = "") -> dict[str, object]:
    return {"at_ns": at, "decided_ns": at - 1, "what": what, "why": why, "episode_id": episode}


LINES = [
    line("take_over", 10, why="no headway"),
    line("felt", 12),
    line("press", 20, why="close"),
    line("let_go", 30, why="done"),
    line("take_over", 50, why="set back"),
    line("let_go", 51, why="over"),
    line("take_over", 70, why="set back"),
    line("felt", 71),
    line("take_over", 5, episode="b", why="no headway"),
]


def test_each_help_has_its_times(tmp_path: Path) -> None:
    path = tmp_path / "person.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in LINES))
    read = read_log(path)
    assert set(read) == {"a", "b"}
    first, second, third = helps(read["a"])
    assert (first.decided_ns, first.hand_ns, first.felt_ns, first.let_go_ns) == (9, 10, 12, 30)
    assert (first.cause, first.done) == ("no headway", True)
    assert (second.felt_ns, second.let_go_ns, second.done) == (None, 51, False)
    assert (third.felt_ns, third.let_go_ns, third.done) == (71, None, False)
    assert len(helps(read["b"])) == 1


def test_without_a_file_he_did_nothing(tmp_path: Path) -> None:
    assert read_log(tmp_path / "none") == {}


@pytest.mark.parametrize("row", ["{", "[]", '{"at_ns": -1}', json.dumps({**LINES[0], "x": 1})])
def test_a_damaged_line_is_named(tmp_path: Path, row: str) -> None:
    path = tmp_path / "person.jsonl"
    path.write_text(json.dumps(LINES[0]) + "\n" + row + "\n")
    with pytest.raises(InputError, match="line 2: is no deed"):
        read_log(path)


def test_what_nobody_began_ends_nothing() -> None:
    stray = [Line.model_validate(row) for row in (line("felt", 1), line("let_go", 2))]
    assert helps(stray) == []
