"""The figures of a whole run: rates with their uncertainty, pooled times, and one row each."""

from __future__ import annotations

import math
import os
import platform
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.demo.measure import EpisodeMeasure, percentile

Array = NDArray[np.float64]
_Z95 = 1.959963984540054


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a rate (Wilson 1927); (0, 1) of no trials."""
    if trials == 0:
        return 0.0, 1.0
    rate, z2 = successes / trials, _Z95**2 / trials
    middle = (rate + z2 / 2.0) / (1.0 + z2)
    half = _Z95 * math.sqrt(rate * (1.0 - rate) / trials + z2 / (4.0 * trials)) / (1.0 + z2)
    # At the ends the bound is exact; rounding must not move it inside.
    low = 0.0 if successes == 0 else max(middle - half, 0.0)
    return low, 1.0 if successes == trials else min(middle + half, 1.0)


def pooled(measures: Sequence[EpisodeMeasure], take: Callable[[EpisodeMeasure], Any]) -> Array:
    """Arrays of all episodes, one after the other."""
    parts = [np.asarray(take(m), dtype=np.float64) for m in measures]
    return np.concatenate(parts) if parts else np.zeros(0)


def success_rate(measures: Sequence[EpisodeMeasure]) -> float | None:
    """Share of the episodes that ended in success; None of no episodes."""
    return _successes(measures) / len(measures) if measures else None


def summarise(
    measures: Sequence[EpisodeMeasure],
    seed: int,
    robot: str,
    *,
    blackout: Sequence[EpisodeMeasure] = (),
    unrecorded: int = 0,
) -> dict[str, Any]:
    """The figures of a run as plain, finite values; None where there is nothing to measure.

    Success counts the episodes with working cameras. Everything about timing, safety and parity
    counts those of the control group, with blacked-out cameras, as well: the same nodes ran.

    Args:
        measures: the episodes with working cameras.
        seed: of the first one.
        robot: its name.
        blackout: the control group.
        unrecorded: episodes that left no bag; they are in no other figure.
    """
    every = [*measures, *blackout]
    low, high = wilson(_successes(measures), len(measures))
    policy_late = pooled(every, lambda m: m.ticks.lateness_ms)
    filter_late = pooled(every, lambda m: m.filter.lateness_ms)
    inference = pooled(every, lambda m: m.chunks.inference_ms)
    expected = sum(m.ticks.expected for m in every)
    kept = sum(min(m.ticks.acted, m.ticks.expected) for m in every)
    violations: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for measure in every:
        violations.update(measure.limits.counts)
        reasons.update(measure.filter.reasons)
    rest = [m.limits.rest_s for m in every if m.limits.rest_s is not None]
    summary: dict[str, Any] = {
        "robot": robot,
        "seed": seed,
        "task": next((m.task for m in every if m.task), ""),
        "policy_versions": list(dict.fromkeys(v for m in every for v in m.policy_versions)),
        "episodes": len(measures),
        "successes": _successes(measures),
        "success_rate": success_rate(measures),
        "success_rate_low": low,
        "success_rate_high": high,
        "outcomes": dict(sorted(Counter(m.outcome for m in measures).items())),
        "unrecorded_episodes": unrecorded,
        "ticks": sum(m.ticks.ticks for m in every),
        "ticks_expected": expected,
        "ticks_kept": kept / expected if expected else None,
        "starved_ticks": sum(m.ticks.starved for m in every),
        "blind_ticks": sum(m.ticks.blind for m in every),
        "skipped_ticks": sum(m.ticks.skipped for m in every),
        "tick_lateness_p50_ms": percentile(policy_late, 50),
        "tick_lateness_p99_ms": percentile(policy_late, 99),
        "tick_lateness_max_ms": percentile(policy_late, 100),
        "filter_tick_lateness_p50_ms": percentile(filter_late, 50),
        "filter_tick_lateness_p99_ms": percentile(filter_late, 99),
        "filter_tick_lateness_max_ms": percentile(filter_late, 100),
        "filter_skipped_ticks": sum(m.filter.skipped for m in every),
        "chunks": sum(m.chunks.count for m in every),
        "inference_p50_ms": percentile(inference, 50),
        "inference_p99_ms": percentile(inference, 99),
        "inference_max_ms": percentile(inference, 100),
        **_chunk_figures(every),
        "executed_ticks": sum(m.filter.executed for m in every),
        "changed_ticks": sum(m.filter.changed for m in every),
        "refused_ticks": sum(m.filter.refused for m in every),
        "residual_ticks": sum(m.filter.residual_ticks for m in every),
        "intervention_ticks": sum(m.filter.interventions for m in every),
        "filter_reasons": dict(sorted(reasons.items())),
        "commands_checked": sum(len(m.limits.commanded.times_s) for m in every),
        "measured_checked": sum(len(m.limits.measured.times_s) for m in every),
        "limit_violations": violations.total(),
        "violations": dict(sorted(violations.items())),
        "commands_missing": sum(m.limits.missing for m in every),
        "commands_late": sum(m.limits.late for m in every),
        "rest_max_s": max(rest, default=None),
        "not_at_rest": len(every) - len(rest),
        "parity_matched": sum(m.parity.matched for m in every),
        "parity_ticks": sum(m.observed for m in every),
        "bags": [m.bag for m in every],
        "rows": [{**m.summary(), "blackout": False} for m in measures]
        + [{**m.summary(), "blackout": True} for m in blackout],
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
    }
    if blackout:
        summary["blackout_episodes"] = len(blackout)
        summary["blackout_successes"] = _successes(blackout)
        summary["blackout_success_rate"] = success_rate(blackout)
        low, high = wilson(_successes(blackout), len(blackout))
        summary["blackout_success_rate_low"], summary["blackout_success_rate_high"] = low, high
    return finite(summary)  # type: ignore[no-any-return]


def finite(value: Any) -> Any:
    """The same value in plain types, with None for every number that JSON cannot hold."""
    if isinstance(value, dict):
        return {str(key): finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def table(measures: Sequence[EpisodeMeasure]) -> list[list[str]]:
    """The episodes as text for a terminal: a row of headings, then one row each."""
    rows = [["seed", "outcome", "s", "ticks", "starved", "late p99 ms", "inference p50 ms",
             "changed", "violations", "parity"]]  # fmt: skip
    for m in measures:
        ticks = m.ticks
        rows.append([
            "-" if m.seed is None else str(m.seed), m.outcome, f"{m.duration_s:.2f}",
            f"{ticks.acted}/{ticks.expected}", str(ticks.starved),
            _text(percentile(ticks.lateness_ms, 99)), _text(percentile(m.chunks.inference_ms, 50)),
            str(m.filter.changed), str(len(m.limits.violations)),
            f"{m.parity.matched}/{m.observed}",
        ])  # fmt: skip
    return rows


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _successes(measures: Sequence[EpisodeMeasure]) -> int:
    return sum(m.outcome == "success" for m in measures)


def _chunk_figures(measures: Sequence[EpisodeMeasure]) -> dict[str, Any]:
    """Delays and seams of all chunks; ratios of 95th percentiles."""
    delays = pooled(measures, lambda m: m.chunks.delay)
    errors = [m.chunks.prefix_error for m in measures if m.chunks.prefix_error is not None]
    return {
        "delay_p50": percentile(delays, 50),
        "delay_max": percentile(delays, 100),
        "delay_misses": sum(m.chunks.misses for m in measures),
        "prefix_error": max(errors, default=None),
        "seams": sum(len(m.chunks.seams) for m in measures),
        "seam_step_ratio": seam_ratio(measures, "step"),
        "seam_bend_ratio": seam_ratio(measures, "bend"),
    }


def seam_ratio(measures: Sequence[EpisodeMeasure], kind: str) -> float | None:
    """The 95th percentile of the step (or bend) at the seams over that inside the chunks, of its
    length over all axes; None without seams or without motion inside the chunks."""
    seam, inner = (np.linalg.norm(rows, axis=1) for rows in seam_rows(measures, kind))
    if not len(seam) or not len(inner):
        return None
    inside = float(np.percentile(inner, 95))
    return float(np.percentile(seam, 95)) / inside if inside > 0.0 else None


def seam_rows(measures: Sequence[EpisodeMeasure], kind: str) -> tuple[Array, Array]:
    """Steps (or bends) at the seams of all episodes [S, A], and inside their chunks [N, A]."""
    axes = len(measures[0].contract.action.names) if measures else 0
    return (
        np.concatenate([np.zeros((0, axes)), *(_rows(m, "seam", kind) for m in measures)]),
        np.concatenate([np.zeros((0, axes)), *(_rows(m, "inner", kind) for m in measures)]),
    )


def _rows(measure: EpisodeMeasure, where: str, kind: str) -> Array:
    chunks = measure.chunks
    rows = {
        ("seam", "step"): chunks.seam_step, ("seam", "bend"): chunks.seam_bend,
        ("inner", "step"): chunks.inner_step, ("inner", "bend"): chunks.inner_bend,
    }  # fmt: skip
    return rows[where, kind]
