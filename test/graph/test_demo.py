"""`vla-rl demo --json`: one object, a report, and a policy that needs its cameras."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.graph


def test_demo_prints_one_object_and_writes_the_report(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "vla_rl_nodes.cli", "demo", "--json", "--episodes", "2",
         "--blackout", "1", "--seed", "40", "--out", str(out)],
        capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["episodes"] == 2 and summary["seed"] == 40
    assert summary["success_rate"] >= 0.5
    assert summary["blackout_episodes"] == 1 and summary["blackout_success_rate"] == 0.0
    assert summary["limit_violations"] == 0 and summary["commands_checked"] > 500
    assert 0.8 < summary["ticks_kept"] <= 1.0
    assert summary["tick_lateness_p99_ms"] >= 0.0
    assert 0.0 < summary["inference_p50_ms"] < 50.0
    assert summary["parity_matched"] == summary["parity_ticks"] > 100
    assert len(summary["bags"]) == 3
    assert all((Path(bag) / "manifest.json").is_file() for bag in summary["bags"])
    assert len(list((out / "replay").glob("*/episode.json"))) == 3
    assert json.loads((out / "report.json").read_text()) == summary
    page = (out / "report.html").read_text()
    assert page.count("<img") + page.count("<svg") > 5
    assert "http://" not in page.replace("http://www.w3.org", "")
