"""A filter driven tick by tick, with an arm that is where it was commanded to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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

    def __init__(self, q: np.ndarray | None = None, width: float = 0.08) -> None:
        self.filter = SafetyFilter(self.robot, self.kinematics, self.contract, self.limits)
        self.now = START_NS
        self.q = self.robot.home.copy() if q is None else q.copy()
        self.stream = [self.q]
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

    def measure(self, q: np.ndarray | None = None) -> object:
        q = self.q if q is None else q
        return self.filter.measured(self.now, self.now, self.robot.joints, list(q))

    def command(self, values: Sequence[float], stamp: int | None = None) -> object:
        stamp = self.now if stamp is None else stamp
        return self.filter.command(stamp, self.now, self.names, list(values))

    def residual(self, values: Sequence[float], stamp: int | None = None) -> object:
        stamp = self.now if stamp is None else stamp
        return self.filter.residual(stamp, self.now, self.names, list(values))

    def step(self, ticks: int = 1, measure: bool = True) -> FilterOutput:
        for _ in range(ticks):
            output = self.filter.tick(self.now)
            self.outputs.append(output)
            if output.q_command is not None:
                self.q = output.q_command
                self.stream.append(self.q)
            self.now += 10 * MS
            if measure:
                self.measure()
        return output

    def act(
        self, values: Sequence[float], residual: Sequence[float] | None = None
    ) -> FilterOutput:
        """One control period with a command; the output of its first tick."""
        if residual is not None:
            self.residual(residual)
        self.command(values)
        first = self.step()
        self.step(4)
        return first

    def moving(self, action: Sequence[float]) -> Rig:
        """At speed, six control periods into a motion."""
        for _ in range(6):
            assert self.act(action).executed is not None
        assert np.abs(self.stream[-1] - self.stream[-2]).max() > 1e-3
        return self

    def assert_stream_safe(self, box: bool = True) -> None:
        """Every emitted position, velocity, acceleration, tool point and stop is within limits.

        Recomputed here from the positions alone, by finite differences at the filter's period.
        """
        robot, limits = self.robot, self.limits
        stream = np.array(self.stream)
        still = np.vstack([stream[:1], stream])  # at rest before arming
        self._assert_path(still)
        if box:
            points = self.kinematics.tool_points(stream)
            margin = limits.workspace_tolerance + TOLERANCE
            assert (points >= limits.workspace.lower - margin).all()
            assert (points <= limits.workspace.upper + margin).all()
        assert (stream >= robot.position_min).all() and (stream <= robot.position_max).all()
        emitted = [o for o in self.outputs if o.q_command is not None]
        assert len(emitted) == len(stream) - 1
        for i, output in enumerate(emitted):
            tail = output.stop_tail
            self._assert_path(np.vstack([stream[i], stream[i + 1], tail]))
            resting = np.vstack([stream[i + 1], tail])
            np.testing.assert_allclose(resting[-1], resting[-2], atol=1e-10)
            if box:
                ends = self.kinematics.tool_points(tail)
                assert (ends >= limits.workspace.lower - margin).all()
                assert (ends <= limits.workspace.upper + margin).all()

    def _assert_path(self, path: np.ndarray) -> None:
        robot, limits = self.robot, self.limits
        hz = self.contract.rates.filter_hz
        assert (path >= robot.position_min).all() and (path <= robot.position_max).all()
        velocity = np.diff(path, axis=0) * hz
        lower, upper = robot.velocity_bounds(path[1:])
        assert (velocity <= limits.velocity_scale * upper + TOLERANCE).all()
        assert (velocity >= limits.velocity_scale * lower - TOLERANCE).all()
        acceleration = np.diff(velocity, axis=0) * hz
        most = limits.acceleration_scale * robot.acceleration_max
        assert (np.abs(acceleration) <= most + 100 * TOLERANCE).all()


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
