"""One measurement of a bundle on this machine, as a dictionary that JSON can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vla_rl_nodes.bench.machine import machine
from vla_rl_nodes.bench.policy.subjects import (
    CHECKS,
    FLOOR,
    REFERENCE,
    TEACHER,
    TORCH,
    TORCH_TEACHER,
    Found,
    examples,
    find,
)
from vla_rl_nodes.bench.policy.timing import Times, interleaved
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.bundle import Bundle
from vla_rl_nodes.policy.parity import largest_difference

LEAST_CALLS = 200  # fewer say nothing of the slowest hundredth
_WARM_UP_CALLS = 20


def run(
    bundle: Bundle,
    *,
    seed: int = 0,
    calls: int = 2000,
    cache: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Times a chunk on every engine that runs here, side by side in one run.

    Args:
        bundle: a verified bundle.
        seed: of the made-up inputs and of the order.
        calls: of each engine.
        cache: folder of built engines; None for this user's.
        progress: told calls done and calls in all, of each engine.

    Returns:
        ``engines`` and ``others``: name to ``calls``, ``p5_ms``, ``p50_ms``, ``p99_ms``,
        ``mean_ms`` and ``max_ms``, engines with ``largest_difference`` from onnxruntime on the
        CPU, as a share of the axis' range. ``not_run``: name to reason. ``floor_ms``: an empty
        call.
        ``checks``: the arguments' checks in Python, and their share of a call on the CPU.
        ``onnxruntime_vs_torch``: both on one CPU thread. ``student_vs_teacher``: one chunk of
        each on the same engine; ``deployed_vs_torch_teacher``: the student as it is deployed
        against the teacher as it is trained. A comparison is None where a side does not run.
        ``machine``: what it ran on.

    Raises:
        InputError: too few calls, or the bundle does not run on the CPU.
    """
    if calls < LEAST_CALLS:
        raise InputError("calls", f"is {calls}", f"give at least {LEAST_CALLS}")
    with _one_torch_thread():
        found = find(bundle, cache)
        given = examples(bundle, seed)
        reference = found.engines[REFERENCE]
        differences = {
            name: largest_difference(reference, engine, seed)
            for name, engine in found.engines.items()
        }
        subjects = found.calls()
        for call in subjects.values():
            for number in range(_WARM_UP_CALLS):
                call(given[number % len(given)])
        times = interleaved(subjects, given, calls, seed, progress)
    return {
        "policy": bundle.version,
        "contract": bundle.contract.name,
        "seed": seed,
        "calls": calls,
        "engines": {
            name: {**asdict(times[name]), "largest_difference": differences[name]}
            for name in found.engines
        },
        "others": {name: asdict(times[name]) for name in found.others},
        "not_run": found.not_run,
        "floor_ms": times[FLOOR].p50_ms,
        "checks": {
            "p50_ms": times[CHECKS].p50_ms,
            "share_of_call": times[CHECKS].p50_ms / times[REFERENCE].p50_ms,
        },
        **_comparisons(times, found),
        "machine": machine(),
    }


def _comparisons(times: Mapping[str, Times], found: Found) -> dict[str, Any]:
    torch = _ratio(times, "onnxruntime_ms", REFERENCE, "torch_ms", TORCH[0])
    same = _ratio(times, "student_ms", REFERENCE, "teacher_ms", TEACHER)
    other = _ratio(times, "student_ms", REFERENCE, "teacher_ms", TORCH_TEACHER)
    steps = {"teacher_steps": found.teacher_steps}
    if same is not None:
        same |= {**steps, "same_engine": True}
    if other is not None:
        other |= {**steps, "same_engine": False}
    return {
        "onnxruntime_vs_torch": torch,
        "student_vs_teacher": same,
        "deployed_vs_torch_teacher": other,
    }


def _ratio(
    times: Mapping[str, Times], key: str, name: str, other_key: str, other: str
) -> dict[str, Any] | None:
    """How many times as long the other takes, by the medians; None where it did not run."""
    if other not in times:
        return None
    mine, others = times[name].p50_ms, times[other].p50_ms
    return {key: mine, other_key: others, "ratio": others / mine}


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """onnxruntime computes with one thread; to compare them, so does torch, where it is."""
    try:
        from vla_rl_nodes.learner.torch_engine import torch_threads
    except ImportError:
        yield
        return
    with torch_threads(1):
        yield
