"""The benchmark of sampling, at a size that takes no time: what it compares is the same data."""

from __future__ import annotations

import pytest

pytest.importorskip("torchrl")

from vla_rl_nodes.bench.replay import sample

pytestmark = pytest.mark.learner


def test_all_subjects_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_EPISODES": 3, "_STEPS": 20, "_ROUNDS": 2}.items():
        monkeypatch.setattr(sample, name, value)
    found = sample.measure_sampling(1)
    assert {"ours", "torchrl", "numpy", "ours_slices", "torchrl_slices"} <= set(found)
    assert all(0 < milliseconds < 10_000 for milliseconds in found.values())
