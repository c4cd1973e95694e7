"""Tool targets: tool_delta and tool_pose_delta actions, by inverse kinematics under limits."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import pinocchio
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Action
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.clearance import Clearance
from vla_rl_nodes.safety.limits import SafetyLimits, Singularity
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.targets.joint_range import Interval, JointRange
from vla_rl_nodes.safety.targets.line import Line
from vla_rl_nodes.safety.targets.pose_axes import PoseAxes, ToolPose
from vla_rl_nodes.safety.targets.quadratic import Equations, least_squares
from vla_rl_nodes.safety.targets.singularity import condition, slowing, step_towards
from vla_rl_nodes.safety.targets.stance import Stance
from vla_rl_nodes.safety.targets.target import Accepted

Array = NDArray[np.float64]

ITERATIONS = 8  # of each inverse kinematics; a step of 2 cm takes two or three
PASSES = 6  # of the sequential programme
SHRINK = 0.4  # of a pass's largest step, that the next may have
SHARES = (1.0, 0.999, 0.99, 0.95, 0.8, 0.5, 0.25)  # of a motion that does not quite fit
EXACT = 1e-9  # m, to which a target keeps its box
ARRIVED = 1e-6  # rad, of the sequential programme
SPEED_SHARE = 0.95  # of the tool's speed limit: what is left covers the smoothing of the way
INSET = 1e-6  # m and rad, kept from limits so that the exact check passes
POSTURE = 1e-3  # weight of the posture against the pose, m/rad
LEVEL = 30.0  # weight of a downward tool's tilt, where it cannot be levelled at once


class ToolTarget:
    """A tool pose that actions move, and the joint positions that reach it.

    The fast way is plain inverse kinematics; an action whose pose can be reached inside all
    limits is accepted as it is. Otherwise a sequence of quadratic programmes finds the joint
    positions whose pose is nearest, in metres and in radians times ``rotation_length``, and the
    action that leads there is the one accepted.

    Args:
        robot: joint limits.
        kinematics: of that robot.
        clearance: its distances.
        action: of kind tool_delta or tool_pose_delta.
        limits: what is allowed.
        ticks: filter ticks in a control period.
        dt: the filter's period, s.
        q: where the robot is [n], rad.
        width: the gripper's opening, m; None without a gripper.
    """

    def __init__(
        self,
        robot: Robot,
        kinematics: Kinematics,
        clearance: Clearance,
        action: Action,
        limits: SafetyLimits,
        ticks: int,
        dt: float,
        q: Array,
        width: float | None,
    ) -> None:
        assert robot.tool_frame is not None  # check_settings asks for one
        self._robot, self._kinematics, self._clearance = robot, kinematics, clearance
        self._frame, self._gripper = robot.tool_frame, action.has_gripper
        self._axes = PoseAxes(action, robot.base_frame)
        axes = 3 + self._axes.turns
        self._least, self._most = action.minimum[:axes], action.maximum[:axes]
        self._period = ticks * dt
        self._length = limits.rotation_length
        self._singularity = limits.singularity
        self._stance = Stance(robot, clearance, limits)
        self._range = JointRange(robot, limits, self._period)
        self._speed = limits.tool_speed_max
        memory = max(round(5.0 / self._period), 1)
        self._line = Line(q, ticks, memory)
        self._poses: deque[ToolPose] = deque(maxlen=memory)
        self._pose = self._axes.start(*kinematics.fk(q))
        self.width = width
        names = ("tool_yaw",) if self._axes.downward else ("tool_qx", "tool_qy", "tool_qz",
                                                           "tool_qw")  # fmt: skip
        self.pose_names = ("tool_x", "tool_y", "tool_z", *names)
        if self._gripper:
            self.pose_names = (*self.pose_names, "gripper_width")

    @property
    def pose(self) -> Array:
        """Position, m; yaw (rad, -pi..pi) or unit quaternion x y z w; opening, m, if an axis."""
        pose = self._pose
        if self._axes.downward:
            turned = np.array([math.remainder(pose.yaw, 2.0 * math.pi)])
        else:
            # Not pinocchio.Quaternion(rotation), which keeps 80 bytes for ever each time.
            placement = pinocchio.SE3(pose.rotation, pose.position)
            turned = pinocchio.SE3ToXYZQUAT(placement)[3:]
        width = [self.width] if self._gripper and self.width is not None else []
        return np.concatenate([pose.position, turned, width])

    def accept(self, action: Array, q_command: Array) -> Accepted:
        """See :class:`Target`."""
        if self._gripper:
            self.width = float(action[-1])
        given = action[: len(self._least)]
        deltas, reasons = self._slowed(given)
        reasons |= self._move(deltas, q_command)
        if not reasons:
            return Accepted(action, NONE)
        values = action.copy()
        values[: len(given)] = self._axes.deltas(self._before, self._pose)
        return Accepted(values, reasons)

    def push(self, displacement: Array) -> None:
        """See :class:`Target`."""
        goal = ToolPose(self._pose.position + displacement, self._pose.rotation, self._pose.yaw)
        self._move_to(goal, self._line.end)

    def back(self) -> bool:
        """See :class:`Target`."""
        if not self._poses or not self._line.back():
            return False
        self._pose = self._poses.pop()
        return True

    def restart(self, q: Array) -> None:
        """See :class:`Target`."""
        self._line.restart(q)
        self._pose = self._axes.start(*self._kinematics.fk(q))

    def tighten(self, limits: SafetyLimits) -> None:
        """See :class:`Target`."""
        self._range.tighten(limits)
        self._speed = limits.tool_speed_max

    def advance(self) -> Array:
        """See :class:`Target`."""
        return self._line.advance()

    def _slowed(self, deltas: Array) -> tuple[Array, Reason]:
        """The deltas, scaled down where the tool would be too fast or nears a singularity."""
        reasons, scaled = NONE, deltas
        if self._speed is not None:
            way = float(np.sqrt(deltas[:3] @ deltas[:3]))
            if way > (most := SPEED_SHARE * self._speed * self._period):
                scaled, reasons = deltas * (most / way), Reason.TOOL_SPEED
        if self._singularity is not None and scaled.any():
            share = self._share_allowed(self._singularity, scaled)
            if share < 1.0:
                scaled, reasons = scaled * share, reasons | Reason.SINGULARITY
        return scaled, reasons

    def _move(self, deltas: Array, q_command: Array) -> Reason:
        if not deltas.any():
            self._before = self._pose
            return NONE
        return self._move_to(self._axes.moved(self._pose, deltas), q_command)

    def _move_to(self, goal: ToolPose, q_command: Array) -> Reason:
        """Moves the target to ``goal``, or as near to it as the limits allow."""
        self._before = self._pose
        line_end = self._line.end
        self._stance.begin(line_end)
        q, reasons = self._solved(goal, q_command)
        if reasons:
            q_near, nearest = self._nearest(goal, q_command)
            asked = self._axes.deltas(self._pose, nearest)
            # Giving way sideways must not lead out of the contract's axes either.
            deltas = np.minimum(np.maximum(asked, self._least), self._most)
            for share in SHARES:
                if share < 1.0 or (deltas != asked).any():
                    nearest = self._axes.moved(self._pose, share * deltas)
                start = line_end + share * (q_near - line_end)
                q, problems = self._solved(nearest, q_command, start)
                if not problems:
                    break
            else:
                return reasons
            goal = nearest
        self._poses.append(self._pose)
        self._line.go(q)
        self._pose = goal
        return reasons

    def _solved(
        self, pose: ToolPose, q_command: Array, near: Array | None = None
    ) -> tuple[Array, Reason]:
        """Joint positions [n] that reach a pose, found from ``near`` on, and what forbids it."""
        line = self._line
        inside = self._stance.inside(pose.position)
        if not (np.abs(inside - pose.position) <= EXACT).all():
            return line.end, Reason.WORKSPACE
        # The elbow is drawn home only while the tool moves: an action of zero moves no joint.
        way = float(np.abs(pose.position - self._pose.position).max())
        turn = abs(pose.yaw - self._pose.yaw)
        pull = min(1.0, way / 0.01 + turn / 0.1)
        posture = line.end + pull * (self._robot.home - line.end)
        start = line.end if near is None else near
        result = self._kinematics.solve(
            start, pose.position, pose.rotation,
            posture=posture if near is None else near, iterations=ITERATIONS,
        )  # fmt: skip
        q = result.q
        if not result.converged:
            at_end = (q <= self._robot.position_min) | (q >= self._robot.position_max)
            return q, Reason.JOINT_POSITION if at_end.any() else Reason.IK_FAILED
        reasons = self._range.problems(q, line.now, line.end, q_command)
        # The box was asked of the pose; what is left is the inverse kinematics' own tolerance.
        return q, reasons | self._stance.problems(q, 1e-5)

    def _nearest(self, goal: ToolPose, q_command: Array) -> tuple[Array, ToolPose]:
        """The joint positions [n] nearest to ``goal`` that the programmes find, and their pose."""
        line, q = self._line, self._line.end
        weights = np.array([1.0, 1.0, 1.0, *[self._length] * 3])
        allowed = self._range.allowed(line.now, line.end, q_command)
        low = np.minimum(allowed.low + INSET, allowed.high)
        high = np.maximum(allowed.high - INSET, low)
        joints, reach = len(q), np.inf
        for _ in range(PASSES):
            placement, jacobian = self._six(q)
            error = np.concatenate([
                goal.position - placement.position,
                pinocchio.log3(goal.rotation @ placement.rotation.T),
            ])  # fmt: skip
            rows = self._stance.rows(q)
            level = Equations(jacobian[3:5], error[3:5]) if self._axes.downward else None
            near = Interval(np.maximum(low - q, -reach), np.minimum(high - q, reach))
            # What no pose needs stays near the present joint positions.
            step = least_squares(
                np.concatenate([weights[:, None] * jacobian, POSTURE * np.eye(joints)]),
                np.concatenate([weights * error, POSTURE * (line.end - q)]),
                near.low, near.high, rows.jacobian, rows.room - INSET, level,
            )  # fmt: skip
            if step is None and level is not None:
                steep = weights * np.array([1.0, 1.0, 1.0, LEVEL, LEVEL, 1.0])
                step = least_squares(
                    np.concatenate([steep[:, None] * jacobian, POSTURE * np.eye(joints)]),
                    np.concatenate([steep * error, POSTURE * (line.end - q)]),
                    near.low, near.high, rows.jacobian, rows.room - INSET,
                )  # fmt: skip
            if step is None:
                break
            q = q + step
            # The linear limits of a curved problem can send the elbow to and fro for ever.
            reach = SHRINK * float(np.abs(step).max())
            if reach < ARRIVED:
                break
        found = self._kinematics.fk(q)
        inside = self._stance.inside(found.position)
        return q, self._axes.nearest(inside, found.rotation, self._pose)

    def _six(self, q: Array) -> tuple[ToolPose, Array]:
        """The tool's pose and its Jacobian [6, n] at ``q`` [n]."""
        jacobian = self._kinematics.jacobian(q)
        pose = self._kinematics.fk(q)
        return ToolPose(pose.position, pose.rotation, 0.0), jacobian

    def _share_allowed(self, rule: Singularity, deltas: Array) -> float:
        """How much of the deltas the nearness of a singularity allows."""
        jacobian = self._kinematics.jacobian(self._line.end)
        here = condition(jacobian, self._length)
        if here < 0.5 * rule.slow_from:
            return 1.0  # no step of one control period leads so far
        q = self._line.end + step_towards(jacobian, self._change(deltas))
        return slowing(rule, here, condition(self._kinematics.jacobian(q), self._length))

    def _change(self, deltas: Array) -> Array:
        """The pose's change [6], m and rad in the base frame, that deltas ask for."""
        after = self._axes.moved(self._pose, deltas)
        turn = pinocchio.log3(after.rotation @ self._pose.rotation.T)
        return np.concatenate([after.position - self._pose.position, turn])
