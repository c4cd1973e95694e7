"""One filter between an attacker, the judge, and an arm that lags behind its commands."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from time import perf_counter_ns, thread_time_ns

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety.actions import ActionCheck
from vla_rl_nodes.bench.safety.base_check import BaseCheck
from vla_rl_nodes.bench.safety.checker import Checker
from vla_rl_nodes.bench.safety.figures import Figures
from vla_rl_nodes.bench.safety.streams import Violation
from vla_rl_nodes.bench.safety.subjects import Subject
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.safety.filter import FilterOutput, SafetyFilter
from vla_rl_nodes.safety.state import Instant, Missed, Source, State
from vla_rl_nodes.safety.watchdogs import REST_NS

Array = NDArray[np.float64]

START_NS = 1_700_000_000_000_000_000
MS = 1_000_000
MOVING = 1e-6  # rad/s
FAILURE = " in the filter: "  # what a message says when the filter's own code raised
# What the filter is told of a controller, and what the judge is.
MISSED = {"trajectory": Missed.PLAN, "positions": Missed.HOLD, "velocities": Missed.COAST}
LAG_MAX = 16  # ticks of commanded positions that are kept


class Rig:
    """A filter and everything around it, one filter period at a time.

    Args:
        subject: robot, contract and limits.
        figures: where ticks are counted and timed.
        seed: of the measurement noise and of the judge's choice of tails.
    """

    def __init__(self, subject: Subject, figures: Figures, seed: int = 0) -> None:
        self.subject, self.figures = subject, figures
        self.filter = SafetyFilter(
            subject.robot, Kinematics(subject.robot), subject.contract, subject.limits,
            MISSED[subject.controller],
        )  # fmt: skip
        self.checker = Checker(subject.bounds, subject.dt, seed, subject.controller)
        self.base = BaseCheck(subject.bounds, subject.dt)
        self.actions = ActionCheck(subject)
        self.names = subject.contract.action.names
        self.dt_ns = round(1e9 * subject.dt)
        self.now = Instant(START_NS, 1_000 * MS)
        self.q = subject.robot.home.copy()
        self.width = 0.0 if subject.robot.gripper is None else subject.robot.gripper.width_max
        self.output: FilterOutput | None = None
        self.lag, self.noise = 2, 1e-4
        self.stuck = self.blind = self.wrench_silent = False
        self.force, self.up = np.zeros(3), np.array([0.0, 0.0, 1.0])
        self.held = True
        self.tightened = False
        self.failures: list[str] = []  # exceptions that the filter caught
        self._mobile = subject.contract.action.kind == "base_velocity"
        self.period = 0  # filter ticks since the beginning
        self._commanded: deque[Array] = deque(maxlen=LAG_MAX)
        self._random = np.random.default_rng(seed)

    @property
    def action_due(self) -> bool:
        """Whether a control period begins with the next tick."""
        return self.period % self.ticks == 0

    @property
    def ticks(self) -> int:
        """Filter ticks in a control period."""
        rates = self.subject.contract.rates
        return rates.filter_hz // rates.policy_hz

    @property
    def settled(self) -> bool:
        """Whether nothing is commanded and the arm can be armed."""
        at_rest = self.filter.state in (State.DISARMED, State.STOPPED, State.FAULTED)
        state = self.checker.state
        return at_rest and (state is None or not state[1].any())

    def restore_limits(self) -> None:
        """Gives the disarmed filter its first limits back."""
        if self.tightened:
            self.filter.tighten(self.subject.limits)
            self.tightened = False

    def carry_to(self, q: Array) -> None:
        """The disarmed arm is moved by hand to ``q`` [n]."""
        self.q = q.copy()
        self._commanded.clear()

    def arm(self) -> bool:
        """Arms where the arm is, once it has been measured there for a while; whether the filter
        agreed."""
        for _ in range(-(-REST_NS // self.dt_ns) + 1):
            self.step()
        self.listen()
        try:
            self.filter.arm(self.now, self.q, self.width)
        except InputError:
            return False
        if not self._mobile:
            self.checker.start(self.q, self.width if self.subject.robot.gripper else None)
        self.base.restart()
        self.actions.restart()
        self._commanded.clear()
        return True

    def offer(
        self,
        source: Source,
        values: Sequence[float],
        *,
        shift_ns: int = 0,
        names: Sequence[str] | None = None,
    ) -> None:
        """A command of a source, stamped ``shift_ns`` from now."""
        stamp = self.now.ros_ns + shift_ns
        refusal = self.filter.command(
            source, stamp, self.now, self.names if names is None else names, list(values)
        )
        if refusal is None:
            self.actions.base(source, stamp, np.array(values, dtype=np.float64))

    def correct(self, values: Sequence[float], *, shift_ns: int = 0) -> None:
        """A residual of the policy's command with the same stamp."""
        stamp = self.now.ros_ns + shift_ns
        self.actions.offered_residual()
        self.filter.residual(stamp, self.now, self.names, list(values))

    def offer_joints(self, values: Sequence[float]) -> None:
        """Absolute joints of the reset, stamped now."""
        stamp, names = self.now.ros_ns, self.filter.joint_names
        refusal = self.filter.joints(stamp, self.now, names, list(values))
        if refusal is None:
            self.actions.joints(stamp, np.array(values, dtype=np.float64))

    def engage(self, source: Source, engaged: bool) -> None:
        """A source takes command or gives it back."""
        self.filter.engage(source, engaged, self.now)

    def listen(self) -> None:
        """What the robot's sensors say now."""
        now, filter_ = self.now, self.filter
        stamp = now.ros_ns
        if not self.blind:
            noise = self.noise * self._random.standard_normal(len(self.q))
            low, high = self.subject.robot.position_min, self.subject.robot.position_max
            q = np.clip(self.q + noise, low, high)
            filter_.measured(stamp, now, self.subject.robot.joints, q.tolist())
        if self.subject.limits.wrench is not None and not self.wrench_silent:
            filter_.wrench(stamp, now, self.force.tolist(), [0.0, 0.0, 0.0])
        if self.subject.limits.body is not None:
            filter_.body(stamp, now, self.up.tolist())
        if self.subject.limits.deadman_timeout_s is not None:
            filter_.deadman(self.held, now)
        if self.subject.limits.e_stop_timeout_s is not None:
            filter_.e_stop(False, now)

    def step(self, skipped: int = 0, late_ns: int = 0) -> FilterOutput:
        """One tick after ``skipped`` missed ones, called ``late_ns`` after it was due."""
        self.pass_time((1 + skipped) * self.dt_ns)
        self._follow(1 + skipped)
        self.listen()
        now = Instant(self.now.ros_ns + late_ns, self.now.steady_ns + late_ns)
        idle, begun = thread_time_ns(), perf_counter_ns()
        output = self.filter.tick(now, skipped)
        taken, busy = perf_counter_ns() - begun, thread_time_ns() - idle
        # A base is given velocities one at a time, joints their plans.
        self.checker.tick(None if self._mobile else output.plan, output.gripper_width, skipped)
        self.base.tick(output.twist, skipped)
        self.actions.tick(output, self.checker.ticks - 1)
        if output.gripper_width is not None:
            self.width = output.gripper_width
        self.failures += [line for line in output.messages if FAILURE in line]
        self.output = output
        self.period += 1 + skipped
        self.figures.add(taken, busy, output, moving=self._moving(output))
        return output

    def pass_time(self, ros_ns: int, steady_ns: int | None = None) -> None:
        """Both clocks go on, or each by its own."""
        steady = ros_ns if steady_ns is None else steady_ns
        self.now = Instant(self.now.ros_ns + ros_ns, self.now.steady_ns + steady)

    def violations(self) -> list[Violation]:
        """All that was found since the last call; checks what is pending."""
        self.checker.flush()
        found = [*self.checker.violations, *self.base.violations, *self.actions.violations]
        self.checker.violations.clear()
        self.base.violations.clear()
        self.actions.violations.clear()
        return sorted(found, key=lambda violation: violation.tick)

    def _follow(self, ticks: int) -> None:
        """The arm goes where it was commanded to be ``lag`` ticks ago, unless it is stuck."""
        state = self.checker.state
        if state is None or self.output is None or self.output.plan is None:
            return  # nothing was commanded since the arm was moved by hand
        for _ in range(min(ticks, LAG_MAX)):
            self._commanded.append(state[0])
        if not self.stuck:
            self.q = self._commanded[-min(1 + self.lag, len(self._commanded))]

    def _moving(self, output: FilterOutput) -> bool:
        if output.twist is not None:
            return bool(np.abs(output.twist).max() > MOVING)
        return output.plan is not None and bool(np.abs(output.plan.v[0]).max() > MOVING)
