"""`vla-rl bench people`: what it takes, what it always prints, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vla_rl_nodes.bench.people import command
from vla_rl_nodes.bench.people.command import PROMISED
from vla_rl_nodes.bench.people.parts import Part
from vla_rl_nodes.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    status = main(["bench", "people", *arguments, "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("kept", [True, False])
def test_all_promised_keys_are_there_and_broken_promises_fail(
    kept: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {"reset_success": 0.5, "resets": {}}
    monkeypatch.setattr(command, "resets_part", lambda seed, tell: Part(figures, {"x": kept}))
    status, found = run(capsys, "--parts", "resets", "--seed", "3")
    assert status == (0 if kept else 1)
    assert set(PROMISED) <= set(found)
    assert found["reset_success"] == 0.5 and found["success_with_help"] is None
    assert found["seed"] == 3 and found["kept"] == {"x": kept}


def test_each_part_is_run_once_in_the_order_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[str] = []
    for name in ("resets", "unattended", "classifier"):
        monkeypatch.setattr(
            command, f"{name}_part", lambda seed, tell, name=name: ran.append(name) or Part({}, {})
        )
    status, _ = run(capsys, "--parts", "classifier,resets,classifier")
    assert status == 0 and ran == ["classifier", "resets"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--parts", "help,tea"], "--parts tea: is unknown"),
        (["--parts", "alone", "--bundle", "x"], "--bundle: is signed by nobody known"),
    ],
)
def test_bad_options_are_one_line(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "people", *arguments]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert problem in said[-1]


def test_the_episodes_of_another_run_are_not_mixed_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "help").mkdir()
    assert main(["bench", "people", "--parts", "resets", "--out", str(tmp_path)]) == 2
    assert "holds the episodes of another run" in capsys.readouterr().err
