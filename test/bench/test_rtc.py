"""The whole of bench rtc on hastily trained policies: the object, its figures, its page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

torch = pytest.importorskip("torch")

from vla_rl_nodes.bench.rtc.command import run  # noqa: E402
from vla_rl_nodes.bench.rtc.matrix import ROWS  # noqa: E402
from vla_rl_nodes.bench.rtc.report import write_report  # noqa: E402
from vla_rl_nodes.bench.rtc.table import verdict  # noqa: E402
from vla_rl_nodes.contract.load import load_contract  # noqa: E402
from vla_rl_nodes.learner.plane import PlaneRows, train_plane  # noqa: E402
from vla_rl_nodes.learner.plane_recipe import load_plane_recipe, load_toy_recipe  # noqa: E402
from vla_rl_nodes.learner.plane_toy import train_toy  # noqa: E402
from vla_rl_nodes.sim.plane.demonstrations import demonstrations  # noqa: E402
from vla_rl_nodes.sim.plane.toy import toy_rows  # noqa: E402

pytestmark = pytest.mark.learner

CONSOLE = Console(quiet=True)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Policies of thirty steps' training: they fail, but they run."""
    folder = tmp_path_factory.mktemp("models")
    recipe = load_plane_recipe("plane_consistency")
    short = {"steps": 30}
    recipe = recipe.model_copy(
        update={
            "teacher": recipe.teacher.model_copy(update=short),
            "student": recipe.student.model_copy(update=short),
            "imitation": recipe.imitation.model_copy(update=short),
        }
    )
    rows = demonstrations(recipe.held_out_every, 0)
    given = PlaneRows(rows.state, rows.delay, rows.chunk, rows.episode)
    train_plane(folder, 0, given, load_contract("plane"), recipe)
    toy = load_toy_recipe("plane_toy")
    toy = toy.model_copy(
        update={
            "teacher": toy.teacher.model_copy(update=short),
            "student": toy.student.model_copy(update=short),
        }
    )
    shown = toy_rows(500, 0)
    train_toy(folder / "toy.onnx", 0, shown.state, shown.chunk, toy)
    return folder


@pytest.fixture(scope="module")
def result(models: Path) -> dict[str, Any]:
    return run([models / "seed0"], models / "toy.onnx", ROWS, 1, 3, 2, CONSOLE)


def test_every_row_has_a_figure_at_every_delay(result: dict[str, Any]) -> None:
    assert list(result["strategies"]) == [row.name for row in ROWS]
    for row in result["strategies"].values():
        assert row["delay"] == list(range(7))
        for name in ("success", "success_low", "success_high", "seam_ratio_p95", "seconds"):
            assert len(row[name]) == 7
        for share, low, high in zip(
            row["success"], row["success_low"], row["success_high"], strict=True
        ):
            assert 0.0 <= low <= share <= high <= 1.0 and high - low > 0.5  # three episodes
        assert set(row["tasks"]) == {"kick", "moving", "two_ways"}
        assert row["episodes"] == [3] * 7
    assert 0.0 <= result["toy"]["mode_switch"] <= 1.0
    assert result["queue"]["jitter"]["starved"] == 0
    assert result["seed"] == 3 and result["episodes_a_point"] == 3


def test_samples_are_counted(result: dict[str, Any]) -> None:
    assert result["strategies"]["best_of_n"]["candidates_per_chunk"] == [16.0] * 7
    assert result["strategies"]["prefix"]["candidates_per_chunk"] == [1.0] * 7


def test_the_seed_decides_everything(models: Path, result: dict[str, Any]) -> None:
    rows = [row for row in ROWS if row.name in ("prefix", "bid")]

    def figures(seed: int) -> dict[str, Any]:
        found = run([models / "seed0"], models / "toy.onnx", rows, 1, seed, 1, CONSOLE)
        return {name: found[name] for name in ("strategies", "toy", "queue")}

    again, other = figures(3), figures(4)
    assert again["strategies"]["prefix"] == result["strategies"]["prefix"]
    assert again["strategies"]["bid"] == result["strategies"]["bid"]
    assert again["toy"] == result["toy"] and again["queue"] == result["queue"]
    assert other["strategies"] != again["strategies"] and other["queue"] != again["queue"]


def test_the_page_and_the_object_are_written(tmp_path: Path, result: dict[str, Any]) -> None:
    page, data = write_report(tmp_path, result)
    assert json.loads(data.read_text()) == result
    text = page.read_text()
    assert "naive_async" in text and "http" not in text.replace("http-equiv", "")
    drawings = sorted(path.name for path in tmp_path.glob("*.svg"))
    assert drawings == [
        "rtc_seams.svg", "rtc_seconds.svg", "rtc_success.svg", "rtc_success_kick.svg",
        "rtc_success_moving.svg", "rtc_success_two_ways.svg",
    ]  # fmt: skip


def row(success: list[float], ratios: list[float | None], baseline: bool = False) -> Any:
    return {
        "baseline": baseline,
        "delay": list(range(len(success))),
        "success": success,
        "seam_ratio_p95": ratios,
    }


def test_the_verdict_is_what_the_lists_say() -> None:
    strategies = {
        "prefix": row(
            [1.0, 1.0, 1.0, 1.0, 0.99, 0.98, 0.97], [3.0, 1.1, 1.1, 1.1, 1.1, 1.19, 1.1]
        ),
        "sync": row([1.0, 0.9, 0.5, 0.4, 0.3, 0.2, 0.1], [1.0] * 7, baseline=True),
        "bid": row([1.0, 1.0, 1.0, 1.0, 0.95, 0.9, 0.96], [1.0] * 7, baseline=True),
        "best_of_n": row([1.0] * 7, [None] * 7),
        "prefix_teacher": row([1.0] * 7, [1.0] * 7),
    }
    found = verdict(strategies)
    assert found["points_lost_by_delay"] == 3.0
    assert found["least_lead_points"] == {"sync": 69.0, "bid": 1.0}
    assert found["worst_seam_ratio"] == 1.19
    assert found["student_less_teacher_points"] == pytest.approx(-0.86, abs=0.01)
    assert all(found["held"].values())
    strategies["bid"]["success"][6] = 0.97
    assert not verdict(strategies)["held"]["above_every_baseline_from_delay_4"]
