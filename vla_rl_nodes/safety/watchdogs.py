"""Watches the clocks, the filter's own ticks, the joint states and the tracking error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.inputs import Inbox, Refusal, Sample
from vla_rl_nodes.safety.limits import SafetyLimits, nanoseconds
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Instant, Problem

Array = NDArray[np.float64]

STILL = 1e-3  # rad, within which joints that stand still are measured
REST_NS = 20_000_000  # for how long, before they count as standing still


class Watchdogs:
    """What faults an armed filter, whatever the robot.

    Args:
        robot: its joints.
        limits: timeouts and the greatest tracking error.
        tracking: whether the robot is commanded by its joints, so that it can lag behind.
    """

    def __init__(self, robot: Robot, limits: SafetyLimits, *, tracking: bool) -> None:
        self._joints, self._tracking = robot.joints, tracking
        self._measured = Inbox("joint state", robot.joints, 0, 0, Reason.STALE_STATE)
        self._last = Instant(0, 0)
        self._still: Sample | None = None  # since when the joints have been measured about here
        self._several = False
        self.set_limits(limits)

    def set_limits(self, limits: SafetyLimits) -> None:
        """Takes the timeouts and thresholds of new limits."""
        self._measured.max_age_ns = nanoseconds(limits.joint_state_timeout_s)
        self._measured.future_ns = nanoseconds(limits.future_tolerance_s)
        self._jump_ns = nanoseconds(limits.clock_jump_max_s)
        self._overrun_max = limits.overrun_max
        self._tracking_max = limits.tracking_error_max

    def measured(
        self, stamp_ns: int, arrival: Instant, names: Sequence[str], positions: Sequence[float]
    ) -> Refusal | None:
        """Takes measured joint positions [n] (rad), or says why not."""
        before = self._measured.latest
        refusal = self._measured.offer(stamp_ns, arrival, names, positions)
        now = self._measured.latest
        if refusal is not None or now is None:
            return refusal
        silent = before is not None and now.stamp_ns - before.stamp_ns > self._measured.max_age_ns
        away = self._still is None or np.abs(now.values - self._still.values).max() > STILL
        if silent or away:
            self._several = before is not None
            self._still = now
        return None

    @property
    def at_rest(self) -> bool:
        """Whether the joints have been measured in one place for 20 ms, without a gap; also where
        only one measurement has come at all, which tells nothing else."""
        latest, still = self._measured.latest, self._still
        if latest is None or still is None:
            return False
        return not self._several or latest.stamp_ns - still.stamp_ns >= REST_NS

    def sample(self, now: Instant) -> Sample | Problem:
        """The newest joint state when it is fresh; what is wrong otherwise."""
        problem = self._measured.problem(now)
        if problem is not None:
            return problem
        assert self._measured.latest is not None
        return self._measured.latest

    def follow_clocks(self, now: Instant) -> None:
        """Takes ``now`` as the last tick's time without judging it."""
        self._last = now

    def problems(self, now: Instant, skipped: int, q: Array) -> Iterator[Problem]:
        """Everything that is wrong in this tick.

        Args:
            now: the tick's time.
            skipped: how many ticks before this one were missed in a row.
            q: joint positions last commanded [n], rad.
        """
        last, self._last = self._last, now
        steady_ns = now.steady_ns - last.steady_ns
        jump_ns = (now.ros_ns - last.ros_ns) - steady_ns
        if abs(jump_ns) > self._jump_ns:
            yield Problem(Reason.CLOCK_JUMP, f"the clock jumped by {jump_ns / 1e6:.0f} ms")
        if steady_ns < 0:
            yield Problem(Reason.CLOCK_JUMP, "the steady clock ran backwards")
        if skipped >= self._overrun_max:
            yield Problem(Reason.TICK_OVERRUN, f"{skipped} filter ticks in a row were missed")
        sample = self.sample(now)
        if isinstance(sample, Problem):
            yield sample
        elif self._tracking:
            error = np.abs(sample.values - q)
            worst = int(np.argmax(error))
            if not error[worst] <= self._tracking_max:
                yield Problem(
                    Reason.TRACKING_ERROR,
                    f"{self._joints[worst]} is {error[worst]:.3f} rad from its command",
                )
