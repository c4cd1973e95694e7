"""safety_filter: the only node that publishes to the robot's controllers."""

from __future__ import annotations

import sys
import threading
from functools import partial

from sensor_msgs.msg import JointState

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.nodes import parameters, safety_arming, safety_outputs
from vla_rl_nodes.nodes.clocks import SteadyOffset, instant
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.episode_state import EpisodeState
from vla_rl_nodes.nodes.lean_node import LeanNode
from vla_rl_nodes.nodes.qos import STREAM
from vla_rl_nodes.nodes.safety_arming import Arming
from vla_rl_nodes.nodes.safety_inputs import SafetyInputs
from vla_rl_nodes.nodes.safety_outputs import ControllerOutputs
from vla_rl_nodes.nodes.safety_parameters import LimitParameters
from vla_rl_nodes.nodes.safety_reports import ALIVE_HZ, SafetyReports
from vla_rl_nodes.nodes.spin import end_after_failed_tick, spin
from vla_rl_nodes.nodes.tick import TickThread
from vla_rl_nodes.nodes.vector import vector_message
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.filter import SafetyFilter
from vla_rl_nodes.safety.limits import load_limits
from vla_rl_nodes.safety.output import FilterOutput
from vla_rl_nodes.safety.reasons import NONE
from vla_rl_nodes.safety.state import State


class SafetyFilterNode(LeanNode):
    """Ticks the filter of the safety room and hands its output to the controllers.

    Its own files: what it hears (``safety_inputs``), what it hands to the controllers
    (``safety_outputs``), when it is armed (``safety_arming``), its limits as parameters
    (``safety_parameters``), what it says (``safety_reports``).
    """

    def __init__(self) -> None:
        super().__init__("safety_filter")
        contract_name = parameters.text(self, "contract", "franka_pick", "Contract name or path.")
        limits_name = parameters.text(
            self, "safety", "", "Safety limits, name or path; empty: the contract's name."
        )
        controller = parameters.text(
            self, "controller", "joint_trajectory", safety_outputs.DESCRIPTION
        )
        ahead = parameters.integer(
            self, "ahead", safety_outputs.AHEAD, safety_outputs.AHEAD, safety_outputs.AHEAD_MAX,
            safety_outputs.AHEAD_DESCRIPTION,
        )  # fmt: skip
        arming = parameters.text(self, "arming", "episode", safety_arming.DESCRIPTION)
        self._contract = load_contract(contract_name)
        robot = load_robot(self._contract.robot)
        limits = LimitParameters(self, load_limits(limits_name or self._contract.name))
        self.failed = False
        self._complaints = Complaints(self.get_logger())
        self._lock = threading.Lock()
        kinematics = Kinematics(robot)
        period_ns = round(1e9 / self._contract.rates.filter_hz)
        self._outputs = ControllerOutputs(
            self, robot, self._contract, controller, period_ns, ahead
        )
        self._filter = SafetyFilter(
            robot, kinematics, self._contract, limits.limits,
            safety_outputs.CONTROLLERS[controller],
        )  # fmt: skip
        self._executed = self.create_publisher(JointState, "safety/executed", STREAM)
        self._reset = self.create_publisher(JointState, "reset/executed", STREAM)
        self._reference = self.create_publisher(JointState, "safety/reference", STREAM)
        episode = EpisodeState(self, self._complaints)
        self._inputs = SafetyInputs(
            self, robot, self._contract, kinematics, self._filter, self._lock, episode,
            self._complaints,
        )  # fmt: skip
        self._arming = Arming(
            self, self._filter, self._lock, self._inputs, episode, self._complaints, arming
        )
        self._reports = SafetyReports(
            self, robot, limits.limits, max(self._contract.rates.filter_hz // ALIVE_HZ, 1)
        )
        limits.follow(self._filter.tighten, self._lock)
        self._cause = NONE
        self._armed = 0
        self._clocks = SteadyOffset(self)
        self._ticker = TickThread(
            period_ns, self._tick, partial(end_after_failed_tick, self), "filter"
        )
        self._ticker.start()

    def close(self) -> None:
        """Stops ticking. The last message to the controller ends in a stop, or holds still."""
        self._ticker.stop()

    def _tick(self, lateness_ns: int) -> None:
        skipped = self._ticker.missed
        with self._lock:
            now = instant(self)
            self._arming.follow_episode(now, self._cause)
            names = self._filter.reference_names  # none are left after the last tick
            output = self._filter.tick(now, skipped)
            armed, refused = self._arming.count, self._arming.refused
            position = self._inputs.position
        self._cause = output.cause
        if armed != self._armed:
            self._armed = armed
            self._outputs.forget()
        if output.plan is None or not output.plan.v.any():
            self._clocks.follow(now)
        planned_ns = self._clocks.ros_ns(self._ticker.planned_ns)
        self._outputs.publish(output, planned_ns, now.ros_ns, skipped)
        self._reports.tick(
            now.ros_ns, output, lateness_ns, self._ticker.skipped,
            None if position is None else position[1], names, refused,
        )  # fmt: skip
        self._publish_actions(now.ros_ns, output, names)
        for line in output.messages:
            if output.state is State.DISARMED:  # an orderly end
                self.get_logger().info(line)
                continue
            self._complaints.say(f"safety_filter: {line}", kind=line.split(":")[-1])

    def _publish_actions(self, now_ns: int, output: FilterOutput, names: tuple[str, ...]) -> None:
        frame, executed = self._contract.action.frame, output.executed
        if executed is not None and executed.joints:
            joints = self._filter.joint_names
            self._reset.publish(vector_message(executed.stamp_ns, joints, executed.values))
        elif executed is not None:
            axes = self._contract.action.names
            self._executed.publish(vector_message(executed.stamp_ns, axes, executed.values, frame))
        if output.reference is not None and (self._reports.alive or executed is not None):
            self._reference.publish(vector_message(now_ns, names, output.reference, frame))


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return spin(SafetyFilterNode, args, realtime_priority=30)


if __name__ == "__main__":
    sys.exit(main())
