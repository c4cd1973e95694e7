"""A filter driven tick by tick, with an arm that is where it was commanded to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw
from vla_rl_nodes.safety.filter import FilterOutput, SafetyFilter
from vla_rl_nodes.safety.inputs import Refusal
from vla_rl_nodes.safety.limits import load_limits
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Instant, Source
from vla_rl_nodes.safety.stop import Plan

MS = 1_000_000
START_NS = 1_700_000_000_000_000_000
TOLERANCE = 1e-8


class Rig:
    """One filter on the Franka; ``step`` is one filter tick, every fifth may carry a command."""

    robot = load_robot("fr3")
    kinematics = Kinematics(robot)
    contract = load_contract("franka_pick")
    limits = load_limits("franka_pick")
    names = contract.action.names

    def __init__(self, q: np.ndarray | None = None, width: float = 0.08, **changed: Any) -> None:
        if changed:
            self.limits = type(self.limits).model_validate({**self.limits.model_dump(), **changed})
        self.filter = SafetyFilter(self.robot, self.kinematics, self.contract, self.limits)
        self.now = Instant(START_NS, 3 * MS)
        self.force = [0.0, 0.0, -2.0]
        self.q = self.robot.home.copy() if q is None else q.copy()
        still = np.zeros_like(self.q)
        self.stream = [(self.q, still, still)]
        self.outputs: list[FilterOutput] = []
        assert self.measure() is None
        self.filter.arm(self.now, self.q, width)

    def at(self, x: float, y: float, z: float, yaw: float = 0.0) -> np.ndarray:
        """Joint positions with the tool there, pointing down."""
        result = self.kinematics.solve(
            self.robot.home, np.array([x, y, z]), rotation_from_yaw(yaw), iterations=200
        )
        assert result.converged
        return result.q

    def later(self, ms: float) -> None:
        self.now = Instant(self.now.ros_ns + round(ms * MS), self.now.steady_ns + round(ms * MS))

    def measure(self, q: np.ndarray | None = None) -> Refusal | None:
        q = self.q if q is None else q
        stamp = self.now.ros_ns
        self.filter.wrench(stamp, self.now, self.force, [0.1, 0.0, 0.0])
        return self.filter.measured(stamp, self.now, self.robot.joints, list(q))

    def command(
        self,
        values: Sequence[float],
        stamp: int | None = None,
        source: Source = Source.POLICY,
    ) -> Refusal | None:
        stamp = self.now.ros_ns if stamp is None else stamp
        return self.filter.command(source, stamp, self.now, self.names, list(values))

    def residual(self, values: Sequence[float], stamp: int | None = None) -> Refusal | None:
        stamp = self.now.ros_ns if stamp is None else stamp
        return self.filter.residual(stamp, self.now, self.names, list(values))

    def step(self, ticks: int = 1, measure: bool = True, skipped: int = 0) -> FilterOutput:
        """So many filter ticks; before the first one some are missed, and the controller goes on
        along its plan by itself."""
        if skipped:
            self._went_on(skipped)
            self.later(10 * skipped)
            self.measure()
        for _ in range(ticks):
            output = self.filter.tick(self.now, skipped)
            skipped = 0
            self.outputs.append(output)
            if output.plan is not None:
                self._commanded(output.plan, 0)
            self.later(10)
            if measure:
                self.measure()
        return output

    def act(
        self,
        values: Sequence[float],
        residual: Sequence[float] | None = None,
        source: Source = Source.POLICY,
    ) -> FilterOutput:
        """One control period with a command; the output of its first tick."""
        if residual is not None:
            self.residual(residual)
        self.command(values, source=source)
        first = self.step()
        self.step(4)
        return first

    def moving(self, action: Sequence[float]) -> Rig:
        """At speed, six control periods into a motion."""
        for _ in range(6):
            assert self.act(action).executed is not None
        assert np.abs(self.stream[-1][1]).max() > 0.1
        return self

    def positions(self) -> np.ndarray:
        return np.array([knot[0] for knot in self.stream])

    def assert_stream_safe(self, box: bool = True) -> None:
        """Every emitted knot, the cubics between them, and every stop are within limits."""
        stream = Plan(*(np.array(part) for part in zip(*self.stream, strict=True)))
        self._assert_path(stream, box)
        emitted = [o.plan for o in self.outputs if o.plan is not None]
        assert len(emitted) <= len(self.stream) - 1
        for plan in emitted:
            assert not plan.v[-1].any() and not plan.a[-1].any()
            self._assert_path(plan, box)

    def _went_on(self, ticks: int) -> None:
        plan = self.outputs[-1].plan if self.outputs else None
        for i in range(1, ticks + 1 if plan is not None else 1):
            self._commanded(plan, min(i, len(plan.q) - 1))

    def _commanded(self, plan: Plan, row: int) -> None:
        self.q = plan.q[row]
        self.stream.append((plan.q[row], plan.v[row], plan.a[row]))

    def _assert_path(self, path: Plan, box: bool) -> None:
        robot, limits = self.robot, self.limits
        dt = 1.0 / self.contract.rates.filter_hz
        q, v, a = path
        jerk = np.diff(a, axis=0) / dt
        most = limits.jerk_scale * robot.jerk_max
        assert (np.abs(jerk) <= most * (1 + TOLERANCE)).all()
        # The knots belong together: with that jerk each leads to the next.
        np.testing.assert_allclose(v[1:], v[:-1] + (a[:-1] + a[1:]) * dt / 2, atol=1e-9)
        cubic = q[:-1] + v[:-1] * dt + a[:-1] * dt**2 / 2 + jerk * dt**3 / 6
        np.testing.assert_allclose(q[1:], cubic, atol=1e-11)
        most = limits.acceleration_scale * robot.acceleration_max
        assert (np.abs(a) <= most * (1 + TOLERANCE)).all()
        lower, upper = robot.velocity_bounds(q)
        assert (v <= limits.velocity_scale * upper + TOLERANCE).all()
        assert (v >= limits.velocity_scale * lower - TOLERANCE).all()
        assert (q >= robot.position_min).all() and (q <= robot.position_max).all()
        if box:
            assert limits.workspace is not None
            points = self.kinematics.tool_points(q)
            margin = limits.workspace_tolerance + TOLERANCE
            assert (points >= limits.workspace.lower - margin).all()
            assert (points <= limits.workspace.upper + margin).all()


@pytest.fixture(scope="session")
def new_rig() -> type[Rig]:
    return Rig


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture(scope="session")
def refused() -> Callable[[object, Reason], str]:
    """Checks that an input was refused for a reason; its message."""

    def check(answer: object, reason: Reason) -> str:
        assert isinstance(answer, Refusal)
        assert answer.reason is reason
        return answer.message

    return check
