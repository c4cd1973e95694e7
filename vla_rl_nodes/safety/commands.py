"""One source's commands: pairs base actions with their residuals, hands each out once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.safety.inputs import Inbox, Refusal, Sample
from vla_rl_nodes.safety.limits import SafetyLimits, nanoseconds
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Instant

Array = NDArray[np.float64]


class Pair(NamedTuple):
    """A control tick's base action, and its residual [axes] where there is one.

    ``joints`` says that it is the reset's absolute joint command and no action of the contract.
    """

    base: Sample
    residual: Array | None
    joints: bool = False


class Commands:
    """The newest base action and residual of one source, matched by their control tick's stamp.

    They come on two topics, in either order. Where residuals usually come, a base action waits
    for its own for a moment; a residual is never used for another tick, nor by itself.

    Args:
        place: what the commands are called in messages.
        names: the action's axes.
        limits: timeouts.
    """

    def __init__(self, place: str, names: Sequence[str], limits: SafetyLimits) -> None:
        self._place = place
        self._base = Inbox(place, names, 0, 0, Reason.STALE_COMMAND)
        self._residual = Inbox("residual", names, 0, 0, Reason.STALE_COMMAND)
        self._since_ns = 0
        self._residual_usual = False
        self.set_limits(limits)

    def set_limits(self, limits: SafetyLimits) -> None:
        """Takes the timeouts of new limits."""
        self._max_age_ns = nanoseconds(limits.command_timeout_s)
        self._wait_ns = nanoseconds(limits.residual_wait_s)
        for inbox in (self._base, self._residual):
            inbox.max_age_ns = self._max_age_ns
            inbox.future_ns = nanoseconds(limits.future_tolerance_s)

    def reset(self, now: Instant) -> None:
        """Forgets what is stored, and refuses what is stamped before ``now``."""
        self._base.clear()
        self._residual.clear()
        self._since_ns = now.ros_ns
        self._residual_usual = False

    def base(
        self, stamp_ns: int, arrival: Instant, names: Sequence[str], values: Sequence[float]
    ) -> Refusal | None:
        """Stores a base action, or says why not."""
        return self._offer(self._base, stamp_ns, arrival, names, values)

    def residual(
        self, stamp_ns: int, arrival: Instant, names: Sequence[str], values: Sequence[float]
    ) -> Refusal | None:
        """Stores a residual, or says why not."""
        return self._offer(self._residual, stamp_ns, arrival, names, values)

    def take(self, now: Instant, earliest_ns: int | None) -> Pair | Refusal | None:
        """The pair to execute now, once; a refusal of what is stored; None when there is none.

        Args:
            now: when it is executed.
            earliest_ns: a base action stamped before this comes too soon after the last one.
        """
        base = self._base.latest
        if base is None:
            return None
        if earliest_ns is not None and base.stamp_ns < earliest_ns:
            self._base.clear()
            return Refusal(
                Reason.DUPLICATE,
                f"{self._place} came within half a control period of the last one",
            )
        residual = self._residual.latest
        if residual is not None and residual.stamp_ns != base.stamp_ns:
            residual = None
        waited_ns = now.steady_ns - base.arrival.steady_ns
        if residual is None and self._residual_usual and waited_ns < self._wait_ns:
            return None
        self._base.clear()
        if base.age_ns(now) > self._max_age_ns:
            return Refusal(
                Reason.STALE_COMMAND, f"{self._place} waited too long for a filter tick"
            )
        self._residual_usual = residual is not None
        return Pair(base, None if residual is None else residual.values)

    def _offer(
        self,
        inbox: Inbox,
        stamp_ns: int,
        arrival: Instant,
        names: Sequence[str],
        values: Sequence[float],
    ) -> Refusal | None:
        if stamp_ns < self._since_ns:
            return Refusal(
                Reason.STALE_COMMAND,
                f"{self._place} is older than the arming, or than the change of source",
            )
        return inbox.offer(stamp_ns, arrival, names, values)
