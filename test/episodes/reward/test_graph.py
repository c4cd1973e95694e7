"""Graphs that do what their manifest says, and graphs that do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vla_rl_nodes.episodes.reward.graph import RewardGraph
from vla_rl_nodes.errors import InputError

from .models import CAMERA, loaded, model_bytes, picture

pytestmark = pytest.mark.learner


@pytest.mark.parametrize("batch", [1, "batch"])
def test_a_fixed_and_a_free_batch_axis_are_taken(
    tmp_path: Path, key_path: Path, batch: object
) -> None:
    data = model_bytes("success_classifier", batch=batch)
    graph = RewardGraph(loaded(tmp_path / "m", "success_classifier", key_path, data))
    given = graph.run({CAMERA: picture(0.2)})
    assert given["probability"] == pytest.approx(0.2, abs=1e-6)
    assert given["probability"].shape == ()


@pytest.mark.parametrize(
    ("kind", "data", "problem"),
    [
        ("success_classifier", model_bytes("pairwise_progress"), "input 'after/image_scene'"),
        ("success_classifier", model_bytes("steps_to_go"), "output 'probability' is missing"),
        ("success_classifier", model_bytes("success_classifier", batch=2), "is tensor"),
        ("success_classifier", b"no model", "onnxruntime loads"),
        ("success_classifier", model_bytes("success_classifier", scale=float("nan")), "finite"),
    ],
)
def test_other_graphs_are_refused_at_the_start(
    tmp_path: Path, key_path: Path, kind: str, data: bytes, problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        RewardGraph(loaded(tmp_path / "m", kind, key_path, data))


def test_an_input_of_another_shape_is_refused(tmp_path: Path, key_path: Path) -> None:
    graph = RewardGraph(loaded(tmp_path / "m", "success_classifier", key_path))
    for wrong in (picture(0.1)[:32], picture(0.1).astype(np.float32)):
        with pytest.raises(InputError, match=CAMERA):
            graph.run({CAMERA: wrong})
