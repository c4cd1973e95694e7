"""A hundred thousand attacked ticks of each robot: no bound is broken, nothing raises."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.bench.safety import command
from vla_rl_nodes.bench.safety.figures import Figures
from vla_rl_nodes.bench.safety.fuzz import FuzzOptions, run_fuzz
from vla_rl_nodes.bench.safety.round import run_round
from vla_rl_nodes.bench.safety.steady import growth, steady
from vla_rl_nodes.bench.safety.subjects import ROBOTS, mobile_subject, subjects
from vla_rl_nodes.cli import main

TICKS = 100_000
HAND_OVERS = 60
LEAST_MOVING = 0.6  # a filter that stands still is easily safe


@pytest.fixture(scope="module")
def attacked() -> dict[str, Any]:
    """The figures of all robots, two at a time."""
    plan = FuzzOptions(seed=1, ticks=TICKS, robots=ROBOTS, jobs=2, hand_overs=HAND_OVERS)
    found: dict[str, Any] = run_fuzz(plan, lambda name, ticks: None)["robots"]
    return found


@pytest.mark.parametrize("name", ROBOTS)
def test_nothing_is_broken(attacked: dict[str, Any], name: str) -> None:
    result = attacked[name]
    assert result["violations"] == 0, result["reproduce"]
    assert result["exceptions"] == 0, result["reproduce"]
    assert result["ticks"] >= TICKS
    assert result["moving_share"] > LEAST_MOVING
    assert result["hand_overs"]["count"] == HAND_OVERS
    assert result["hand_overs"]["at_speed"] > HAND_OVERS // 4
    # Every way to be stopped, and to be bounded, was really used.
    assert {"armed", "holding", "stopping", "stopped", "faulted", "disarmed"} <= set(
        result["states"]
    )
    reasons = set(result["reasons"])
    assert {"action_bound", "residual_bound", "joint_velocity", "non_finite", "stale_command",
            "stale_state", "future_stamp", "wrong_names", "duplicate", "tracking_error",
            "tick_overrun", "clock_jump", "e_stop", "deadman", "outranked"} <= reasons  # fmt: skip


def test_a_round_is_the_same_every_time(tmp_path: Path) -> None:
    subject = next(subjects("ur5e", tmp_path))
    told = []
    for _ in range(2):
        figures = Figures()
        found = run_round(subject, (3, 1, 4), 400, figures)
        report = figures.report()
        told.append((report["states"], report["reasons"], figures.moving, found))
    assert told[0] == told[1]
    other = Figures()
    run_round(subject, (3, 1, 5), 400, other)
    assert other.report()["reasons"] != told[0][1]


def test_the_judge_sees_what_a_looser_filter_lets_through(tmp_path: Path) -> None:
    """The judge reads half of the velocity that the filter was given: it must complain."""
    subject = next(subjects("ur5e", tmp_path))
    slower = subject.bounds.v_max / 2.0
    strict = replace(subject, bounds=replace(subject.bounds, v_max=slower))
    found = run_round(strict, (3, 1, 4), 2000, Figures())
    assert set(found.kinds) == {"velocity"}
    assert "round 3,1,4 of ur5e_joint_position_20_100" in found.lines[0]


def test_a_mobile_base(tmp_path: Path) -> None:
    figures = Figures()
    found = run_round(mobile_subject("go2", tmp_path), (1, 2), 4000, figures)
    assert not found.kinds, found.lines
    assert figures.exceptions == 0, found.lines
    assert figures.report()["moving_share"] > LEAST_MOVING


@pytest.fixture(scope="module")
def ran() -> tuple[int, Any]:
    """Exit code and JSON of a short run."""
    printed = io.StringIO()
    arguments = ["bench", "safety", "--seed", "4", "--ticks", "500", "--robot", "ur5e", "--json"]
    with contextlib.redirect_stdout(printed):
        code = main(arguments)
    return code, json.loads(printed.getvalue())


def test_the_command_prints_what_machines_read(ran: tuple[int, Any]) -> None:
    code, result = ran
    row = result["robots"]["ur5e"]
    assert code == 0 and list(result["robots"]) == ["ur5e"]
    assert row["ticks"] >= 500 and row["violations"] == row["exceptions"] == 0
    assert 0 < row["p50_us"] <= row["p99_us"]
    assert result["bare_calls_us"] > 0
    assert row["ratio_to_bare"] == pytest.approx(row["p50_us"] / row["bare_us"]["all"], abs=0.01)


def test_people_read_a_table(ran: tuple[int, Any], capsys: pytest.CaptureFixture[str]) -> None:
    command.print_table(ran[1])
    printed = capsys.readouterr().out
    assert "violations" in printed and "ur5e" in printed and "ur5e: bare calls" in printed


def test_a_violation_fails_the_command(
    ran: tuple[int, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for broken in ({"violations": 1}, {"exceptions": 1}):
        monkeypatch.setattr(command, "run_fuzz", lambda *_, b=broken: {**ran[1], **b})
        assert main(["bench", "safety", "--robot", "ur5e", "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["seed"] == 4


def test_an_unknown_robot_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "safety", "--ticks", "10", "--robot", "r2d2"]) != 0
    told = capsys.readouterr().err.strip().splitlines()
    assert "r2d2" in told[-1] and "fr3" in told[-1]


def test_percentiles_of_the_times() -> None:
    figures = Figures()
    figures._times[0, [40, 80]] = [98, 2]
    figures._times[1, 10] = 100
    assert figures.percentile_us(0.5) == pytest.approx(41 * 0.25)
    assert figures.percentile_us(0.99) == pytest.approx(81 * 0.25)
    assert figures.percentile_us(0.5, busy=True) == pytest.approx(11 * 0.25)
    assert np.isclose(Figures().percentile_us(0.5), 0.0)


def test_memory_growth_is_that_after_warming_up() -> None:
    assert growth([10, 50, 90, 100, 110, 100, 101, 111, 101]) == 1
    assert growth([0, 0, 0, 50, 50, 50, 90, 90, 90]) == 40
    assert growth([5, 9]) == 0


def test_ordinary_motion_of_one_filter(tmp_path: Path) -> None:
    every = subjects("ur5e", tmp_path)
    subject = next(s for s in every if s.contract.action.kind == "tool_pose_delta")
    done: list[int] = []
    found = steady(subject, 2000, done.append)
    assert found["violations"] == found["not_armed"] == 0
    assert found["moving_share"] > 0.95
    assert found["ticks"] == 2000 and done == sorted(done) and len(done) >= 80
