"""The difference between two engines is found wherever it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from student_graphs import bundle_of, student, student_bundle

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.bundle import MODEL
from vla_rl_nodes.policy.onnx_engine import OnnxEngine
from vla_rl_nodes.policy.parity import TOLERANCES, check_parity, largest_difference


def test_an_engine_is_equal_to_itself(tmp_path: Path, contract: Contract, key_path: Path) -> None:
    bundle = student_bundle(tmp_path / "bundle", contract, key_path)
    assert largest_difference(OnnxEngine(bundle), OnnxEngine(bundle, threads=2)) < 1e-6
    assert largest_difference(OnnxEngine(bundle), OnnxEngine(bundle, candidates=1)) < 1e-6


def test_another_gain_is_seen_as_a_share_of_the_range(
    tmp_path: Path, contract: Contract, key_path: Path
) -> None:
    files = {MODEL: student(contract), "weak.onnx": student(contract, gain=0.0021)}
    bundle = bundle_of(tmp_path / "bundle", contract, key_path, files)
    difference = largest_difference(OnnxEngine(bundle), OnnxEngine(bundle, file="weak.onnx"))
    # 0.0001 times noise of up to about 4, in a range of 0.04.
    assert 0.005 < difference < 0.015


def test_a_difference_above_the_tolerance_is_refused(
    tmp_path: Path, contract: Contract, key_path: Path
) -> None:
    files = {MODEL: student(contract), "weak.onnx": student(contract, gain=0.00203)}
    bundle = bundle_of(tmp_path / "bundle", contract, key_path, files)
    reference, other = OnnxEngine(bundle), OnnxEngine(bundle, file="weak.onnx")
    difference = check_parity(reference, other, "fp16")
    assert TOLERANCES["fp32"] < difference < TOLERANCES["fp16"]
    with pytest.raises(InputError, match=r"differs from onnxruntime-cpu by .* more than 1e-03"):
        check_parity(reference, other, "fp32")
