"""Checks of the accepted actions: axis bounds, and the bound of the residual."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety.streams import Violation
from vla_rl_nodes.bench.safety.subjects import Subject
from vla_rl_nodes.safety.output import FilterOutput
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Source

Array = NDArray[np.float64]

KEPT = 64  # commands that may still be executed
ROUNDING = 1e-12
ONLY_BOUNDED = ~(Reason.ACTION_BOUND | Reason.RESIDUAL_BOUND)


class ActionCheck:
    """Remembers what was offered and compares what was accepted.

    An accepted action is inside the contract's bounds. Where no other limit had to change it, it
    is the base action, cut to those bounds, but for at most the residual's bound times the share
    that the schedule allows after so many residuals.
    """

    def __init__(self, subject: Subject) -> None:
        self.violations: list[Violation] = []
        self._action = subject.contract.action
        self._bounds = subject.bounds
        self._most = np.array([subject.bounds.residual[n] for n in self._action.names])
        self._offered: OrderedDict[tuple[Source, int], Array] = OrderedDict()
        self._joints: OrderedDict[int, Array] = OrderedDict()
        self._ranges = subject.robot.position_min, subject.robot.position_max
        self._residuals = 0

    def restart(self) -> None:
        """The filter was armed."""
        self._offered.clear()
        self._joints.clear()

    def base(self, source: Source, stamp_ns: int, values: Array) -> None:
        """A base action that was not refused."""
        self._offered[source, stamp_ns] = values
        if len(self._offered) > KEPT:
            self._offered.popitem(last=False)

    def joints(self, stamp_ns: int, values: Array) -> None:
        """Joints of a reset that were not refused."""
        self._joints[stamp_ns] = values
        if len(self._joints) > KEPT:
            self._joints.popitem(last=False)

    def offered_residual(self) -> None:
        """A residual that may be accepted: the schedule goes by how many were."""
        self._residuals += 1

    def tick(self, output: FilterOutput, tick: int) -> None:
        """Checks what was accepted in this tick."""
        executed = output.executed
        if executed is None:
            return
        values = np.asarray(executed.values)
        if executed.joints:
            self._check_joints(values, executed.stamp_ns, output.source, tick)
            return
        action = self._action
        out = np.maximum(action.minimum - values, values - action.maximum)
        if not (out <= ROUNDING).all():
            self._report("action_bound", tick, out)
        base = None
        if output.source is not None:
            base = self._offered.get((output.source, executed.stamp_ns))
        if base is None:
            self._report("unknown_action", tick, np.zeros(len(values)))
            return
        if executed.reasons & ONLY_BOUNDED:
            return
        share = 0.0
        if output.source is Source.POLICY:
            share = self._bounds.residual_share(self._residuals)
        cut = np.clip(base, action.minimum, action.maximum)
        over = np.abs(values - cut) - share * self._most
        if not (over <= ROUNDING).all():
            self._report("residual", tick, over)

    def _check_joints(
        self, values: Array, stamp_ns: int, source: Source | None, tick: int
    ) -> None:
        """The reset alone commands joints, what it has offered, inside their ranges."""
        low, high = self._ranges
        arm = values[: len(low)]
        out = np.maximum(low - arm, arm - high)
        if not (out <= ROUNDING).all():
            self._report("joint_range", tick, out[:1])
        if source is not Source.RESET or stamp_ns not in self._joints:
            self._report("unknown_action", tick, np.zeros(1))

    def _report(self, kind: str, tick: int, excess: Array) -> None:
        axis = int(np.argmax(np.nan_to_num(excess, nan=np.inf)))
        self.violations.append(
            Violation(kind, tick, False, float(excess[axis]), self._action.names[axis])
        )
