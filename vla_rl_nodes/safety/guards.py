"""Everything that is watched while the robot is armed, whatever is commanded."""

from __future__ import annotations

from collections.abc import Iterator

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.body import BodyWatch
from vla_rl_nodes.safety.deadman import Deadman
from vla_rl_nodes.safety.e_stop import EStop
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.state import Instant, Problem
from vla_rl_nodes.safety.watchdogs import Array, Watchdogs
from vla_rl_nodes.safety.wrench import WrenchWatch


class Guards:
    """The watchdogs of one filter.

    Args:
        robot: its joints.
        limits: timeouts and thresholds.
        tracking: whether the robot is commanded by its joints, so that it can lag behind.
    """

    def __init__(self, robot: Robot, limits: SafetyLimits, *, tracking: bool) -> None:
        self.joints = Watchdogs(robot, limits, tracking=tracking)
        self.wrench = WrenchWatch(limits)
        self.body = BodyWatch(limits)
        self.e_stop = EStop(limits)
        self.deadman = Deadman(limits)

    def set_limits(self, limits: SafetyLimits, now: Instant) -> None:
        """Takes new limits at ``now``."""
        self.joints.set_limits(limits)
        self.wrench.set_limits(limits)
        self.body.set_limits(limits)
        self.e_stop.set_limits(limits, now)
        self.deadman.set_limits(limits)

    def refuse_arming(self, now: Instant) -> None:
        """Passes when nothing but the joints could speak against arming.

        Raises:
            InputError: the emergency stop is latched or unheard, the wrench or the orientation
                is not fresh, or a force or a tilt is too great.
        """
        self.e_stop.refuse_arming(now)
        for problem in (self.wrench.stale(now), self.wrench.excess(), self.body.problem(now)):
            if problem is not None:
                raise InputError("arm", problem.message, "arm when that is over")

    def problems(self, now: Instant, skipped: int, q: Array) -> Iterator[Problem]:
        """Everything that makes the robot stop for good in this tick.

        Args:
            now: the tick's time.
            skipped: how many ticks before this one were missed in a row.
            q: joint positions last commanded [n], rad.
        """
        for problem in (self.e_stop.watch(now), self.wrench.stale(now), self.body.problem(now)):
            if problem is not None:
                yield problem
        yield from self.joints.problems(now, skipped, q)
