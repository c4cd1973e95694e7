"""Pairs base actions with their residuals and hands out each control tick's once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.safety.inputs import Inbox, Refusal
from vla_rl_nodes.safety.limits import SafetyLimits, nanoseconds
from vla_rl_nodes.safety.reasons import Reason

Array = NDArray[np.float64]


class Pair(NamedTuple):
    """A control tick's base action [axes] and, where there is one, its residual [axes]."""

    stamp_ns: int
    base: Array
    residual: Array | None


class Commands:
    """The newest base action and residual, matched by the stamp of their control tick.

    They come on two topics, in either order. Where residuals usually come, a base action waits
    for its own for a moment; a residual is never used for another tick, nor by itself.

    Args:
        contract: axis names and the control period.
        limits: timeouts.
    """

    def __init__(self, contract: Contract, limits: SafetyLimits) -> None:
        names = contract.action.names
        self._max_age_ns = nanoseconds(limits.command_timeout_s)
        self._wait_ns = nanoseconds(limits.residual_wait_s)
        self._spacing_ns = contract.period_ns // 2
        future_ns = nanoseconds(limits.future_tolerance_s)
        stale = Reason.STALE_COMMAND
        self._base = Inbox("command", names, self._max_age_ns, future_ns, stale)
        self._residual = Inbox("residual", names, self._max_age_ns, future_ns, stale)
        self._since_ns = 0
        self._residual_usual = False
        self.taken_ns: int | None = None  # stamp of the last pair taken since the reset

    def reset(self, now_ns: int) -> None:
        """Forgets everything that is stamped before ``now_ns``."""
        self._base.clear()
        self._residual.clear()
        self._since_ns = now_ns
        self._residual_usual = False
        self.taken_ns = None

    def base(
        self, stamp_ns: int, arrival_ns: int, names: Sequence[str], values: Sequence[float]
    ) -> Refusal | None:
        """Stores a base action, or says why not."""
        return self._offer(self._base, stamp_ns, arrival_ns, names, values)

    def residual(
        self, stamp_ns: int, arrival_ns: int, names: Sequence[str], values: Sequence[float]
    ) -> Refusal | None:
        """Stores a residual, or says why not."""
        return self._offer(self._residual, stamp_ns, arrival_ns, names, values)

    def take(self, now_ns: int) -> Pair | Refusal | None:
        """The pair to execute now, once; a refusal of what is stored; None when there is none."""
        base = self._base.latest
        if base is None:
            return None
        if self.taken_ns is not None and base.stamp_ns - self.taken_ns < self._spacing_ns:
            self._base.clear()
            return Refusal(
                Reason.DUPLICATE, "command came within half a control period of the last one"
            )
        residual = self._residual.latest
        if residual is not None and residual.stamp_ns != base.stamp_ns:
            residual = None
        if residual is None and self._residual_usual and now_ns - base.arrival_ns < self._wait_ns:
            return None
        self._base.clear()
        if now_ns - base.stamp_ns > self._max_age_ns:
            return Refusal(Reason.STALE_COMMAND, "command waited too long for a filter tick")
        self._residual_usual = residual is not None
        self.taken_ns = base.stamp_ns
        return Pair(base.stamp_ns, base.values, None if residual is None else residual.values)

    def _offer(
        self,
        inbox: Inbox,
        stamp_ns: int,
        arrival_ns: int,
        names: Sequence[str],
        values: Sequence[float],
    ) -> Refusal | None:
        if stamp_ns < self._since_ns:
            return Refusal(Reason.STALE_COMMAND, "command is older than the arming")
        return inbox.offer(stamp_ns, arrival_ns, names, values)
