"""Joint targets: joint_position and joint_delta actions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Action
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.clearance import Clearance
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.targets.joint_range import JointRange
from vla_rl_nodes.safety.targets.line import Line
from vla_rl_nodes.safety.targets.quadratic import least_squares
from vla_rl_nodes.safety.targets.stance import Stance
from vla_rl_nodes.safety.targets.target import Accepted

Array = NDArray[np.float64]

SAME = 1e-6  # rad, of the sequential programme
PASSES = 4  # of the sequential programme
SHARES = (1.0, 0.999, 0.99, 0.95, 0.8, 0.5, 0.25)  # of a target that does not quite fit
SPEED_SHARE = 0.95  # of the tool's speed limit: what is left covers the smoothing of the way
INSET = 1e-6  # m, kept from linearised limits so that the exact check passes
BOX = 1e-4  # m that the tool may be out of its box at a joint target


class JointTarget:
    """Joint positions to go to, kept where the robot may stand and is in time to reach.

    A joint target that is not admissible is replaced by the nearest one, by joint angles, of a
    sequence of quadratic programmes.

    Args:
        robot: joint limits.
        clearance: distances.
        action: of kind joint_position or joint_delta.
        limits: what is allowed.
        ticks: filter ticks in a control period.
        dt: the filter's period, s.
        q: where the robot is [n], rad.
        width: the gripper's opening, m; None without a gripper.
    """

    def __init__(
        self,
        robot: Robot,
        clearance: Clearance,
        action: Action,
        limits: SafetyLimits,
        ticks: int,
        dt: float,
        q: Array,
        width: float | None,
    ) -> None:
        self._absolute = action.kind == "joint_position"
        self._joints = len(robot.joints)
        self._gripper = action.has_gripper
        self._least = action.minimum[: self._joints]
        self._most = action.maximum[: self._joints]
        self._period = ticks * dt
        self._frame, self._clearance = robot.tool_frame, clearance
        self._stance = Stance(robot, clearance, limits)
        self._range = JointRange(robot, limits, self._period)
        self._speed = limits.tool_speed_max
        self._line = Line(q, ticks, memory=max(round(5.0 / self._period), 1))
        self.width = width
        self.pose_names = tuple(robot.joints) + (("gripper_width",) if self._gripper else ())

    @property
    def pose(self) -> Array:
        """Joint positions of the target, rad, and the opening, m, where it is an axis."""
        if self._gripper and self.width is not None:
            return np.append(self._line.end, self.width)
        return self._line.end.copy()

    def accept(self, action: Array, q_command: Array) -> Accepted:
        """See :class:`Target`."""
        if self._gripper:
            self.width = float(action[-1])
        given = action[: self._joints]
        wanted = given if self._absolute else self._line.end + given
        self._stance.begin(self._line.end)
        reasons = self._problems(wanted, q_command)
        if not reasons:
            self._line.go(wanted.copy())
            return Accepted(action, NONE)
        before = self._line.end
        found = self._nearest(wanted, q_command)
        self._line.go(found)
        values = action.copy()
        values[: self._joints] = found if self._absolute else found - before
        return Accepted(values, reasons)

    def push(self, displacement: Array) -> None:
        """Gives way by ``displacement`` [3], m, as far as the limits allow."""
        if self._frame is None:
            return
        end = self._line.end
        _, jacobian = self._clearance.point(end, self._frame)
        step = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + 1e-4 * np.eye(3), displacement)
        self._stance.begin(end)
        self._line.go(self._nearest(end + step, end))

    def back(self) -> bool:
        """See :class:`Target`."""
        return self._line.back()

    def restart(self, q: Array) -> None:
        """See :class:`Target`."""
        self._line.restart(q)

    def tighten(self, limits: SafetyLimits) -> None:
        """See :class:`Target`."""
        self._range.tighten(limits)
        self._speed = limits.tool_speed_max

    def advance(self) -> Array:
        """See :class:`Target`."""
        return self._line.advance()

    def _problems(self, q: Array, q_command: Array) -> Reason:
        line = self._line
        reasons = self._range.problems(q, line.now, line.end, q_command)
        reasons |= self._stance.problems(q, BOX)
        if self._too_fast(q):
            reasons |= Reason.TOOL_SPEED
        return reasons

    def _too_fast(self, q: Array) -> bool:
        if self._speed is None or self._frame is None:
            return False
        way = self._clearance.point(q, self._frame)[0]
        way = way - self._clearance.point(self._line.now, self._frame)[0]
        return not float(np.sqrt(way @ way)) <= 0.96 * self._speed * self._period

    def _nearest(self, wanted: Array, q_command: Array) -> Array:
        """The nearest admissible target that is found; the present one where there is none."""
        line, q = self._line, self._line.end
        allowed = self._range.allowed(line.now, line.end, q_command)
        # Giving way to what is near must not lead out of the contract's axes either.
        origin = np.zeros(self._joints) if self._absolute else line.end
        high = np.minimum(allowed.high, origin + self._most)
        low = np.minimum(np.maximum(allowed.low, origin + self._least), high)
        clipped = np.minimum(np.maximum(wanted, low), high)  # where only the joints' limits count
        if not self._problems(clipped, q_command):
            return clipped
        for _ in range(PASSES):
            rows = self._stance.rows(q)
            matrices, rooms = [rows.jacobian], [rows.room - INSET]
            if self._speed is not None and self._frame is not None:
                jacobian, room = self._speed_row(q, wanted)
                matrices.append(jacobian)
                rooms.append(room)
            step = least_squares(
                np.eye(self._joints), wanted - q, low - q, high - q,
                np.concatenate(matrices), np.concatenate(rooms),
            )  # fmt: skip
            if step is None:
                break
            q = q + step
            if np.abs(step).max() < SAME:
                break
        for share in SHARES:
            shortened = line.end + share * (q - line.end)
            if not self._problems(shortened, q_command):
                return shortened
        return line.end

    def _speed_row(self, q: Array, wanted: Array) -> tuple[Array, Array]:
        """The tool's way over the period, along the direction that is wanted, as one row."""
        assert self._frame is not None and self._speed is not None
        point, jacobian = self._clearance.point(q, self._frame)
        start = self._clearance.point(self._line.now, self._frame)[0]
        way = point - start + jacobian @ (wanted - q)
        length = max(float(np.sqrt(way @ way)), SAME)
        along = way / length
        room = SPEED_SHARE * self._speed * self._period - along @ (point - start)
        return -(along @ jacobian)[None], np.array([room])
