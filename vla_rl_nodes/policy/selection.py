"""Chooses the fastest engine that this machine has, and says why it is not a faster one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy import build_cache, providers
from vla_rl_nodes.policy.bundle import MODEL, Bundle
from vla_rl_nodes.policy.checked_engine import CheckedEngine
from vla_rl_nodes.policy.onnx_engine import OnnxEngine
from vla_rl_nodes.policy.parity import check_parity
from vla_rl_nodes.policy.tensorrt_engine import TensorRtEngine
from vla_rl_nodes.policy.tensorrt_graph import PRECISIONS, Precision

# The fastest first.
ENGINES = ("tensorrt", "onnxruntime-tensorrt", "onnxruntime-cuda", "onnxruntime-cpu")
AUTO = "auto"


@dataclass(frozen=True)
class Choice:
    """An engine that is ready, and one line for each faster one on why it is not that one."""

    engine: CheckedEngine
    report: tuple[str, ...]


def choose_engine(
    bundle: Bundle,
    wanted: str = AUTO,
    *,
    threads: int = 1,
    candidates: int = 16,
    file: str = MODEL,
    cache: Path | None = None,
) -> Choice:
    """An engine for a bundle, warmed up, whose answers were compared with the CPU's.

    Args:
        bundle: a verified bundle.
        wanted: ``auto``, or one of :data:`ENGINES`, which is then taken or refused.
        threads: of the CPU that one call may use.
        candidates: the most noises that a call of infer_many may bring.
        file: which graph of the bundle.
        cache: folder of built engines; None for this user's.

    Raises:
        InputError: the name is unknown, that engine is not there (the line says what to
            install), or the bundle runs on none.
    """
    if wanted not in (AUTO, *ENGINES):
        raise InputError(
            "engine", f"'{wanted}' is unknown", f"give {AUTO} or one of {', '.join(ENGINES)}"
        )
    reference = OnnxEngine(bundle, threads, candidates=candidates, file=file)
    if wanted != AUTO:
        return Choice(_opened(reference, wanted, threads, cache), ())
    report: list[str] = []
    for name in ENGINES[:-1]:
        try:
            engine = _opened(reference, name, threads, cache)
        except InputError as error:
            report.append(str(error) if error.place == name else f"{name}: {error}")
        else:
            return Choice(engine, tuple(report))
    return Choice(reference, tuple(report))


def _opened(reference: OnnxEngine, name: str, threads: int, cache: Path | None) -> CheckedEngine:
    """The engine of that name, compared with the reference; or the reference, if it is that."""
    if name == reference.name:
        return reference
    try:
        if name == "onnxruntime-cuda":
            engine = OnnxEngine(
                reference.bundle,
                threads,
                device="cuda",
                candidates=reference.candidates,
                file=reference.file,
            )
            check_parity(reference, engine, "fp32")
            return engine
        return _built(reference, name, threads, cache)
    except InputError:
        raise
    except Exception as error:  # a GPU's libraries raise many unrelated types
        raise InputError(
            name, f"fails ({type(error).__name__}: {error})", "report the versions of its parts"
        ) from error


def _built(reference: OnnxEngine, name: str, threads: int, cache: Path | None) -> CheckedEngine:
    """The engine in the cache, in the first precision that was built."""
    refusals: list[InputError] = []
    for precision in PRECISIONS:
        try:
            engine = _load(reference, name, precision, threads, cache)
            check_parity(reference, engine, precision)
        except InputError as error:
            refusals.append(error)
        else:
            return engine
    problems = dict.fromkeys(error.problem for error in refusals)
    raise InputError(refusals[0].place, "; ".join(problems), refusals[0].remedy)


def _load(
    reference: OnnxEngine, name: str, precision: Precision, threads: int, cache: Path | None
) -> CheckedEngine:
    bundle, candidates, file = reference.bundle, reference.candidates, reference.file
    if name == "tensorrt":
        return TensorRtEngine(
            bundle, precision=precision, candidates=candidates, file=file, cache=cache
        )
    root = build_cache.default_root() if cache is None else cache
    key = providers.provider_key(bundle, precision, file)
    entry = build_cache.load(root, key, candidates)
    return OnnxEngine(
        bundle,
        threads,
        device="tensorrt",
        candidates=candidates,
        file=file,
        built=providers.Built(entry.files[MODEL], entry.folder, entry.candidates),
    )
