"""Builds engines for a bundle and this machine's GPU, measures them, and keeps them in the cache.

This is the work of the command ``vla-rl policy build``: it takes minutes and all of the GPU, and
is never done by a node. A half-precision engine that is further from the CPU's answers than
policy.parity allows is not kept; a float32 one is then built in its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy import build_cache, providers
from vla_rl_nodes.policy.build_cache import EngineKey
from vla_rl_nodes.policy.bundle import MODEL, Bundle
from vla_rl_nodes.policy.onnx_engine import OnnxEngine
from vla_rl_nodes.policy.parity import check_parity
from vla_rl_nodes.policy.tensorrt_engine import (
    NAME,
    PLAN,
    TensorRtEngine,
    engine_key,
    module,
)
from vla_rl_nodes.policy.tensorrt_graph import PRECISIONS, Precision, for_tensorrt

Say = Callable[[str], None]
Kind = Literal["tensorrt", "onnxruntime-tensorrt"]

_WORKSPACE = 1 << 30  # bytes of GPU memory that a kernel may ask for while it runs


@dataclass(frozen=True)
class Built:
    """An engine in the cache.

    Attributes:
        folder: where it is.
        precision: that it was built with.
        difference: from onnxruntime on the CPU, a share of an axis' range.
        report: what was tried before and why it was not kept, one line each.
    """

    folder: Path
    precision: Precision
    difference: float
    report: tuple[str, ...]


def build(
    bundle: Bundle,
    kind: Kind = "tensorrt",
    *,
    candidates: int = 16,
    precisions: tuple[Precision, ...] = PRECISIONS,
    file: str = MODEL,
    cache: Path | None = None,
    say: Say = lambda line: None,
) -> Built:
    """Builds an engine in the first precision that is near enough to the CPU's answers.

    Args:
        bundle: a verified bundle.
        kind: TensorRT itself, or onnxruntime's TensorRT provider.
        candidates: the largest batch, for choosing among several chunks.
        precisions: to try, in this order.
        file: which graph of the bundle.
        cache: folder of built engines; None for this user's.
        say: is told what is being done.

    Raises:
        InputError: something that building needs is not installed or there, the graph cannot be
            built, or no precision is near enough.
    """
    root = build_cache.default_root() if cache is None else cache
    make = _build_plan if kind == NAME else _build_provider
    reference = OnnxEngine(bundle, candidates=candidates, file=file)
    report: list[str] = []
    for precision in precisions:
        say(f"building {kind} in {precision}")
        with build_cache.draft(root) as folder:
            key, engine = make(bundle, precision, candidates, file, root, folder)
            say("comparing it with the CPU")
            try:
                difference = check_parity(reference, engine, precision)
            except InputError as error:
                report.append(f"{precision} was not kept: {error.problem}")
                continue
            del engine  # it may still be writing into the folder
            place = build_cache.keep(
                root, key, folder, candidates=candidates, difference=difference
            )
        return Built(place, precision, difference, tuple(report))
    raise InputError(kind, "; ".join(report), "use onnxruntime, and report both versions")


def _build_plan(
    bundle: Bundle,
    precision: Precision,
    candidates: int,
    file: str,
    root: Path,
    folder: Path,
) -> tuple[EngineKey, TensorRtEngine]:
    key = engine_key(bundle, precision, file)
    made_for = f"{key.gpu} {key.compute_capability} {key.versions}"
    timings = f"timings-{hashlib.sha256(made_for.encode()).hexdigest()[:32]}"
    graph = for_tensorrt(bundle.files[file], precision)
    plan, measured = serialised_plan(graph, candidates, build_cache.read_timings(root, timings))
    build_cache.write_timings(root, timings, measured)
    (folder / PLAN).write_bytes(plan)
    return key, TensorRtEngine(
        bundle, precision=precision, candidates=candidates, file=file, plan=plan
    )


def serialised_plan(graph: bytes, candidates: int, timings: bytes) -> tuple[bytes, bytes]:
    """A plan for the GPU of this machine, and the builder's measurements for the next build.

    TensorRT's network is strongly typed: the graph says the precision of every layer.

    Args:
        graph: of :func:`for_tensorrt`.
        candidates: the largest batch.
        timings: of an earlier build on this machine, or none.

    Raises:
        InputError: TensorRT is not there, cannot read the graph or cannot build it.
    """
    trt = module()
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    # TensorRT 11 has only strongly typed networks, and ignores the flag.
    flag = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flag)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        said = [str(parser.get_error(i)) for i in range(parser.num_errors)]
        raise InputError(NAME, f"cannot read the graph ({'; '.join(said)})", "report it")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE)
    # TF32 keeps 10 bits of a mantissa: no float32 to compare with.
    config.clear_flag(trt.BuilderFlag.TF32)
    cache = config.create_timing_cache(timings)
    config.set_timing_cache(cache, ignore_mismatch=False)
    tensors = {t.name: t for t in map(network.get_input, range(network.num_inputs))}
    if tensors["noise"].shape[0] != -1 and candidates > 1:
        raise InputError(NAME, "the graph takes one chunk a call", "build it for 1 candidate")
    axis = tensors["noise"].get_dimension_name(0)
    # The order makes PROFILE_ONE and PROFILE_MANY.
    for rows in (1, candidates):
        profile = builder.create_optimization_profile()
        for name, tensor in tensors.items():
            rest = tuple(tensor.shape)[1:]
            # An input with an axis of its own, an observation that is encoded once, has one row.
            most = rows if tensor.get_dimension_name(0) == axis else 1
            profile.set_shape(name, (1, *rest), (most, *rest), (most, *rest))
        config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise InputError(NAME, "cannot build the graph", "look at what TensorRT printed")
    measured = config.get_timing_cache().serialize()
    return bytes(plan), bytes(measured)


def _build_provider(
    bundle: Bundle,
    precision: Precision,
    candidates: int,
    file: str,
    root: Path,
    folder: Path,
) -> tuple[EngineKey, OnnxEngine]:
    key = providers.provider_key(bundle, precision, file)
    graph = for_tensorrt(bundle.files[file], precision)
    (folder / MODEL).write_bytes(graph)
    return key, OnnxEngine(
        bundle,
        device="tensorrt",
        candidates=candidates,
        file=file,
        built=providers.Built(graph, folder, candidates),
    )
