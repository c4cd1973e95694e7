"""The bundle's graph in the form that TensorRT takes: float images, and types for its precision.

TensorRT allows uint8 only at a network's inputs ("TensorRT does not support UINT8 types for
intermediate tensors", onnx-tensorrt, ModelImporter.cpp), and since version 11 takes the precision
of every layer from the graph (migration guide 10.x to 11.x: networks are strongly typed). Both
are done here, on the graph. What half precision costs can so be seen without a GPU, but not with
onnxruntime on the CPU, which takes pairs of casts away and computes in float32: onnx.reference
computes the graph as it is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from vla_rl_nodes.errors import InputError

Precision = Literal["fp16", "fp32"]
PRECISIONS: tuple[Precision, ...] = ("fp16", "fp32")

# The operators that hold the weights, and with them nearly all of the work. What lies between
# them, the moments of the spatial softmax and the bounds above all, stays in float32.
_WEIGHTED = ("Conv", "Gemm", "MatMul")


def for_tensorrt(model: bytes, precision: Precision) -> bytes:
    """The same graph with images cast to float32 at once and, for fp16, half-precision layers.

    The inputs and outputs keep their names, types and shapes; the same bytes give the same bytes.

    Args:
        model: ONNX, as in a bundle.
        precision: of the layers that hold weights.

    Raises:
        InputError: the onnx package is not installed, the graph cannot be read, or it takes
            weights from other files.
    """
    try:
        import onnx
        from onnx import TensorProto
    except ImportError as error:
        raise InputError("onnx", "is not installed", "pip install onnx") from error
    try:
        proto = onnx.load_model_from_string(model)
    except Exception as error:  # protobuf's own, by implementation
        raise InputError("the graph", "cannot be read", "export it again") from error
    graph = proto.graph
    for tensor in _tensors(graph):
        if tensor.data_location == TensorProto.EXTERNAL:
            raise InputError("the graph", "takes weights from other files", "export it as one")
    _cast_images(onnx, graph)
    if precision == "fp16":
        _halve(onnx, graph)
    del graph.value_info[:]  # shapes and types that were true of the graph as it was
    onnx.checker.check_model(proto, full_check=True)
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t


def _cast_images(onnx: Any, graph: Any) -> None:
    """float32 right after every uint8 input; what cast it later casts nothing any more."""
    images = {
        value.name
        for value in graph.input
        if value.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    }
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name in images:
                node.input[index] = _as_float(name)
    casts = [
        onnx.helper.make_node("Cast", [name], [_as_float(name)], to=onnx.TensorProto.FLOAT)
        for name in sorted(images)
    ]
    _set_nodes(graph, [*casts, *graph.node])


def _as_float(name: str) -> str:
    return f"{name}/as_float"


def _halve(onnx: Any, graph: Any) -> None:
    """float16 weights and arithmetic in the weighted layers, float32 everywhere else."""
    float32, float16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
    weights = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == float32}
    halves: dict[str, Any] = {}
    nodes = []
    for node in graph.node:
        if node.op_type not in _WEIGHTED or not any(name in weights for name in node.input):
            nodes.append(node)
            continue
        # By its output, which no other node has.
        stem = f"{node.output[0]}/half"
        for index, name in enumerate(node.input):
            if not name:
                continue
            if name in weights:
                half = f"{name}/half"
                if half not in halves:
                    array = onnx.numpy_helper.to_array(weights[name]).astype("float16")
                    halves[half] = onnx.numpy_helper.from_array(array, half)
            else:
                half = f"{stem}_{index}"
                nodes.append(onnx.helper.make_node("Cast", [name], [half], to=float16))
            node.input[index] = half
        output = node.output[0]
        node.output[0] = stem
        nodes += [node, onnx.helper.make_node("Cast", [stem], [output], to=float32)]
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend([*kept, *halves.values()])
    _set_nodes(graph, nodes)


def _set_nodes(graph: Any, nodes: list[Any]) -> None:
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
