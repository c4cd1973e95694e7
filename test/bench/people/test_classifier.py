"""What the classifier's benchmark holds out, and what it refuses."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from vla_rl_nodes.bench.people import classifier
from vla_rl_nodes.bench.people.classifier import main, make_episodes, run
from vla_rl_nodes.bench.people.labelled_episodes import FAILURES, MIX, LabelledEpisodes
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.episode import load_episode
from vla_rl_nodes.replay.sidecars import load_label


def test_too_few_and_too_many_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--held-out: is 59; measure with at least 60"):
        run(0, tmp_path, 59)
    with pytest.raises(InputError, match="--failing: makes 1001 episodes; hold out at most 1000"):
        run(0, tmp_path, 60, 941)


def test_a_folder_that_is_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["classifier", "--out", str(tmp_path)])
    assert main() == 1
    assert capsys.readouterr().err == f"{tmp_path}: is there already; name a new folder\n"


def test_failures_follow_the_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    class Maker:
        def __init__(self, after_s: float) -> None:
            made.append(f"{after_s:g}")

        def __enter__(self) -> Maker:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def mixed(self, first: int, index: int) -> argparse.Namespace:
            made.append(f"mixed {first + index}")
            return argparse.Namespace(header=argparse.Namespace(outcome="failure"))

        def failing(self, first: int, index: int) -> argparse.Namespace:
            made.append(f"failing {first + index}")
            return argparse.Namespace(header=argparse.Namespace(outcome="failure"))

    monkeypatch.setattr(classifier, "LabelledEpisodes", Maker)
    monkeypatch.setattr(classifier, "write_episode", lambda *_: None)
    make_episodes(tmp_path, 70, 2, lambda *_: None, 1, 1.0)
    assert made == ["1", "mixed 70", "mixed 71", "failing 72"]


def test_half_of_the_mix_fails() -> None:
    assert 2 * len(FAILURES) == len(MIX)
    assert not {"expert", "disturbed", "policy"} & set(FAILURES)


def test_a_success_that_goes_on_says_where_it_was_reached(tmp_path: Path) -> None:
    make_episodes(tmp_path / "on", 5_000_000, 1, lambda *_: None, after_s=1.0)
    make_episodes(tmp_path / "ends", 5_000_000, 1, lambda *_: None)
    (folder,) = (tmp_path / "on").glob("expert_*")
    on = load_episode(folder)
    ends = load_episode(tmp_path / "ends" / folder.name)
    hz = on.header.policy_hz
    assert on.header.outcome == ends.header.outcome == "success"
    assert on.header.steps - ends.header.steps == hz
    # Up to there it is the same episode.
    before = on.transitions.observations["state"][: ends.header.steps]
    assert (before == ends.transitions.observations["state"][:-1]).all()
    marks = load_label(tmp_path / "on", on.header, "success", 1).values
    # The observation of the first marked step, as the recipe counts back from the end.
    assert int(marks.argmax()) + 1 == ends.header.steps - round(0.4 * hz)
    assert marks[int(marks.argmax()) :].all()
    done = load_label(tmp_path / "on", on.header, "done", 1).values
    assert int(done.argmax()) + 1 == ends.header.steps and done[ends.header.steps :].all()
    assert not (tmp_path / "ends" / "labels").exists()


def test_the_same_arguments_give_the_same_bytes() -> None:
    with LabelledEpisodes() as maker:
        one, two = (maker.failing(5_000_000, 0) for _ in range(2))
    assert one.header == two.header and one.header.outcome != "success"
