"""What a reward model's manifest may say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vla_rl_nodes.episodes.reward.manifest import (
    MODEL,
    RewardManifest,
    check_contract,
    manifest_bytes,
    model_version,
    parse_manifest,
    ports,
)
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.graph import Port

from .models import CAMERA, CONTRACT, fields

pytestmark = pytest.mark.learner

MARK = {"bytes": 3, "sha256": "ab" * 32}


def manifest(kind: str, /, **changes: Any) -> dict[str, Any]:
    known = {
        "reward_model": 1, "version": "ab" * 6, "contract": CONTRACT.name,
        "contract_sha256": CONTRACT.sha256, "files": {MODEL: MARK},
    }  # fmt: skip
    return known | fields(kind) | changes


KINDS = ["success_classifier", "steps_to_go", "pairwise_progress", "rubric5"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_training_gives_the_same_bytes_and_they_read_back(kind: str) -> None:
    said = RewardManifest.model_validate(manifest(kind))
    data = manifest_bytes(said)
    assert data == manifest_bytes(said) and data.endswith(b"}\n")
    assert parse_manifest("m", data) == said


@pytest.mark.parametrize(
    ("kind", "changes", "problem"),
    [
        ("success_classifier", {"threshold": None}, "lacks threshold"),
        ("success_classifier", {"threshold": 1.5}, "less than or equal to 1"),
        ("success_classifier", {"threshold_rule": None}, "lacks threshold_rule"),
        ("steps_to_go", {"threshold": 0.5}, "has threshold"),
        ("steps_to_go", {"steps_max": 0.0}, "greater than 0"),
        ("pairwise_progress", {"frames": 4}, "has frames"),
        ("rubric5", {"tasks": None}, "lacks tasks"),
        ("rubric5", {"tasks": ["a", "a"]}, "a task stands twice"),
        ("steps_to_go", {"inputs": [CAMERA, CAMERA]}, "an input stands twice"),
        ("steps_to_go", {"inputs": []}, "at least 1 item"),
        ("steps_to_go", {"version": "0" * 12}, "version is not that of model.onnx"),
        ("steps_to_go", {"files": {"other.onnx": MARK}}, "version is not that of model.onnx"),
        ("steps_to_go", {"files": {"../model.onnx": MARK}}, "should match pattern"),
        ("steps_to_go", {"kind": "rubric6"}, "input should be"),
        ("steps_to_go", {"more": 1}, "extra inputs are not permitted"),
        ("steps_to_go", {"figures": {"mae": "small"}}, "valid number"),
    ],
)
def test_what_is_wrong_is_one_line(kind: str, changes: dict[str, Any], problem: str) -> None:
    data = json.dumps(manifest(kind, **changes)).encode()
    with pytest.raises(InputError, match=problem) as caught:
        parse_manifest("m.json", data)
    assert str(caught.value).startswith("m.json") and "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"kind": 1, "kind": 2}', b"\xff", b"NaN"])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        parse_manifest("m.json", data)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"contract_sha256": "0" * 64}, "is for contract franka_pick 000000000000"),
        ({"inputs": ["depth"]}, "'depth', which is no stream"),
        ({"inputs": ["state", CAMERA]}, "in another order"),
    ],
)
def test_a_model_of_another_contract_is_refused(changes: dict[str, Any], problem: str) -> None:
    said = RewardManifest.model_validate(manifest("steps_to_go", **changes))
    with pytest.raises(InputError, match=problem):
        check_contract("m", said, CONTRACT)


def test_a_rubric_takes_cameras_only() -> None:
    said = RewardManifest.model_validate(manifest("rubric5", inputs=["state"]))
    with pytest.raises(InputError, match="no camera"):
        check_contract("m", said, CONTRACT)


def test_the_ports_of_each_kind() -> None:
    image, number = Port("uint8", (64, 64, 3)), Port("float32", ())

    def of(kind: str) -> Any:
        return ports(RewardManifest.model_validate(manifest(kind)), CONTRACT)

    assert of("success_classifier") == ({CAMERA: image}, {"probability": number})
    assert of("steps_to_go") == ({CAMERA: image}, {"steps": number, "spread": number})
    assert of("pairwise_progress") == (
        {f"before/{CAMERA}": image, f"after/{CAMERA}": image}, {"critic": number},
    )  # fmt: skip
    frames = Port("uint8", (4, 64, 64, 3))
    assert of("rubric5") == (
        {f"frames/{CAMERA}": frames, "task": Port("int64", ())}, {"scores": Port("float32", (5,))},
    )  # fmt: skip


def test_the_version_names_the_model() -> None:
    assert model_version(b"abc") == "ba7816bf8f01"
