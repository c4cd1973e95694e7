"""The graph for TensorRT computes what the bundle's graph does, within its precision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx_writer import model, node, outside_constant
from student_graphs import bundle_of, student, student_bundle

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.bundle import MODEL, Bundle, load_bundle
from vla_rl_nodes.policy.checked_engine import Floats, Samples, trial
from vla_rl_nodes.policy.onnx_engine import OnnxEngine
from vla_rl_nodes.policy.parity import TOLERANCES, largest_difference
from vla_rl_nodes.policy.tensorrt_graph import PRECISIONS, Precision, for_tensorrt
from vla_rl_nodes.policy.trust import trusted_keys
from vla_rl_nodes.resources import resource

onnx = pytest.importorskip("onnx", reason="the onnx package is not installed")
pytestmark = pytest.mark.learner


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    path = resource("config/policies/franka_pick")
    return load_bundle(path, load_contract("franka_pick"), trusted_keys())


def rewritten(bundle: Bundle, precision: Precision) -> Bundle:
    files = {**bundle.files, MODEL: for_tensorrt(bundle.model, precision)}
    return replace(bundle, files=files)


def test_float32_is_bit_for_bit_the_shipped_policy(shipped: Bundle) -> None:
    engine = OnnxEngine(rewritten(shipped, "fp32"))
    assert largest_difference(OnnxEngine(shipped), engine) == 0.0


def test_half_precision_rounds_the_shipped_policy_and_keeps_the_prefix(shipped: Bundle) -> None:
    half = rewritten(shipped, "fp16")
    assert len(half.model) < 0.6 * len(shipped.model)
    samples, prefix = trial(shipped, np.random.default_rng(0))
    noise = np.random.default_rng(1).standard_normal((1, *prefix.shape), np.float32)
    exact, rounded = (as_written(b, samples, prefix, 4, noise) for b in (shipped, half))
    engine = OnnxEngine(shipped).infer(samples, prefix, 4, noise[0])
    assert np.array_equal(rounded[0, :4], prefix[:4])
    assert _share(shipped, exact - engine) < 1e-4
    # Rounding to 11 bits, not a wrong weight.
    assert 1e-4 < _share(shipped, rounded - exact) < 0.05


def as_written(
    bundle: Bundle, samples: Samples, prefix: Floats, delay: int, noise: Floats
) -> NDArray[np.float32]:
    """The chunks [N, H, A] of a bundle's graph, every cast of it done."""
    from onnx.reference import ReferenceEvaluator

    count = len(noise)
    feed = {key: np.repeat(value[None], count, 0) for key, value in samples.items()}
    feed |= {"prefix": np.repeat(prefix[None], count, 0), "noise": noise}
    feed["delay"] = np.full(count, delay)
    evaluator = ReferenceEvaluator(onnx.load_model_from_string(bundle.model))
    with np.errstate(all="ignore"):  # its sigmoid overflows on its way to 0
        chunks: NDArray[np.float32] = evaluator.run(["chunk"], feed)[0]
    return chunks


def _share(bundle: Bundle, difference: NDArray[np.float32]) -> float:
    action = bundle.contract.action
    return float(np.abs(difference / (action.maximum - action.minimum)).max())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_no_uint8_is_left_between_input_and_output(shipped: Bundle, precision: Precision) -> None:
    """TensorRT's parser refuses a graph in which any node gives uint8."""
    before = onnx.load_model_from_string(shipped.model)
    proto = onnx.load_model_from_string(for_tensorrt(shipped.model, precision))
    assert _uint8_values(before)  # the shipped graph turns its images before it casts them
    assert not _uint8_values(proto)
    assert [value for value in proto.graph.input] == [value for value in before.graph.input]
    assert [value for value in proto.graph.output] == [value for value in before.graph.output]


def _uint8_values(proto: onnx.ModelProto) -> list[str]:
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
    uint8 = onnx.TensorProto.UINT8
    return [v.name for v in inferred.graph.value_info if v.type.tensor_type.elem_type == uint8]


def test_the_weighted_layers_are_in_half_precision_and_nothing_else(shipped: Bundle) -> None:
    proto = onnx.load_model_from_string(for_tensorrt(shipped.model, "fp16"))
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
    float16 = onnx.TensorProto.FLOAT16
    halves = {v.name for v in inferred.graph.value_info if v.type.tensor_type.elem_type == float16}
    made_by = {n.op_type for n in proto.graph.node if halves & set(n.output)}
    assert made_by == {"Cast", "Conv", "Gemm"}
    kept = {t.name for t in proto.graph.initializer if t.data_type != float16}
    weights = [name for name in kept if name.endswith(".weight")]
    # Of the layer norms alone.
    assert sorted(weights) == [
        "policy.encoder.cameras.0.project.1.weight",
        "policy.encoder.cameras.1.project.1.weight",
    ]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_same_bytes_give_the_same_bytes(shipped: Bundle, precision: Precision) -> None:
    assert for_tensorrt(shipped.model, precision) == for_tensorrt(shipped.model, precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_other_batch_axes_stay(
    tmp_path: Path, contract: Contract, key_path: Path, precision: Precision
) -> None:
    bundle = student_bundle(
        tmp_path / "bundle", contract, key_path, observations="observations", forecast=1.0
    )
    engine = OnnxEngine(rewritten(bundle, precision))
    assert largest_difference(OnnxEngine(bundle), engine) < 1e-6  # it has no weighted layer


def test_a_weight_that_has_other_uses_stays_as_it_is_there() -> None:
    weight = np.array([[1.0, 2.0001], [0.5, -3.0003]], np.float32)
    data = model(
        {"x": ("float32", ["batch", 2])},
        {"y": ("float32", ["batch", 2]), "z": ("float32", ["batch", 2])},
        [
            node("MatMul", ["x", "weight"], "y"),
            node("ReduceSum", ["weight", "axis"], "sums", keepdims=0),
            node("Add", ["x", "sums"], "z"),
        ],
        {"weight": weight, "axis": np.array([1], np.int64)},
    )
    x = np.array([[1.0, 1.0]], np.float32)
    y, z = _outputs(for_tensorrt(data, "fp16"), x)
    assert np.array_equal(z, x + weight.sum(axis=1))
    assert not np.array_equal(y, x @ weight) and np.allclose(y, x @ weight, rtol=1e-3)
    assert np.array_equal(y, x @ weight.astype(np.float16).astype(np.float32))


def _outputs(data: bytes, x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    values: list[NDArray[np.float32]] = session.run(None, {"x": x})
    return values


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(InputError, match="the graph: cannot be read"):
        for_tensorrt(b"no graph", "fp16")


def test_weights_in_other_files_are_refused() -> None:
    data = model(
        {"x": ("float32", ["batch", 2])},
        {"y": ("float32", ["batch", 2])},
        [node("Mul", ["x", "far"], "y")],
        {},
        [outside_constant("far", [2], "/etc/hostname")],
    )
    with pytest.raises(InputError, match="takes weights from other files"):
        for_tensorrt(data, "fp32")


def test_half_precision_that_is_too_coarse_is_seen(
    tmp_path: Path, contract: Contract, key_path: Path
) -> None:
    """A 1 that is added before a weighted layer leaves small numbers few of the 11 bits."""
    bundle = bundle_of(tmp_path / "bundle", contract, key_path, {MODEL: _coarse(contract)})
    samples, prefix = trial(bundle, np.random.default_rng(0))
    noise = np.random.default_rng(1).standard_normal((8, *prefix.shape), np.float32)
    chunks = OnnxEngine(bundle).infer_many(samples, prefix, 0, noise).chunks
    for precision in PRECISIONS:
        other = as_written(rewritten(bundle, precision), samples, prefix, 0, noise)
        apart = _share(bundle, other - chunks)
        assert (apart > TOLERANCES["fp16"]) == (precision == "fp16")


def _coarse(contract: Contract) -> bytes:
    """Adds 1 to noise/500, multiplies by a matrix, and takes the matrix' part of the 1 away."""
    proto = onnx.load_model_from_string(student(contract))
    axes = len(contract.action.names)
    graph = proto.graph
    first = graph.node[0]
    assert first.op_type == "Mul" and first.output[0] == "sum_0"
    first.output[0] = "scaled"
    extra = [
        onnx.helper.make_node("Add", ["scaled", "offset"], ["lifted"]),
        onnx.helper.make_node("MatMul", ["lifted", "identity"], ["turned"]),
        onnx.helper.make_node("Sub", ["turned", "offset"], ["sum_0"]),
    ]
    nodes = [*graph.node]
    del graph.node[:]
    graph.node.extend([nodes[0], *extra, *nodes[1:]])
    graph.initializer.extend(
        [
            onnx.numpy_helper.from_array(np.array(1.0, np.float32), "offset"),
            onnx.numpy_helper.from_array(np.eye(axes, dtype=np.float32), "identity"),
        ]
    )
    data: bytes = proto.SerializeToString()
    return data
