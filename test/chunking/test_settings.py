"""Every shipped strategy loads; a wrong one is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_rl_nodes.chunking.settings import load_chunking
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.resources import resource

SHIPPED = sorted(path.stem for path in resource("config/chunking").glob("*.yaml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_shipped_loads(name: str) -> None:
    settings = load_chunking(name)
    assert name.startswith(settings.strategy.name)


def test_every_strategy_is_shipped() -> None:
    found = {load_chunking(name).strategy.name for name in SHIPPED}
    assert found == {
        "prefix", "best_of_n", "guidance", "sync", "naive_async", "temporal_ensemble", "bid",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("strategy: {name: prefix}\nreplan_every: 0", "replan_every"),
        ("strategy: {name: fastest}\nreplan_every: 4", "strategy"),
        ("strategy: {name: prefix, samples: 4}\nreplan_every: 4", "samples: unknown key"),
        ("strategy: {name: best_of_n, score: luck}\nreplan_every: 4", "score"),
        ("strategy: {name: guidance, jacobian: half}\nreplan_every: 4", "jacobian"),
        ("strategy: {name: bid, decay: 1.5}\nreplan_every: 4", "decay"),
        ("strategy: {name: prefix}", "replan_every: is missing"),
        ("strategy: {name: prefix}\nreplan_every: 4\nanswer_timeout_s: 0", "answer_timeout_s"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "chunking.yaml"
    path.write_text(f"chunking: 1\n{text}\n")
    with pytest.raises(InputError) as caught:
        load_chunking(path)
    line = str(caught.value)
    assert problem in line and str(path) in line and "\n" not in line and ";" in line
