"""The figures of all episodes with help, as plain, finite values; None where there are none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vla_rl_nodes.bench.people.deeds import Help
from vla_rl_nodes.bench.people.half_policy import Alone
from vla_rl_nodes.bench.people.help_judge import Verdict
from vla_rl_nodes.bench.people.help_record import Evidence
from vla_rl_nodes.bench.people.help_run import Attempt, kept
from vla_rl_nodes.demo.summary import wilson

LEAST_SUCCESS = 0.95
LONGEST_TAKEOVER_TICKS = 3.0
_LISTED = 50


@dataclass(frozen=True)
class Judged:
    """One recorded episode with what he did in it and the verdict."""

    evidence: Evidence
    helps: tuple[Help, ...]
    verdict: Verdict


def help_figures(attempts: Sequence[Attempt], judged: Sequence[Judged]) -> dict[str, Any]:
    """Of the episodes with help.

    Everything counts the last attempt of every seed, if the machine did not spoil it. A seed that
    it spoilt at every attempt is neither success nor failure: it is listed under ``spoilt``.

    Args:
        attempts: all episodes that were run, repetitions too.
        judged: of those that count, each whose bag holds a step.
    """
    counted = [attempt for attempt in kept(attempts) if not attempt.spoilt]
    spoilt = [attempt for attempt in kept(attempts) if attempt.spoilt]
    successes = sum(attempt.result.outcome == "success" for attempt in counted)
    verdicts = [entry.verdict for entry in judged]
    steps = sum(verdict.steps for verdict in verdicts)
    intervened = sum(verdict.intervened for verdict in verdicts)
    complete = sum(verdict.complete for verdict in verdicts)
    takeovers = [ticks for verdict in verdicts for ticks in verdict.takeover_ticks]
    in_bag = [ticks for verdict in verdicts for ticks in verdict.takeover_ticks_in_bag]
    back = [ticks for verdict in verdicts for ticks in verdict.handback_ticks]
    released = [seconds for verdict in verdicts for seconds in verdict.release_s]
    all_helps = [help_ for entry in judged for help_ in entry.helps if help_.felt_ns is not None]
    violations: Counter[str] = Counter()
    for entry in judged:
        violations.update(entry.evidence.violations)
    faults = [f"{e.evidence.episode_id}: {text}" for e in judged for text in e.verdict.faults]
    return {
        "success_with_help": _share(successes, len(counted)),
        "success_with_help_95": list(wilson(successes, len(counted))),
        "episodes": len(counted),
        "episodes_helped": sum(bool(entry.helps) for entry in judged),
        "failures": [
            {"seed": a.result.seed, "outcome": a.result.outcome, "reason": a.result.reason}
            for a in counted if a.result.outcome != "success"
        ],
        "spoilt": [{"seed": a.result.seed, "reason": a.spoilt} for a in spoilt],
        "repeated": sum(bool(attempt.spoilt) for attempt in attempts) - len(spoilt),
        "repeated_reasons": dict(Counter(a.spoilt for a in attempts if a.spoilt)),
        "spoilt_outcomes": dict(Counter(a.result.outcome for a in attempts if a.spoilt)),
        "ticks": sum(entry.evidence.ticks for entry in judged),
        "commands_missing": sum(entry.evidence.commands_missing for entry in judged),
        "steps": steps,
        "intervened_steps": intervened,
        "intervened_steps_complete": complete,
        "intervened_steps_complete_share": _share(complete, intervened),
        "intervention_rate": _share(intervened, steps),
        "causes": dict(Counter(help_.cause for help_ in all_helps)),
        "takeover_ticks_p50": _percentile(takeovers, 50),
        "takeover_ticks_p99": _percentile(takeovers, 99),
        "takeover_ticks_max": _percentile(takeovers, 100),
        "takeover_ticks_in_bag_p99": _percentile(in_bag, 99),
        "edges_expected": sum(verdict.expected for verdict in verdicts),
        "edges_recorded": sum(verdict.recorded for verdict in verdicts),
        "edges_too_late": sum(verdict.too_late for verdict in verdicts),
        "handbacks": len(back),
        "handback_ticks_p50": _percentile(back, 50),
        "handback_ticks_max": _percentile(back, 100),
        "release_s_p50": _percentile(released, 50),
        "release_s_p99": _percentile(released, 99),
        "jerk_violations": sum(verdict.jerks for verdict in verdicts),
        "jerk_violations_at_hand_overs": sum(e.evidence.jerks_at_hand_over for e in judged),
        "limit_violations": dict(violations),
        "faults": faults[:_LISTED],
        "faults_count": len(faults),
    }  # fmt: skip


def help_bars(figures: dict[str, Any]) -> dict[str, bool]:
    """Which of the promises the figures keep."""
    ticks, success = figures["takeover_ticks_p99"], figures["success_with_help"]
    return {
        "success_with_help": success is not None and success >= LEAST_SUCCESS,
        "takeover_ticks": ticks is not None and ticks < LONGEST_TAKEOVER_TICKS,
        "actions_complete": figures["intervened_steps"] == figures["intervened_steps_complete"],
        "edges": figures["edges_expected"] == figures["edges_recorded"],
        "jerk": figures["jerk_violations"] == 0,
        "no_faults": figures["faults_count"] == 0,
        "none_spoilt": not figures["spoilt"],
    }


def alone_figures(alone: Alone) -> dict[str, Any]:
    """Of the policy without help."""
    successes, episodes = sum(alone.successes), len(alone.successes)
    return {
        "policy_version": alone.version,
        "success_alone": _share(successes, episodes),
        "success_alone_95": list(wilson(successes, episodes)),
        "episodes_alone": episodes,
        "alone_stopped_by_the_filter": sum(alone.frozen),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _percentile(values: Sequence[float], share: float) -> float | None:
    return float(np.percentile(np.array(values, dtype=np.float64), share)) if values else None
