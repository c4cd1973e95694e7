"""Bad input on the command line is one line and a status that is not zero."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vla_rl_nodes.cli import main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bag", "info", "nowhere"], "nowhere"),
        (["policy", "verify", "nowhere"], "nowhere"),
        (["replay", "check", "nowhere"], "nowhere"),
        (["replay", "convert", "nowhere", "--out", "o", "--contract", "no"], "none of config"),
        (["demo", "--robot", "ur5e"], "has no shipped contract"),
        (["demo", "--seed", "999999", "--episodes", "2"], "training seeds"),
        (["demo", "--actor", "sim_expert", "--bundle", "x"], "go with"),
        (["up", "--contract", "none.yaml"], "none.yaml"),
        (["learner", "train", "--recipe", "r", "--replay", ".", "--out", "o"], "r"),
    ],
)
def test_one_line_and_status_two(
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("vla-rl: ") and said in captured.err


@pytest.mark.parametrize("command", ["demo", "up", "doctor", "policy", "bag", "replay", "learner"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert command in capsys.readouterr().out


def test_doctor_names_what_it_looked_for(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    parts = {finding["part"] for finding in findings}
    assert {"machine", "ros", "policy", "robot", "camera"} <= parts
    rclpy = next(f for f in findings if f["what"] == "rclpy")
    assert rclpy["status"] == "there"
