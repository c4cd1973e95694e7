"""The measurement of a bundle: real engines, real inputs, and a reason for all that is missing."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from vla_rl_nodes.bench.policy.run import LEAST_CALLS, run
from vla_rl_nodes.bench.policy.subjects import (
    CHECKS,
    FLOOR,
    REFERENCE,
    TEACHER,
    TORCH,
    TORCH_TEACHER,
    examples,
    find,
)
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.bundle import Bundle, load_bundle
from vla_rl_nodes.policy.selection import ENGINES
from vla_rl_nodes.policy.trust import trusted_keys
from vla_rl_nodes.resources import resource


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    path = resource("config/policies/franka_pick")
    return load_bundle(path, load_contract("franka_pick"), trusted_keys())


def test_the_result_is_whole_and_can_be_written_down(bundle: Bundle, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    result = run(
        bundle,
        seed=5,
        calls=LEAST_CALLS,
        cache=tmp_path,
        progress=lambda done, total: told.append((done, total)),
    )
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert told[-1] == (LEAST_CALLS, LEAST_CALLS)
    assert (result["policy"], result["seed"]) == (bundle.version, 5)
    named = {*result["engines"], *result["not_run"]}
    assert {*ENGINES, *TORCH} <= named
    for row in (*result["engines"].values(), *result["others"].values()):
        assert row["calls"] == LEAST_CALLS
        assert 0 < row["p5_ms"] <= row["p50_ms"] <= row["p99_ms"] <= row["max_ms"]
    assert result["engines"][REFERENCE]["largest_difference"] == 0.0
    assert all(row["largest_difference"] < 1e-2 for row in result["engines"].values())
    reference = result["engines"][REFERENCE]["p50_ms"]
    assert result["floor_ms"] == result["others"][FLOOR]["p50_ms"]
    assert result["checks"]["p50_ms"] == result["others"][CHECKS]["p50_ms"]
    assert result["checks"]["share_of_call"] == result["checks"]["p50_ms"] / reference
    assert result["machine"]["cores"] >= 1 and result["machine"]["onnxruntime"]


def test_what_is_missing_has_a_reason_in_one_line(bundle: Bundle, tmp_path: Path) -> None:
    found = find(bundle, tmp_path)
    assert not found.engines.keys() & found.not_run.keys()
    assert all(reason and "\n" not in reason for reason in found.not_run.values())
    if importlib.util.find_spec("torch") is None:
        assert "torch is not installed" in found.not_run[TORCH[0]]
        assert "torch is not installed" in found.not_run[TORCH_TEACHER]
    else:
        assert TORCH[0] in found.engines
    if bundle.manifest.flow is None:
        assert "declares no flow" in found.not_run[TEACHER] and found.teacher_steps == 0


def test_a_comparison_without_one_side_is_none(bundle: Bundle, tmp_path: Path) -> None:
    result = run(bundle, calls=LEAST_CALLS, cache=tmp_path)
    has_torch = TORCH[0] in result["engines"]
    assert (result["onnxruntime_vs_torch"] is not None) == has_torch
    assert (result["student_vs_teacher"] is not None) == (TEACHER in result["others"])


def test_the_inputs_are_as_wild_as_the_contract_allows(bundle: Bundle) -> None:
    given = examples(bundle, 1)
    assert {example.delay for example in given} == set(range(7))
    for example in given:
        assert np.unique(example.observation["image_scene"]).size == 256
        assert example.observation["state"].all() and example.noise.all()
        assert example.prefix.any(axis=1).all()
    again, other = examples(bundle, 1), examples(bundle, 2)
    for first, second, third in zip(given, again, other, strict=True):
        assert np.array_equal(first.noise, second.noise)
        assert not np.array_equal(first.noise, third.noise)


@pytest.mark.parametrize("calls", [0, 1, LEAST_CALLS - 1])
def test_too_few_calls_are_refused(bundle: Bundle, calls: int) -> None:
    with pytest.raises(InputError, match=f"calls: is {calls}; give at least {LEAST_CALLS}"):
        run(bundle, calls=calls)
