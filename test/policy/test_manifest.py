"""A manifest says exactly what the contract says, in bytes that never change."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.manifest import (
    Manifest,
    check_contract,
    manifest_bytes,
    parse_manifest,
    specification,
    version,
)


@pytest.fixture
def fields(contract: Contract) -> dict[str, Any]:
    return {
        "bundle": 1,
        **specification(contract),
        "recipe": "test",
        "parent": None,
        "training": {
            "seed": 3,
            "data_sha256": "ab" * 32,
            "episodes": 2,
            "windows": 50,
            "parameters": 7,
            "metrics": {"error": 0.25},
        },
        "created_by": {"torch": "2"},
        "files": {"policy.onnx": {"bytes": 5, "sha256": "cd" * 32}},
    }


def test_bytes_survive_a_round_trip(fields: dict[str, Any], contract: Contract) -> None:
    data = manifest_bytes(Manifest.model_validate(fields))
    again = parse_manifest("manifest", data)
    check_contract("manifest", again, contract)
    assert manifest_bytes(again) == data
    assert version(data) == hashlib.sha256(data).hexdigest()[:12]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("policy_hz",), 10),
        (("max_delay",), 7),
        (("chunk_length",), 8),
        (("noise_shape",), [16, 4]),
        (("observation", 0, "shape"), [64, 64, 1]),
        (("observation", 2, "names"), ["tool_y", "tool_x"]),
        (("action", "maximum"), [0.02, 0.02, 0.02, 0.15, 0.9]),
        (("action", "frame"), "world"),
        (("contract", "name"), "other"),
    ],
)
def test_a_specification_that_contradicts_the_contract_is_refused(
    fields: dict[str, Any], contract: Contract, path: tuple[Any, ...], value: object
) -> None:
    changed = json.loads(json.dumps(fields))
    inner = changed
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    with pytest.raises(InputError, match=f"{path[0]}: contradicts the contract"):
        check_contract("manifest", Manifest.model_validate(changed), contract)


def test_another_contract_is_named(fields: dict[str, Any], contract: Contract) -> None:
    fields["contract"] = {"name": "push", "sha256": "12" * 32}
    with pytest.raises(InputError, match="is for contract push 121212121212, the robot runs"):
        check_contract("manifest", Manifest.model_validate(fields), contract)


@pytest.mark.parametrize(
    "name", ["../policy.onnx", "/etc/passwd", "a/b.onnx", ".hidden.onnx", "a..onnx", "policy", ""]
)
def test_a_file_name_that_could_lead_elsewhere_is_refused(
    fields: dict[str, Any], name: str
) -> None:
    fields["files"][name] = {"bytes": 5, "sha256": "cd" * 32}
    with pytest.raises(InputError, match="files"):
        parse_manifest("manifest", json.dumps(fields).encode())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"bundle": 1, "bundle": 1}',
        b'{"bundle": NaN}',
    ],
)
def test_what_is_no_manifest_is_refused_in_one_line(text: bytes) -> None:
    with pytest.raises(InputError) as caught:
        parse_manifest("manifest", text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("metric", [float("nan"), float("inf")])
def test_metrics_are_finite(fields: dict[str, Any], metric: float) -> None:
    fields["training"]["metrics"]["error"] = metric
    with pytest.raises(InputError, match=r"training\.metrics\.error"):
        parse_manifest("manifest", json.dumps(fields).encode())
