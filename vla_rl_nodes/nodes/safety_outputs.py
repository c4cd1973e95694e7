"""What the safety filter hands to the robot's controllers, and what each does when it stops."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import TwistStamped
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.event import time_message
from vla_rl_nodes.nodes.qos import COMMAND_OFFERED
from vla_rl_nodes.nodes.vector import trajectory_message
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.output import FilterOutput
from vla_rl_nodes.safety.state import Missed
from vla_rl_nodes.safety.stop import Plan, resting

# Each controller, and what it does by itself while the filter misses ticks.
CONTROLLERS = {
    "joint_trajectory": Missed.PLAN,
    "forward_position": Missed.HOLD,
    "forward_velocity": Missed.COAST,
    "twist": Missed.COAST,
}
AHEAD, AHEAD_MAX = 2, 10
AHEAD_DESCRIPTION = (
    "Filter periods between a tick and the motion that it decides, for joint_trajectory. A message"
    " may reach the controller that many periods late, less one, without the arm noticing; each"
    " more costs a period of latency."
)
DESCRIPTION = (
    "Controller that is commanded; what it does when messages stop coming: joint_trajectory: goes"
    " on along the verified stop that every message ends with, within all limits."
    " forward_position: holds the last position for ever, so the arm stops within one step, at"
    " unbounded acceleration and jerk. forward_velocity: goes on at the last velocity until its"
    " own timeout, then stops as it is set up to; only where the robot's description gives that"
    " timeout. twist: the same for a mobile base."
)


class PlanPath:
    """The filter's plans as one curve in time, some periods behind the ticks that decide it.

    Of the knots that a message holds the first belongs to the tick's own time, the next to a
    period later, and so on: as many as ``ahead`` are of earlier messages. So the segment that the
    controller is in when a message comes is the same in the old and the new one, and a message
    that is up to ``ahead - 1`` periods late changes nothing. One that is later finds the
    controller on its way to rest, and is rejoined within what is left of a period, with an
    acceleration and a jerk that nobody checked: that is what more periods are for.

    Args:
        ahead: periods between a tick and the motion that it decides, at least 2.
    """

    def __init__(self, ahead: int = AHEAD) -> None:
        self._knots: Plan | None = None
        self._early = np.arange(ahead)

    def forget(self) -> None:
        """The next plan has nothing before it: its robot is at rest."""
        self._knots = None

    def extend(self, plan: Plan, skipped: int) -> tuple[Plan, int]:
        """The knots to send, and how many periods after the tick's time the first is due.

        Args:
            plan: of this tick; its first row is due ``ahead`` periods after the tick.
            skipped: how many ticks were missed since the last plan; the controller has gone on
                along that one by itself.
        """
        begun = self._knots is None
        behind = resting(plan.q[0]) if self._knots is None else self._knots.after(1 + skipped)
        if not plan.v.any():  # at rest, one row says as much
            plan = resting(plan.q[0])
        # One that is at rest already has only one row, and stays.
        rows = np.minimum(self._early, len(behind.q) - 1)
        self._knots = Plan(
            *(np.concatenate([old[rows], new]) for old, new in zip(behind, plan, strict=True))
        )
        # Where the robot rests exactly is the controller's to say: it comes from there.
        return (self._knots.after(1), 1) if begun else (self._knots, 0)


class ControllerOutputs:
    """Publishes to one robot's controllers.

    Args:
        node: owns the publishers.
        robot: names the topics.
        contract: says whether a base or joints are commanded.
        controller: one of ``CONTROLLERS``.
        period_ns: of the filter.
        ahead: see :class:`PlanPath`.

    Raises:
        InputError: the robot has no such controller, or one that would go on for ever.
    """

    def __init__(
        self, node: Node, robot: Robot, contract: Contract, controller: str, period_ns: int,
        ahead: int = AHEAD,
    ) -> None:  # fmt: skip
        _check(robot, contract, controller)
        topics = robot.topics
        self._joints, self._frame, self._period_ns = robot.joints, robot.base_frame, period_ns
        self._path = PlanPath(ahead)
        self._trajectory = self._positions = self._velocities = self._twist = None
        if controller == "joint_trajectory":
            self._trajectory = node.create_publisher(
                JointTrajectory, topics.trajectory_command, COMMAND_OFFERED
            )
        elif controller == "forward_position":
            self._positions = node.create_publisher(
                Float64MultiArray, topics.position_command, COMMAND_OFFERED
            )
        elif controller == "forward_velocity":
            self._velocities = node.create_publisher(
                Float64MultiArray, topics.velocity_command, COMMAND_OFFERED
            )
        else:
            self._twist = node.create_publisher(
                TwistStamped, topics.twist_command, COMMAND_OFFERED
            )
        self._width = None
        if topics.gripper_command is not None:
            self._width = node.create_publisher(
                Float64MultiArray, topics.gripper_command, COMMAND_OFFERED
            )

    def forget(self) -> None:
        """The filter has been armed: what comes is another motion than what was."""
        self._path.forget()

    def publish(self, output: FilterOutput, planned_ns: int, now_ns: int, skipped: int) -> None:
        """Hands one tick's output on.

        Args:
            output: of the filter.
            planned_ns: the tick's time on its grid, node's clock. The trajectory counts from it,
                not from the time that the tick really began, which would shift the motion.
            now_ns: the present time, node's clock.
            skipped: how many ticks were missed just before this one.
        """
        if output.plan is None:
            self._path.forget()
        else:
            self._publish_plan(output.plan, planned_ns, skipped)
        if self._twist is not None and output.twist is not None:
            message = TwistStamped()
            message.header.stamp = time_message(now_ns)
            message.header.frame_id = self._frame
            message.twist.linear.x = float(output.twist[0])
            message.twist.linear.y = float(output.twist[1])
            message.twist.angular.z = float(output.twist[2])
            self._twist.publish(message)
        if self._width is not None and output.gripper_width is not None:
            self._width.publish(Float64MultiArray(data=[float(output.gripper_width)]))

    def _publish_plan(self, plan: Plan, planned_ns: int, skipped: int) -> None:
        if self._trajectory is not None:
            knots, first = self._path.extend(plan, skipped)
            self._trajectory.publish(
                trajectory_message(
                    planned_ns, self._joints, knots.q, self._period_ns,
                    first_ns=first * self._period_ns, velocities=knots.v, accelerations=knots.a,
                )
            )  # fmt: skip
        if self._positions is not None:
            self._positions.publish(Float64MultiArray(data=plan.q[0].tolist()))
        if self._velocities is not None:
            self._velocities.publish(Float64MultiArray(data=plan.v[0].tolist()))


def _check(robot: Robot, contract: Contract, controller: str) -> None:
    place = f"safety_filter: parameter controller: {controller}"
    base = contract.action.kind == "base_velocity"
    topics = robot.topics
    usable = {
        "joint_trajectory": not base and topics.trajectory_command is not None,
        "forward_position": not base,
        "forward_velocity": not base and topics.velocity_command is not None,
        "twist": base and topics.twist_command is not None,
    }
    if controller == "forward_velocity" and usable[controller]:
        if topics.velocity_timeout_s is not None:
            return
        raise InputError(
            place, f"goes on for ever on {robot.name}, which gives it no timeout",
            "give topics.velocity_timeout_s if the controller has one, else use another",
        )  # fmt: skip
    if not usable.get(controller, False):
        names = [name for name, fits in usable.items() if fits]
        raise InputError(
            place, f"is no controller of {robot.name} for {contract.action.kind}",
            f"give {' or '.join(names)}",
        )  # fmt: skip
