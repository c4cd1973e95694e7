"""The TensorRT engine: never without a plan that was built; on a GPU, the CPU's answers."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from student_graphs import example, student_bundle

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.bundle import Bundle, load_bundle
from vla_rl_nodes.policy.checked_engine import LARGEST_CANDIDATES
from vla_rl_nodes.policy.cuda import gpu
from vla_rl_nodes.policy.onnx_engine import OnnxEngine
from vla_rl_nodes.policy.parity import TOLERANCES, largest_difference
from vla_rl_nodes.policy.tensorrt_build import build
from vla_rl_nodes.policy.tensorrt_engine import PLAN, TensorRtEngine, batch_sizes, engine_key
from vla_rl_nodes.policy.tensorrt_graph import PRECISIONS, Precision
from vla_rl_nodes.policy.trust import trusted_keys
from vla_rl_nodes.resources import resource

INSTALLED = importlib.util.find_spec("tensorrt") is not None


def missing() -> str:
    """What keeps TensorRT from running here."""
    if not INSTALLED or importlib.util.find_spec("onnx") is None:
        return "tensorrt or onnx is not installed"
    try:
        gpu()
    except InputError as error:
        return str(error)
    return ""


needs_gpu = pytest.mark.skipif(bool(missing()), reason=missing() or "runs")


@given(st.integers(1, LARGEST_CANDIDATES))
def test_every_number_of_candidates_has_a_batch_less_than_twice_as_large(largest: int) -> None:
    sizes = batch_sizes(largest)
    assert sizes[0] == 1 and sizes[-1] == largest and sizes == sorted(set(sizes))
    for count in range(1, largest + 1):
        size = next(size for size in sizes if size >= count)
        assert size < 2 * count or size == count


@pytest.mark.skipif(INSTALLED, reason="tensorrt is installed")
@pytest.mark.parametrize("precision", PRECISIONS)
def test_without_tensorrt_it_is_refused_with_what_to_install(
    tmp_path: Path, contract: Contract, key_path: Path, precision: Precision
) -> None:
    bundle = student_bundle(tmp_path / "bundle", contract, key_path)
    for ask in (
        lambda: TensorRtEngine(bundle, precision=precision, cache=tmp_path),
        lambda: engine_key(bundle, precision),
    ):
        with pytest.raises(InputError) as caught:
            ask()
        said = "tensorrt: is not installed; pip install tensorrt cuda-bindings"
        assert str(caught.value) == said


@pytest.mark.gpu
@needs_gpu
def test_without_a_plan_it_is_refused_and_builds_nothing(
    tmp_path: Path, contract: Contract, key_path: Path
) -> None:
    bundle = student_bundle(tmp_path / "bundle", contract, key_path)
    with pytest.raises(InputError, match=r"has no fp16 engine .* vla-rl policy build"):
        TensorRtEngine(bundle, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("observations", ["batch", "observations"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_it_gives_the_answers_of_the_cpu(
    tmp_path: Path, contract: Contract, key_path: Path, precision: Precision, observations: str
) -> None:
    bundle = student_bundle(
        tmp_path / "bundle", contract, key_path, forecast=1.0, observations=observations
    )
    build(bundle, precisions=(precision,), candidates=5, cache=tmp_path / "cache")
    engine = TensorRtEngine(bundle, precision=precision, candidates=5, cache=tmp_path / "cache")
    reference = OnnxEngine(bundle)
    assert largest_difference(reference, engine, seed=7) < TOLERANCES[precision]
    for count in (1, 2, 3, 5):
        seen, prefix, noise = example(contract, count, count)
        for delay in (0, 6):
            given = engine.infer_many(seen, prefix, delay, noise)
            wanted = reference.infer_many(seen, prefix, delay, noise)
            assert (given.chunks[:, :delay] == prefix[:delay]).all()
            assert given.outcome is not None and wanted.outcome is not None
            assert np.allclose(given.outcome, wanted.outcome, rtol=0, atol=1e-3)


@pytest.mark.gpu
@needs_gpu
def test_the_shipped_policy_is_built_and_loaded_again(tmp_path: Path) -> None:
    bundle = shipped()
    built = build(bundle, candidates=4, cache=tmp_path)
    engine = TensorRtEngine(bundle, precision=built.precision, candidates=4, cache=tmp_path)
    difference = largest_difference(OnnxEngine(bundle), engine, seed=3)
    assert difference < TOLERANCES[built.precision]
    with pytest.raises(InputError, match="was built for 4 candidates, not 5"):
        TensorRtEngine(bundle, precision=built.precision, candidates=5, cache=tmp_path)
    plan = built.folder / PLAN
    plan.write_bytes(plan.read_bytes()[:-1] + b"\0\0")
    with pytest.raises(InputError, match=r"is larger than|is not the file that was built"):
        TensorRtEngine(bundle, precision=built.precision, candidates=4, cache=tmp_path)


@pytest.mark.gpu
@needs_gpu
def test_what_is_no_plan_is_refused(tmp_path: Path, contract: Contract, key_path: Path) -> None:
    bundle = student_bundle(tmp_path / "bundle", contract, key_path)
    with pytest.raises(InputError, match="tensorrt: refuses the plan"):
        TensorRtEngine(bundle, plan=b"no plan")


def shipped() -> Bundle:
    path = resource("config/policies/franka_pick")
    return load_bundle(path, load_contract("franka_pick"), trusted_keys())
