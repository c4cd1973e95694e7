"""The figures of pairs of episodes, without and with retries; None where there are none."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from vla_rl_nodes.bench.people.retries_loop import Told, Trial
from vla_rl_nodes.bench.people.retries_strategies import FAILING, GOOD
from vla_rl_nodes.demo.summary import wilson

LEAST_GAIN_POINTS = 15.0
MOST_FALSE = 0.05
_Z95 = 1.959963984540054


class Pair(NamedTuple):
    """The same seed without anything done about stalls, and with it."""

    without: Trial
    with_retries: Trial

    @property
    def failing(self) -> bool:
        """Whether the first strategy is one that fails."""
        return self.without.strategies[0] != GOOD


def retries_figures(pairs: Sequence[Pair], caps_s: Sequence[float]) -> dict[str, Any]:
    """Of all pairs.

    A false retry is an episode whose first strategy is no failing one and in which a stall was
    told in that attempt, whatever came of it. ``told_of_good_later`` are stalls of a strategy that
    works in a later attempt; ``retries_with_good`` are episodes whose second attempt follows one.

    Args:
        pairs: at least one.
        caps_s: success within each of these is given, too, from the same episodes.
    """
    count = len(pairs)
    good = [pair for pair in pairs if not pair.failing]
    bad = [pair for pair in pairs if pair.failing]
    alone = sum(pair.without.success for pair in pairs)
    helped = sum(pair.with_retries.success for pair in pairs)
    false = sum(_told_at_once(pair) is not None for pair in good)
    succeed = [pair for pair in good if pair.without.success]
    attempts = [name for pair in pairs for name in pair.with_retries.strategies]
    failed = sum(name != GOOD for name in attempts)
    told = [told for pair in pairs for told in pair.with_retries.told]
    asked = Counter(one.asked for one in told)
    after = [one.after_s for one in told if one.strategy != GOOD]
    retreats = [seconds for pair in pairs for seconds in pair.with_retries.retreats_s]
    recovered = sum(pair.with_retries.success for pair in bad)
    second = [pair for pair in pairs if pair.with_retries.strategies[1:2] == (GOOD,)]
    return {
        "episodes": count,
        "success_without": alone / count,
        "success_without_95": list(wilson(alone, count)),
        "success_with": helped / count,
        "success_with_95": list(wilson(helped, count)),
        **_gain(pairs),
        "success_within_s": {
            f"{cap:g}": [_within([p.without for p in pairs], cap),
                         _within([p.with_retries for p in pairs], cap)] for cap in caps_s
        },
        "episodes_failing": len(bad),
        "recovered": recovered,
        "recovered_share": _share(recovered, len(bad)),
        "strategy_failures": failed,
        "failures_told": sum(one.strategy != GOOD for one in told),
        "retries": asked["retry"],
        "retries_per_failure": _share(asked["retry"], failed),
        "retries_with_good": len(second),
        "of_these_succeeded": sum(pair.with_retries.success for pair in second),
        "helps_asked": asked["help"],
        "told_of_good_later": sum(one.strategy == GOOD and one.attempt > 1 for one in told),
        "episodes_good": len(good),
        "false_retries": false,
        "false_retry_share": _share(false, len(good)),
        "false_retry_95": list(wilson(false, len(good))),
        "good_that_succeed_alone": len(succeed),
        "false_retries_of_these": sum(_told_at_once(pair) is not None for pair in succeed),
        "good_lost": sum(p.without.success and not p.with_retries.success for p in good),
        "told_after_s_p50": _percentile(after, 50),
        "told_after_s_p95": _percentile(after, 95),
        "told_after_s_max": _percentile(after, 100),
        "retreat_s_mean": float(np.mean(retreats)) if retreats else None,
        "retreats_failed": dict(
            Counter(why for pair in pairs for why in pair.with_retries.retreats_failed)
        ),
        "outcomes_without": dict(Counter(pair.without.outcome for pair in pairs)),
        "outcomes_with": dict(Counter(pair.with_retries.outcome for pair in pairs)),
        "kinds": {kind: _of_kind([p for p in bad if p.without.strategies[0] == kind])
                  for kind in FAILING},
        "bypasses": sum(pair.without.bypasses + pair.with_retries.bypasses for pair in pairs),
        "unequal": sum(_first(pair.without) != _first(pair.with_retries) for pair in pairs),
    }  # fmt: skip


def retries_bars(figures: dict[str, Any]) -> dict[str, bool]:
    """Which of the promises the figures keep."""
    false = figures["false_retry_share"]
    return {
        "retries_gain": figures["gain_points"] >= LEAST_GAIN_POINTS,
        "false_retries": false is not None and false <= MOST_FALSE,
        # Until the first stall is told both arms are the same episode, and all by the filter.
        "retries_paired": figures["unequal"] == 0,
        "retries_by_the_filter": figures["bypasses"] == 0,
    }


def _gain(pairs: Sequence[Pair]) -> dict[str, Any]:
    """The paired difference with the 95 % interval of Agresti and Min (2005)."""
    won = sum(p.with_retries.success and not p.without.success for p in pairs)
    lost = sum(p.without.success and not p.with_retries.success for p in pairs)
    # They add half an episode to each of the four kinds of pair.
    up, down, count = won + 0.5, lost + 0.5, len(pairs) + 2.0
    middle = (up - down) / count
    half = _Z95 * math.sqrt((up + down) / count - middle**2) / math.sqrt(count)
    return {
        "gain_points": 100.0 * (won - lost) / len(pairs),
        "gain_points_95": [100.0 * (middle - half), 100.0 * (middle + half)],
        "won": won,
        "lost": lost,
    }


def _of_kind(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Of the episodes whose first strategy is of one failing kind."""
    told = [found for pair in pairs if (found := _told_at_once(pair)) is not None]
    return {
        "episodes": len(pairs),
        "success_without": sum(pair.without.success for pair in pairs),
        "told": len(told),
        "success_with": sum(pair.with_retries.success for pair in pairs),
        "told_after_s_p50": _percentile([one.after_s for one in told], 50),
        "told_after_s_max": _percentile([one.after_s for one in told], 100),
    }


def _first(trial: Trial) -> Told | None:
    return trial.told[0] if trial.told else None


def _told_at_once(pair: Pair) -> Told | None:
    """The stall that was told in the first attempt, if any."""
    return _first(pair.with_retries)


def _within(trials: Sequence[Trial], cap_s: float) -> float:
    return sum(trial.success and trial.seconds <= cap_s for trial in trials) / len(trials)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _percentile(values: Sequence[float], share: float) -> float | None:
    return float(np.percentile(np.array(values, dtype=np.float64), share)) if values else None
