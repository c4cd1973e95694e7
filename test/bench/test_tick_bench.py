"""The whole measurement with real processes, for a second of each variant."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import pytest

from vla_rl_nodes.bench.tick import command
from vla_rl_nodes.bench.tick.variants import OURS, VARIANTS
from vla_rl_nodes.cli import main

pytestmark = pytest.mark.graph


@pytest.fixture(scope="module")
def result() -> Any:
    """What the command prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["bench", "tick", "--duration", "1", "--seed", "5", "--json"]) == 0
    return json.loads(printed.getvalue())


def of_variants(result: Any) -> dict[str, Any]:
    """The figures of each variant; ours stand at the top of the result."""
    return {v.name: result if v is OURS else result[v.name] for v in VARIANTS}


def test_every_variant_is_measured_over_the_same_deadlines(result: Any) -> None:
    assert result["seed"] == 5 and result["rate_hz"] == 100
    for told in of_variants(result).values():
        assert told["ticks_expected"] == 100
        assert 0 < told["ticks_kept"] <= 1
        assert told["ticks_kept"] == pytest.approx(1 - told["ticks_lost"] / 100)
        assert 0 < told["work_p50_ms"] <= told["work_p99_ms"] <= told["work_max_ms"]
        assert told["lateness_p50_ms"] <= told["lateness_p99_ms"] <= told["lateness_max_ms"]
    assert [b["variant"] for b in result["blocks"]].count("plain_rclpy") == 1


def test_commands_reach_another_process(result: Any) -> None:
    for told in of_variants(result).values():
        # A tick that saw nothing commands nothing; the ticks before the measured ones did.
        assert told["commands_heard"] >= 100 - told["ticks_lost"] - told["blind_ticks"]


def test_inference_runs_beside_the_ticks_where_it_is_asked_for(result: Any) -> None:
    for variant in VARIANTS:
        told = of_variants(result)[variant.name]
        if not variant.inference:
            assert told["inferences"] == told["ticks_with_chunk"] == 0
            assert told["inference_p50_ms"] is None
        elif not variant.plain:  # a plain timer may be too late for any chunk
            assert told["inferences"] > 0 and told["ticks_with_chunk"] > 0
            assert told["inference_p50_ms"] > 0


def test_realtime_priority_is_what_the_thread_has_and_not_what_was_asked(result: Any) -> None:
    told = of_variants(result)
    allowed = result["stalls"] is not None  # the probe got it, so the node could
    assert told["ours"]["realtime_priority"] is allowed
    assert told["without_inference"]["realtime_priority"] is allowed
    assert not told["without_realtime"]["realtime_priority"]
    assert not told["plain_rclpy"]["realtime_priority"]
    for figures in told.values():
        assert (figures["ticks_lost_in_stalls"] is not None) is allowed


def test_people_get_a_row_for_each_variant(
    result: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "run_tick", lambda plan, progress: result)
    assert main(["bench", "tick"]) == 0
    out = capsys.readouterr().out
    for variant in VARIANTS:
        assert out.count(f" {variant.text} ") == 1
    assert f"{100 * result['ticks_kept']:.2f} %" in out
    assert result["clock"] in out
