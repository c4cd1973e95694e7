"""A build keeps the first precision that is near enough, and says what it did not keep."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from student_graphs import bundle_of, student

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy import build_cache, tensorrt_build
from vla_rl_nodes.policy.build_cache import EngineKey
from vla_rl_nodes.policy.bundle import MODEL, Bundle
from vla_rl_nodes.policy.onnx_engine import OnnxEngine
from vla_rl_nodes.policy.tensorrt_build import Kind, build
from vla_rl_nodes.policy.tensorrt_engine import PLAN
from vla_rl_nodes.policy.tensorrt_graph import Precision

INSTALLED = importlib.util.find_spec("tensorrt") is not None


def key_of(precision: Precision) -> EngineKey:
    return EngineKey("tensorrt", "ab" * 32, "NVIDIA X", "8.7", "tensorrt 10.9", precision)


@pytest.fixture
def bundle(tmp_path: Path, contract: Contract, key_path: Path) -> Bundle:
    """With graphs that stand for builds that are a little or far off."""
    files = {
        MODEL: student(contract),
        "near.onnx": student(contract, gain=0.00203),
        "far.onnx": student(contract, gain=0.004),
    }
    return bundle_of(tmp_path / "bundle", contract, key_path, files)


def building(monkeypatch: pytest.MonkeyPatch, results: dict[Precision, str]) -> None:
    """Puts a graph of the bundle in the place of each precision's plan."""

    def made(
        bundle: Bundle, precision: Precision, candidates: int, file: str, root: Path, folder: Path
    ) -> tuple[EngineKey, OnnxEngine]:
        (folder / PLAN).write_bytes(precision.encode())
        engine = OnnxEngine(bundle, candidates=candidates, file=results[precision])
        return key_of(precision), engine

    monkeypatch.setattr(tensorrt_build, "_build_plan", made)


def test_half_precision_that_is_near_enough_is_kept(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    building(monkeypatch, {"fp16": "near.onnx"})
    said: list[str] = []
    built = build(bundle, candidates=4, cache=tmp_path / "cache", say=said.append)
    assert built.precision == "fp16" and built.report == ()
    assert 1e-3 < built.difference < 1e-2
    entry = build_cache.load(tmp_path / "cache", key_of("fp16"), 4)
    assert entry.files == {PLAN: b"fp16"} and entry.difference == built.difference
    assert entry.folder == built.folder
    assert said == ["building tensorrt in fp16", "comparing it with the CPU"]


def test_half_precision_that_is_far_off_gives_way_to_float32(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    building(monkeypatch, {"fp16": "far.onnx", "fp32": MODEL})
    built = build(bundle, cache=tmp_path / "cache")
    assert built.precision == "fp32" and built.difference < 1e-6
    (line,) = built.report
    assert line.startswith("fp16 was not kept: differs from onnxruntime-cpu by ")
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [key_of("fp32").folder_name]


def test_no_precision_that_is_near_enough_is_an_error(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    building(monkeypatch, {"fp16": "far.onnx", "fp32": "near.onnx"})
    with pytest.raises(InputError, match=r"fp16 was not kept.*fp32 was not kept") as caught:
        build(bundle, cache=tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_only_the_precisions_that_were_asked_for_are_built(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    building(monkeypatch, {"fp32": MODEL})
    assert build(bundle, precisions=("fp32",), cache=tmp_path / "cache").precision == "fp32"


@pytest.mark.skipif(INSTALLED, reason="tensorrt is installed")
@pytest.mark.parametrize("kind", ["tensorrt", "onnxruntime-tensorrt"])
def test_without_the_library_it_is_refused_and_leaves_nothing(
    bundle: Bundle, tmp_path: Path, kind: Kind
) -> None:
    with pytest.raises(InputError, match=f"^{kind}: .*; .*install"):
        build(bundle, kind, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
