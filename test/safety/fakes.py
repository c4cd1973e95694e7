"""Recording stand-ins of a target and a motion, for tests of the state machine alone.

What really moves is tested with the real ones in ``test_filter.py`` and ``test_filter_stops.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety import drive
from vla_rl_nodes.safety.filter import SafetyFilter
from vla_rl_nodes.safety.inputs import Refusal
from vla_rl_nodes.safety.limits import SafetyLimits, load_limits
from vla_rl_nodes.safety.output import FilterOutput
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.state import Instant, Source
from vla_rl_nodes.safety.stop import Plan, resting
from vla_rl_nodes.safety.targets.target import Accepted

MS = 1_000_000
START_NS = 1_700_000_000_000_000_000
FORWARD = [0.01, 0.005, 0.0, 0.02, 0.04]


class FakeTarget:
    """Adds the first action axis to every joint, a fifth of it in each tick."""

    pose_names = ("where",)

    def __init__(self, q: np.ndarray, width: float | None) -> None:
        self.calls: list[Any] = []
        self.fail: set[str] = set()
        self.width = width
        self.now, self.to = q.copy(), q.copy()
        self.way: list[np.ndarray] = []
        self.reasons = NONE

    @property
    def pose(self) -> np.ndarray:
        self._called("pose", record=False)
        return self.to[:1].copy()

    def tighten(self, limits: SafetyLimits) -> None:
        self._called(("tighten", limits.velocity_scale))

    def accept(self, action: np.ndarray, q_command: np.ndarray) -> Accepted:
        self._called("accept")
        self.way.append(self.to)
        self.to = self.to + action[0]
        return Accepted(action * (np.nan if "nan" in self.fail else 1.0), self.reasons)

    def push(self, displacement: np.ndarray) -> None:
        self._called(("push", *np.round(displacement, 9)))

    def back(self) -> bool:
        self._called("back")
        if not self.way:
            return False
        self.to = self.way.pop()
        return True

    def restart(self, q: np.ndarray) -> None:
        self._called("restart")
        self.now, self.to = q.copy(), q.copy()

    def advance(self) -> np.ndarray:
        self._called("advance", record=False)
        self.now = self.now + np.clip(self.to - self.now, -0.002, 0.002)
        return self.now * (np.nan if "nan reference" in self.fail else 1.0)

    def _called(self, call: Any, record: bool = True) -> None:
        if record:
            self.calls.append(call)
        name = call if isinstance(call, str) else call[0]
        if name in self.fail:
            raise ZeroDivisionError(f"{name}\nof the target")


class FakeMotion:
    """Goes where it is led; its stop takes three ticks at half the speed each."""

    def __init__(self, q: np.ndarray, dt: float, width: float | None) -> None:
        self.q, self.dt, self.width = q.copy(), dt, width
        self.plan: Plan = resting(q)
        self.calls: list[Any] = []
        self.fail: set[str] = set()
        self.reasons = NONE

    @property
    def at_rest(self) -> bool:
        return not self.plan.v[0].any()

    def follow(self, reference: np.ndarray, width: float | None = None) -> Reason:
        if "follow" in self.fail:
            raise ValueError("no step")
        v = (reference - self.q) / self.dt
        if np.abs(v).max() < 1e-9:
            v = np.zeros_like(v)
        rows = reference + np.cumsum([0 * v, v / 2, v / 4, 0 * v], axis=0) * self.dt
        self._take(Plan(rows, np.array([v, v / 2, v / 4, 0 * v]), np.zeros_like(rows)))
        self.width = width
        return self.reasons

    def stop(self) -> None:
        if "stop" in self.fail:
            raise IndexError("no stop")
        self._take(self.plan.after())

    def skip(self, ticks: int) -> None:
        self.calls.append(("skip", ticks))
        for _ in range(ticks):
            self.stop()

    def restart_reference(self) -> None:
        self.calls.append("restart_reference")

    def tighten(self, limits: SafetyLimits) -> None:
        self.calls.append(("tighten", limits.velocity_scale))

    def _take(self, plan: Plan) -> None:
        self.plan, self.q = plan, plan.q[0]


class FakeRig:
    """A filter on the Franka with recorded parts; ``step`` is one filter tick."""

    robot = load_robot("fr3")
    kinematics = Kinematics(robot)
    contract = load_contract("franka_pick")
    names = contract.action.names

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **changed: Any) -> None:
        monkeypatch.setattr(drive, "make_target", self._make_target)
        monkeypatch.setattr(drive, "Motion", self._make_motion)
        self.limits = load_limits("franka_pick").model_copy(update={"wrench": None, **changed})
        self.filter = SafetyFilter(self.robot, self.kinematics, self.contract, self.limits)
        self.now = Instant(START_NS, 5 * MS)
        self.heartbeat = self.held = True
        self.force: list[float] | None = [0.0, 0.0, -1.0]
        self.q = self.robot.home.copy()
        self.outputs: list[FilterOutput] = []

    def _make_target(self, *args: Any) -> FakeTarget:
        self.target = FakeTarget(args[-2], args[-1])
        return self.target

    def _make_motion(self, *args: Any) -> FakeMotion:
        dt, q, width = args[4:7]
        self.motion = FakeMotion(q, dt, width)
        return self.motion

    def later(self, ms: float) -> None:
        self.now = Instant(self.now.ros_ns + round(ms * MS), self.now.steady_ns + round(ms * MS))

    def hear(self) -> None:
        """Everything that usually comes between two ticks."""
        stamp = self.now.ros_ns
        self.filter.measured(stamp, self.now, self.robot.joints, list(self.q))
        if self.force is not None:
            self.filter.wrench(stamp, self.now, self.force, [0.0, 0.0, 0.0])
        if self.heartbeat and self.limits.e_stop_timeout_s is not None:
            self.filter.e_stop(False, self.now)
        if self.limits.deadman_timeout_s is not None:
            self.filter.deadman(self.held, self.now)

    def arm(self) -> FakeRig:
        self.hear()
        self.filter.arm(self.now, self.q, 0.08)
        return self

    def command(
        self,
        source: Source = Source.POLICY,
        values: list[float] = FORWARD,
        stamp_ms: float = 0.0,
    ) -> Refusal | None:
        stamp = self.now.ros_ns + round(stamp_ms * MS)
        return self.filter.command(source, stamp, self.now, self.names, values)

    def step(self, ticks: int = 1, hear: bool = True, skipped: int = 0) -> FilterOutput:
        for _ in range(ticks):
            self.later(10)
            if hear:
                self.hear()
            output = self.filter.tick(self.now, skipped)
            self.outputs.append(output)
            if output.q_command is not None:
                self.q = output.q_command
        return output

    def run(self, periods: int, source: Source = Source.POLICY) -> FilterOutput:
        """So many control periods with a command each."""
        for _ in range(periods):
            self.command(source)
            output = self.step(5)
        return output

    def until_rest(self, limit: int = 50) -> FilterOutput:
        """Ticks until nothing is commanded any more."""
        for _ in range(limit):
            output = self.step()
            if output.plan is None:
                return output
        raise AssertionError("the robot did not come to rest")

    def said(self) -> list[str]:
        return [message for output in self.outputs for message in output.messages]
