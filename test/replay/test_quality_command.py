"""`replay check`: for people, machines and browsers, and what it cannot read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from vla_rl_nodes.cli import main

from .episode_bag import make_episode
from .faulty_bag import SAMPLE, faulty, on


def test_a_good_bag_and_a_bad_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "check", str(SAMPLE)]) == 0
    said = capsys.readouterr().out
    assert f"{SAMPLE}: GOOD" in said and "63 of 63 observations are what the policy saw" in said
    bad = faulty(tmp_path / "bag", on("/fr3/reward", lambda all_: []))
    html = tmp_path / "report.html"
    assert main(["replay", "check", str(SAMPLE), str(bad), "--json", "--html", str(html)]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [bag["verdict"] for bag in report["bags"]] == ["good", "bad"]
    assert report["sum"]["verdict"] == "bad" and report["good"] is True
    assert report["bags"][1]["findings"][0]["threshold"] == "reward_missing"
    named = {threshold["name"] for threshold in report["thresholds"]}
    assert {f["threshold"] for bag in report["bags"] for f in bag["findings"]} <= named
    assert all(threshold["origin"] for threshold in report["thresholds"])
    assert html.read_text().startswith("<!DOCTYPE html>")


def test_one_bad_bag_keeps_no_other_from_being_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = faulty(tmp_path / "cut")
    (file,) = cut.glob("*.mcap")
    os.truncate(file, file.stat().st_size // 2)
    other = make_episode(3, seconds=0.5).write(tmp_path / "other")  # of smaller images
    bags = [cut, SAMPLE, other, tmp_path / "none"]
    assert main(["replay", "check", *map(str, bags)]) == 2
    captured = capsys.readouterr()
    assert f"{SAMPLE}: GOOD" in captured.out
    told = captured.err.splitlines()
    assert len(told) == 3 and all(line.startswith("vla-rl: ") for line in told)
    assert "other: was recorded with contract" in told[1] and "none: does not exist" in told[2]


def test_a_bag_that_is_not_closed_or_has_no_policy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unclosed = faulty(tmp_path / "unclosed")
    (unclosed / "manifest.json").unlink()
    silent = faulty(tmp_path / "silent", on("/fr3/policy/status", lambda all_: []))
    for bag, said in ((unclosed, "not closed"), (silent, "holds no policy/status")):
        assert main(["replay", "check", str(bag)]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and captured.err.count("\n") == 1
        assert captured.err.startswith("vla-rl: ") and said in captured.err


def test_a_report_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "none" / "report.html"
    assert main(["replay", "check", str(SAMPLE), "--html", str(place)]) == 2
    assert f"{place}: cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["export", "a", "b", "--format", "rlds", "--out", "o"],
         {"format": "rlds", "images": None, "episodes": [Path("a"), Path("b")]}),
        (["export", "a", "--format", "lerobot", "--out", "o", "--images", "video"],
         {"format": "lerobot", "images": "video", "out": Path("o"), "json": False}),
        (["import", "d", "--out", "o", "--contract", "plane", "--json"],
         {"dataset": Path("d"), "contract": "plane", "mapping": None, "json": True}),
    ],
)  # fmt: skip
def test_export_and_import_are_handed_on(
    command: list[str], expected: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vla_rl_nodes.replay.export import command as room

    given: list[dict[str, object]] = []
    for name in ("export_command", "import_command"):
        monkeypatch.setattr(room, name, lambda options: given.append(vars(options)) or 0)
    assert main(["replay", *command]) == 0
    (options,) = given
    assert expected.items() <= options.items()


def test_an_unknown_format_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["replay", "export", "a", "--format", "pickle", "--out", "o"])
    assert ended.value.code == 2
    assert "invalid choice: 'pickle'" in capsys.readouterr().err
