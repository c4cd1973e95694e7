"""What the safety filter did with the actions of an episode, and how punctual it was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.demo.motion import Window
from vla_rl_nodes.demo.ticks import number, present
from vla_rl_nodes.replay.labels import reasons_at
from vla_rl_nodes.replay.recording import SAFETY_STATUS, Recording
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.reasons import Reason, reason_names

Array = NDArray[np.float64]
SAME = 1e-6  # m or rad: actions are recorded as float32


@dataclass(frozen=True)
class FilterMeasure:
    """The filter's work on T control ticks.

    Attributes:
        executed: ticks whose action was accepted, changed or not.
        changed: ticks whose accepted action is another than base plus residual.
        refused: ticks that proposed an action of which nothing was executed.
        reasons: ticks by the name of each reason that the filter gave for them.
        difference: |executed - proposed| in the axes' units [executed, A], residual included.
        residual_ticks: ticks with a residual.
        residual_largest: greatest |residual| of each axis, in its unit [A].
        residual_bound: the filter's bound of the same [A].
        interventions: ticks on which a person's action stood.
        lateness_ms: how late filter ticks began: the worst since the report before, one a report.
        skipped: filter ticks that were left out because the filter was still busy.
    """

    executed: int
    changed: int
    refused: int
    reasons: dict[str, int]
    difference: Array
    residual_ticks: int
    residual_largest: Array
    residual_bound: Array
    interventions: int
    lateness_ms: Array
    skipped: int


def measure_filter(
    recording: Recording,
    contract: Contract,
    limits: SafetyLimits,
    window: Window,
    stamps_ns: list[int],
    actions: tuple[NDArray[np.float32], ...],
) -> FilterMeasure:
    """Compares what was proposed with what was executed, and reads the filter's own reports.

    Args:
        recording: the bag's messages.
        contract: names the axes.
        limits: bounds of the residual.
        window: the episode in time.
        stamps_ns: its ticks [T].
        actions: proposed, residual, intervention and executed, each [T, A] with NaN rows where
            there was none.

    Raises:
        InputError: a report whose values are no numbers, or an unknown reason.
    """
    proposed, residual, intervention, executed = (a.astype(np.float64) for a in actions)
    given, done, added = present(proposed), present(executed), present(residual)
    asked = proposed + np.where(added[:, None], residual, 0.0)
    both = given & done
    reasons: dict[str, int] = {}
    for mask in reasons_at(recording, [*stamps_ns, window.end_ns]):
        for name in reason_names(Reason(int(mask))):
            reasons[name] = reasons.get(name, 0) + 1
    lateness, skips = _reports(recording, window)
    return FilterMeasure(
        executed=int(done.sum()),
        changed=int((np.abs(executed - asked)[both] > SAME).any(axis=1).sum()),
        refused=int((given & ~done).sum()),
        reasons=dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        difference=np.abs(executed - proposed)[both],
        residual_ticks=int(added.sum()),
        residual_largest=np.abs(residual[added]).max(axis=0, initial=0.0),
        residual_bound=np.array([limits.residual_bound[n] for n in contract.action.names]),
        interventions=int(present(intervention).sum()),
        lateness_ms=lateness,
        skipped=skips[-1] - skips[0] if skips else 0,
    )


def _reports(recording: Recording, window: Window) -> tuple[Array, list[int]]:
    """Worst lateness (ms) of each report during the episode, and the counts of skipped ticks."""
    late, skips = [], []
    for event in recording.events(SAFETY_STATUS):
        if window.start_ns <= event.stamp_ns < window.end_ns:
            late.append(number(event, "lateness_ms", SAFETY_STATUS))
            skips.append(number(event, "skipped_ticks", SAFETY_STATUS))
    return np.array([x for x in late if x is not None]), [int(s) for s in skips if s is not None]
