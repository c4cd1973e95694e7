"""The fastest engine that is there is taken, and every faster one has a reason."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from student_graphs import bundle_of, example, student, student_bundle

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy import selection
from vla_rl_nodes.policy.bundle import MODEL, Bundle
from vla_rl_nodes.policy.onnx_engine import OnnxEngine
from vla_rl_nodes.policy.selection import ENGINES, choose_engine

# Which machine this is: on one without any GPU library, the CPU is what is left.
PLAIN = (
    importlib.util.find_spec("tensorrt") is None
    and "CUDAExecutionProvider" not in onnxruntime.get_available_providers()
)
needs_plain = pytest.mark.skipif(not PLAIN, reason="this machine has GPU libraries")


@pytest.fixture
def bundle(tmp_path: Path, contract: Contract, key_path: Path) -> Bundle:
    return student_bundle(tmp_path / "bundle", contract, key_path)


@needs_plain
def test_without_a_gpu_the_cpu_is_taken_and_it_is_said_why(bundle: Bundle) -> None:
    choice = choose_engine(bundle, candidates=3)
    assert choice.engine.name == "onnxruntime-cpu" and choice.engine.candidates == 3
    assert len(choice.report) == 3
    for line, name in zip(choice.report, ENGINES, strict=False):
        assert line.startswith(f"{name}: ") and "install" in line and "\n" not in line


@needs_plain
@pytest.mark.parametrize("wanted", ENGINES[:-1])
def test_an_engine_that_is_not_there_is_refused_with_what_to_install(
    bundle: Bundle, wanted: str
) -> None:
    with pytest.raises(InputError, match=rf"^{wanted}: .*; .*install"):
        choose_engine(bundle, wanted)


def test_the_cpu_can_be_asked_for(bundle: Bundle) -> None:
    choice = choose_engine(bundle, "onnxruntime-cpu")
    assert choice.engine.name == "onnxruntime-cpu" and choice.report == ()


@pytest.mark.parametrize("wanted", ["", "Auto", "cuda", "onnxruntime", "torch-eager-cpu"])
def test_an_unknown_name_is_refused(bundle: Bundle, wanted: str) -> None:
    with pytest.raises(InputError, match=r"engine: '.*' is unknown; give auto or one of"):
        choose_engine(bundle, wanted)


def test_a_bundle_that_runs_nowhere_is_refused(
    tmp_path: Path, contract: Contract, key_path: Path
) -> None:
    bundle = student_bundle(tmp_path / "bad", contract, key_path, bounded=False, gain=1.0)
    with pytest.raises(InputError, match="leaves the action bounds"):
        choose_engine(bundle)


def test_an_engine_that_answers_otherwise_is_not_taken(
    tmp_path: Path, contract: Contract, key_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another graph of the bundle stands for a plan that was built wrong."""
    files = {MODEL: student(contract), "weak.onnx": student(contract, gain=0.001)}
    bundle = bundle_of(tmp_path / "bundle", contract, key_path, files)

    def wrong(reference: OnnxEngine, *rest: Any) -> OnnxEngine:
        return OnnxEngine(reference.bundle, candidates=4, file="weak.onnx")

    monkeypatch.setattr(selection, "_load", wrong)
    choice = choose_engine(bundle, candidates=4)
    assert "differs from onnxruntime-cpu" in choice.report[0]
    seen, prefix, noise = example(contract, 1)
    reference = OnnxEngine(bundle).infer(seen, prefix, 0, noise)
    assert (choice.engine.infer(seen, prefix, 0, noise) == reference).all()
    with pytest.raises(InputError, match="differs from onnxruntime-cpu"):
        choose_engine(bundle, "tensorrt")


def test_a_library_that_fails_in_its_own_way_is_a_reason_like_any_other(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*rest: Any) -> OnnxEngine:
        raise AttributeError("module has no attribute 'Runtime'\nand more")

    monkeypatch.setattr(selection, "_load", broken)
    choice = choose_engine(bundle)
    assert choice.report[0].startswith("tensorrt: fails (AttributeError: module has no")
    assert all("\n" not in line for line in choice.report)
