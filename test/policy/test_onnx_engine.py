"""Several chunks a call, whatever batch axes the graph has, and buffers that keep no old rows."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from student_graphs import BINS, bundle_of, example, student, student_bundle, wanted

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.bundle import MODEL
from vla_rl_nodes.policy.onnx_engine import Bound, OnnxEngine

# Axis of the observations, axis of the rest: shared, apart, encoded once, one chunk a call.
AXES = [("batch", "batch"), ("observations", "batch"), (1, "batch"), (1, 1)]


@pytest.fixture
def engine(tmp_path: Path, contract: Contract, key_path: Path) -> OnnxEngine:
    return OnnxEngine(student_bundle(tmp_path / "bundle", contract, key_path), candidates=9)


@pytest.mark.parametrize(("observations", "batch"), AXES)
def test_many_are_as_many_single_ones(
    tmp_path: Path, contract: Contract, key_path: Path, observations: Any, batch: Any
) -> None:
    bundle = student_bundle(
        tmp_path / "bundle", contract, key_path, observations=observations, batch=batch
    )
    engine = OnnxEngine(bundle, candidates=7)
    for delay in (0, 3, 6):
        seen, prefix, noise = example(contract, delay, 7)
        many = engine.infer_many(seen, prefix, delay, noise)
        assert many.chunks.shape == (7, 16, 5) and many.chunks.dtype == np.float32
        assert many.outcome is None
        assert (many.chunks[:, :delay] == prefix[:delay]).all()
        expected = wanted(contract, seen, noise)
        assert np.allclose(many.chunks[:, delay:], expected[:, delay:], rtol=0, atol=1e-6)
        for row, chunk in zip(noise, many.chunks, strict=True):
            single = engine.infer(seen, prefix, delay, row)
            assert np.allclose(single, chunk, rtol=0, atol=1e-6)


@given(st.lists(st.integers(0, 9), min_size=2, max_size=8), st.integers(0, 2**31))
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_call_sees_the_one_before(
    engine: OnnxEngine, contract: Contract, counts: list[int], seed: int
) -> None:
    """0 stands for infer, everything else for that many candidates."""
    kept = []
    for index, count in enumerate(counts):
        delay = (seed + index) % 7
        seen, prefix, noise = example(contract, (seed + index) % 2**31, count or None)
        if count:
            chunks = engine.infer_many(seen, prefix, delay, noise).chunks
        else:
            chunks = engine.infer(seen, prefix, delay, noise)
        expected = wanted(contract, seen, noise)
        expected[..., :delay, :] = prefix[:delay]
        kept.append((chunks, expected))
    for chunks, expected in kept:  # looked at only now: an answer belongs to its caller
        assert np.allclose(chunks, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("count", [0, 10, 100])
def test_more_candidates_than_prepared_are_refused(
    engine: OnnxEngine, contract: Contract, count: int
) -> None:
    seen, prefix, noise = example(contract, 1, count)
    with pytest.raises(InputError, match=r"noise: .* takes 1 to 9 candidates"):
        engine.infer_many(seen, prefix, 0, noise)


def test_a_single_noise_is_not_several(engine: OnnxEngine, contract: Contract) -> None:
    seen, prefix, noise = example(contract, 1)
    with pytest.raises(InputError, match="noise: is"):
        engine.infer_many(seen, prefix, 0, noise)
    with pytest.raises(InputError, match="noise: is"):
        engine.infer(seen, prefix, 0, noise[None])


@pytest.mark.parametrize("candidates", [0, -1, 257])
def test_candidates_are_in_range(
    tmp_path: Path, contract: Contract, key_path: Path, candidates: int
) -> None:
    bundle = student_bundle(tmp_path / "bundle", contract, key_path)
    with pytest.raises(InputError, match=f"candidates: is {candidates}"):
        OnnxEngine(bundle, candidates=candidates)


@pytest.mark.parametrize(("observations", "batch"), AXES)
def test_the_forecast_comes_with_every_candidate(
    tmp_path: Path, contract: Contract, key_path: Path, observations: Any, batch: Any
) -> None:
    bundle = student_bundle(
        tmp_path / "bundle",
        contract,
        key_path,
        observations=observations,
        batch=batch,
        forecast=1.0,
    )
    engine = OnnxEngine(bundle)
    seen, prefix, noise = example(contract, 3, 4)
    outcome = engine.infer_many(seen, prefix, 2, noise).outcome
    assert outcome is not None and outcome.shape == (4, 2, BINS)
    chance = 1 / (1 + np.exp(-noise.astype(np.float64).mean(axis=(1, 2))))
    assert np.allclose(outcome[:, 1].sum(axis=1), chance, rtol=0, atol=1e-6)
    assert np.ptp(outcome[:, 1, 0]) > 1e-4  # the candidates differ in it


@pytest.mark.parametrize("sums_to", [0.9, 1.1, 0.0, -1.0, np.nan])
def test_a_forecast_that_is_no_probability_is_refused_at_load(
    tmp_path: Path, contract: Contract, key_path: Path, sums_to: float
) -> None:
    bundle = student_bundle(tmp_path / "bundle", contract, key_path, forecast=sums_to)
    with pytest.raises(InputError, match=r"policy\.onnx: gave an outcome that is no probability"):
        OnnxEngine(bundle)


@pytest.mark.parametrize(
    ("declared", "forecast", "said"),
    [(True, None, "output 'outcome' is missing"), (False, 1.0, "output 'outcome' is unknown")],
)
def test_manifest_and_graph_agree_on_the_forecast(
    tmp_path: Path,
    contract: Contract,
    key_path: Path,
    declared: bool,
    forecast: float | None,
    said: str,
) -> None:
    files = {MODEL: student(contract, forecast=forecast)}
    bundle = bundle_of(tmp_path / "bundle", contract, key_path, files, outcome=declared)
    with pytest.raises(InputError, match=said):
        OnnxEngine(bundle)


def test_the_weak_policy_has_the_same_interface(
    tmp_path: Path, contract: Contract, key_path: Path
) -> None:
    files = {
        MODEL: student(contract, forecast=1.0),
        "weak.onnx": student(contract, gain=0.001),
    }
    bundle = bundle_of(tmp_path / "bundle", contract, key_path, files, outcome=True)
    seen, prefix, noise = example(contract, 5)
    chunk = OnnxEngine(bundle, file="weak.onnx").infer(seen, prefix, 0, noise)
    expected = wanted(contract, seen, noise / 2)
    assert np.allclose(chunk, expected, rtol=0, atol=1e-6)
    with pytest.raises(InputError, match=r"other\.onnx: is not in the bundle"):
        OnnxEngine(bundle, file="other.onnx")


def test_what_leaves_the_bounds_later_is_refused_then(
    tmp_path: Path, contract: Contract, key_path: Path
) -> None:
    bundle = student_bundle(
        tmp_path / "bundle", contract, key_path, bounded=False, gain=1e-5, observations="batch"
    )
    # The gripper's lower bound is 0: a small positive shift keeps every trial run inside.
    engine = OnnxEngine(bundle)
    seen, prefix, noise = example(contract, 6)
    engine.infer(seen, prefix, 0, noise)
    for bad in (1e6, -1e6):
        wild = noise.copy()
        wild[9, 1] = bad
        with pytest.raises(InputError, match="leaves the action bounds"):
            engine.infer(seen, prefix, 0, wild)
        many = np.stack([noise, wild])
        with pytest.raises(InputError, match="leaves the action bounds"):
            engine.infer_many(seen, prefix, 0, many)


@pytest.mark.parametrize("delay", [2.0, 2.5, "2", None, np.float32(1)])
def test_a_delay_is_a_whole_number(engine: OnnxEngine, contract: Contract, delay: Any) -> None:
    seen, prefix, noise = example(contract, 7)
    with pytest.raises(InputError, match="delay: "):
        engine.infer(seen, prefix, delay, noise)
    assert np.array_equal(
        engine.infer(seen, prefix, np.int64(2), noise),  # type: ignore[arg-type]
        engine.infer(seen, prefix, 2, noise),
    )


def test_calls_from_several_threads_do_not_mix(engine: OnnxEngine, contract: Contract) -> None:
    wrong: list[int] = []

    def work(seed: int) -> None:
        for index in range(40):
            delay, count = (seed + index) % 7, 1 + (seed + index) % 3
            seen, prefix, noise = example(contract, 100 * seed + index, count)
            chunks = engine.infer_many(seen, prefix, delay, noise).chunks
            expected = wanted(contract, seen, noise)
            expected[:, :delay] = prefix[:delay]
            if not np.allclose(chunks, expected, rtol=0, atol=1e-6):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_inputs_that_are_copied_to_a_device_give_the_same(
    tmp_path: Path, contract: Contract, key_path: Path
) -> None:
    """The GPU's way of binding, with the CPU as the device."""
    data = student(contract)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    answers = {}
    for copied_to in (None, "cpu"):
        inputs = {
            **{s.key: np.zeros((2, *s.shape), s.dtype) for s in contract.streams},
            "prefix": np.zeros((2, 16, 5), np.float32),
            "delay": np.zeros(2, np.int64),
            "noise": np.zeros((2, 16, 5), np.float32),
        }
        bound = Bound(session, inputs, {"chunk": np.zeros((2, 16, 5), np.float32)}, copied_to)
        for seed in (1, 2):  # the second call must see the second inputs
            seen, prefix, noise = example(contract, seed, 2)
            for name, value in {**seen, "prefix": prefix, "delay": 3, "noise": noise}.items():
                bound.inputs[name][...] = value
            bound.run(session, tmp_path)
        answers[copied_to] = bound.outputs["chunk"].copy()
    assert np.array_equal(answers[None], answers["cpu"]) and answers["cpu"].any()


def test_a_graph_that_fails_is_told_in_one_line(
    tmp_path: Path, contract: Contract, key_path: Path
) -> None:
    # Observations have an axis of their own, but noise is fixed to a batch that cannot be had.
    files = {MODEL: student(contract, batch=2)}
    bundle = bundle_of(tmp_path / "bundle", contract, key_path, files)
    with pytest.raises(InputError, match=r"policy\.onnx: input") as caught:
        OnnxEngine(bundle)
    assert "\n" not in str(caught.value)
