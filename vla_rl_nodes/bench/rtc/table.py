"""Outcomes in, the result's object out: one list over the delays for every figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from vla_rl_nodes.bench.rtc.matrix import ROWS, Outcome
from vla_rl_nodes.bench.rtc.measure import measure
from vla_rl_nodes.bench.rtc.rollout import Trace

ROUNDED = {
    "success": 4, "success_low": 4, "success_high": 4, "seconds": 3, "seam_ratio_p95": 3,
    "seam_bend_p95": 7, "inside_bend_p95": 7, "candidates_per_chunk": 2,
}  # fmt: skip


def table(outcomes: Iterable[Outcome], delays: Sequence[int], period_s: float) -> dict[str, Any]:
    """``{row: {delay, success, success_low, ..., tasks: {task: {...}}, training_seeds: [...]}}``.

    The lists go over the delays. The row's own figures pool all tasks and training seeds.
    """
    found: dict[str, dict[tuple[int, int, str], list[Trace]]] = {}
    for outcome in outcomes:
        unit = outcome.unit
        for task, traces in outcome.traces.items():
            found.setdefault(unit.row.name, {})[unit.delay, unit.trained, task] = traces
    result = {}
    for row in ROWS:
        if row.name not in found:
            continue
        cells = found[row.name]
        tasks = sorted({task for _, _, task in cells})
        trained = sorted({number for _, number, _ in cells})
        result[row.name] = {
            "baseline": row.baseline,
            **_lists(cells, delays, period_s),
            "tasks": {
                task: _lists({k: v for k, v in cells.items() if k[2] == task}, delays, period_s)
                for task in tasks
            },
            "training_seeds": [
                _lists({k: v for k, v in cells.items() if k[1] == n}, delays, period_s)["success"]
                for n in trained
            ],
        }
    return result


def _lists(
    cells: dict[tuple[int, int, str], list[Trace]], delays: Sequence[int], period_s: float
) -> dict[str, Any]:
    points = [
        asdict(measure([t for key, part in cells.items() if key[0] == d for t in part], period_s))
        for d in delays
    ]
    lists: dict[str, Any] = {"delay": list(delays)}
    for name in points[0]:
        digits = ROUNDED.get(name)
        lists[name] = [
            p[name] if digits is None or p[name] is None else round(p[name], digits)
            for p in points
        ]
    return lists


def verdict(strategies: dict[str, Any], reference: str = "prefix") -> dict[str, Any]:
    """What is claimed of the prefix student, and whether it is so.

    Returns:
        ``success_kept``: points lost from no delay to the longest (at most 3 claimed);
        ``above_baselines``: the least lead over a baseline at delays of 4 and more, in points;
        ``worst_seam_ratio``: over the delays from 1 on (at most 1.2 claimed);
        ``teacher_gap``: the student's success less the teacher's, in points, over all delays.
    """
    own = strategies[reference]
    leads = {
        name: min(
            100.0 * (mine - theirs)
            for d, mine, theirs in zip(own["delay"], own["success"], row["success"], strict=True)
            if d >= 4
        )
        for name, row in strategies.items()
        if row["baseline"] and max(own["delay"]) >= 4
    }
    ratios = [
        ratio
        for d, ratio in zip(own["delay"], own["seam_ratio_p95"], strict=True)
        if d >= 1 and ratio is not None
    ]
    found: dict[str, Any] = {
        "points_lost_by_delay": round(100.0 * (own["success"][0] - own["success"][-1]), 2),
        "least_lead_points": {name: round(lead, 2) for name, lead in leads.items()},
        "worst_seam_ratio": max(ratios, default=None),
    }
    teacher = strategies.get("prefix_teacher")
    if teacher is not None:
        mean = [sum(row["success"]) / len(row["success"]) for row in (own, teacher)]
        found["student_less_teacher_points"] = round(100.0 * (mean[0] - mean[1]), 2)
    found["held"] = {
        "success_kept_within_3_points": found["points_lost_by_delay"] <= 3.0,
        "above_every_baseline_from_delay_4": bool(leads) and min(leads.values()) > 0.0,
        "seam_ratio_at_most_1.2": bool(ratios) and max(ratios) <= 1.2,
    }
    if teacher is not None:
        found["held"]["within_2_points_of_the_teacher"] = (
            found["student_less_teacher_points"] >= -2.0
        )
    return found
