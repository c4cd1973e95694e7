"""The measurement of retries on a small share of its episodes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vla_rl_nodes.bench.people.retries import main, run_retries
from vla_rl_nodes.bench.people.retries_figures import retries_bars
from vla_rl_nodes.bench.people.retries_strategies import GOOD, drawn


def test_a_few_pairs_with_the_expert_in_place_of_the_policy() -> None:
    found = run_retries(4, 77, acting="expert")
    failing = sum(drawn(9_077_000 + number, 1) != GOOD for number in range(4))
    assert found["episodes_failing"] == failing > 0
    assert found["success_without"] == 1.0 - failing / 4
    assert found["success_with"] > found["success_without"]
    assert found["false_retries"] == 0
    bars = retries_bars(found)
    assert bars["retries_paired"] and bars["retries_by_the_filter"]
    assert found["cap_s"] == 12.0 and found["watched"] == "the simulator's state"


def test_bad_settings_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--episodes", "1", "--retries", "nobody"]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and said[0].startswith("[ERROR]") and "franka_pick" in said[0]


@pytest.mark.learner
@pytest.mark.nightly
def test_with_a_model_that_sees_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--episodes", "4", "--watch", "model", "--model", str(tmp_path / "m"), "--json"]
    assert main(arguments) in (0, 1)
    found = json.loads(capsys.readouterr().out)
    assert found["watched"].startswith("steps_to_go/") and found["model"]["error"] < 15.0
