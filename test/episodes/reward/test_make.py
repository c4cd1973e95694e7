"""Judges from a configuration: each is made, and what does not fit is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vla_rl_nodes.episodes.reward.judge import Judge
from vla_rl_nodes.episodes.reward.make import Trust, make_judges, model_folder
from vla_rl_nodes.episodes.reward.spec import Rewards
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.signing import public_path
from vla_rl_nodes.sim.scene import load_scene
from vla_rl_nodes.sim.task import LiftPredicate, lift_predicate

from .models import CONTRACT, folder

pytestmark = pytest.mark.learner
RUBRIC = {"kind": "rubric5", "rewards": [0.0, 0.0, 0.0, 0.0, 1.0], "success_from": 5}


def rule(scene: str | None) -> LiftPredicate:
    return lift_predicate(load_scene(scene or "franka_pick"))


def make(key_path: Path, **backends: dict[str, Any]) -> dict[str, Judge]:
    roles: dict[str, Any] = {"reward": list(backends)[:1]}
    if len(backends) > 1:
        roles["progress"] = list(backends)[1]
    config = Rewards.model_validate(
        {"rewards": 1, "name": "r", "backends": backends, "roles": roles}
    )
    return make_judges("r.yaml", config, CONTRACT, Trust([public_path(key_path)]), rule)


@pytest.mark.parametrize(
    ("kind", "rest", "adds", "sees"),
    [
        ("success_classifier", {"kind": "classifier", "consecutive": 2}, False, "streams"),
        ("steps_to_go", {"kind": "steps_to_go", "consecutive": 2, "success_steps": 1.0}, True,
         "streams"),
        ("pairwise_progress", {"kind": "pairwise"}, True, "streams"),
        ("rubric5", RUBRIC, False, "film"),
    ],
)  # fmt: skip
def test_models(
    tmp_path: Path, key_path: Path, kind: str, rest: dict[str, Any], adds: bool, sees: str
) -> None:
    path = folder(tmp_path / "m", kind, key_path)
    judge = make(key_path, it={**rest, "model": str(path)})["it"]
    assert (judge.adds, judge.sees, judge.inline) == (adds, sees, False)
    assert judge.source.startswith(f"{kind}/bright_{kind}@")
    other = folder(tmp_path / "o", "steps_to_go" if kind != "steps_to_go" else "rubric5", key_path)
    with pytest.raises(InputError, match=rf"backends\.it\.model: is a .*; name a {kind}"):
        make(key_path, it={**rest, "model": str(other)})


def test_what_needs_no_model(key_path: Path) -> None:
    judges = make(key_path, it={"kind": "predicate", "scene": "franka_pick"})
    assert judges["it"].inline and judges["it"].sees == "state"
    with pytest.raises(InputError, match="scene table: has no task"):
        make(key_path, it={"kind": "predicate", "scene": "table"})


def test_unsigned_and_unknown_models_are_refused(tmp_path: Path, key_path: Path) -> None:
    path = folder(tmp_path / "m", "pairwise_progress", None)
    with pytest.raises(InputError, match=r"manifest\.sig: is missing"):
        make(key_path, it={"kind": "pairwise", "model": str(path)})
    with pytest.raises(InputError, match="config/reward_models/nobody"):
        model_folder("nobody")


def test_a_served_rubric_names_a_camera(key_path: Path) -> None:
    server = {"url": "http://127.0.0.1:1/score"}
    it = {**RUBRIC, "server": server, "camera": "image_scene", "frames": 4}
    assert make(key_path, it=it)["it"].film == 4
    with pytest.raises(InputError, match=r"camera: is none of image_scene, image_wrist"):
        make(key_path, it={**it, "camera": "state"})
