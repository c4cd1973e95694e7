"""safety_filter: the only node that publishes to the robot's controllers."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from vla_rl_nodes.contract.decode import named_vector, stamp_ns
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.episodes.machine import State as EpisodeStates
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.episode_state import EpisodeState
from vla_rl_nodes.nodes.event import ERROR, OK, WARN, Event, to_message
from vla_rl_nodes.nodes.qos import COMMAND, COMMAND_OFFERED, SENSOR, STREAM
from vla_rl_nodes.nodes.spin import end_after_failed_tick, spin
from vla_rl_nodes.nodes.tick import TickThread
from vla_rl_nodes.nodes.vector import trajectory_message, vector_message
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.filter import FilterOutput, SafetyFilter, State
from vla_rl_nodes.safety.inputs import Refusal
from vla_rl_nodes.safety.limits import load_limits
from vla_rl_nodes.safety.reasons import NONE, reason_names

LEVELS = {State.FAULTED: ERROR, State.STOPPED: WARN, State.STOPPING: WARN, State.HOLDING: WARN}
ALIVE_HZ = 20  # safety/status and safety/reference come at least this often
GRIPPER_STATE_AGE_NS = 200_000_000

Offer = Callable[[int, int, Sequence[str], Sequence[float]], Refusal | None]


class SafetyFilterNode(Node):
    """Ticks the filter of the safety room and hands its output to the controllers.

    It is armed when an episode is ready and disarmed, after a verified stop, when it has ended.
    With ``controller: joint_trajectory`` each message is the next motion and the verified stop
    after it, so that the arm comes to rest along it even when this process dies. With
    ``forward_position`` the controller holds the last position for ever.
    """

    def __init__(self) -> None:
        super().__init__("safety_filter")
        contract_name = parameters.text(self, "contract", "franka_pick", "Contract name or path.")
        limits = parameters.text(
            self, "safety", "", "Safety limits, name or path; empty: the contract's name."
        )
        controller = parameters.text(
            self, "controller", "joint_trajectory",
            "Controller that is commanded: joint_trajectory or forward_position.",
        )  # fmt: skip
        self._contract = load_contract(contract_name)
        self._robot = load_robot(self._contract.robot)
        self.failed = False
        self._complaints = Complaints(self.get_logger())
        self._lock = threading.Lock()
        self._filter = SafetyFilter(
            self._robot, Kinematics(self._robot), self._contract,
            load_limits(limits or self._contract.name),
        )  # fmt: skip
        self._period_ns = round(1e9 / self._contract.rates.filter_hz)
        self._alive_every = max(self._contract.rates.filter_hz // ALIVE_HZ, 1)
        self._position: tuple[int, NDArray[np.float64]] | None = None
        self._gripper: tuple[int, float] | None = None
        self._wish = EpisodeStates.IDLE
        self._armed_for = ""
        self._ticks = 0
        self._worst_late_ns = 0
        self._last_state: State | None = None
        self._offer_topics(controller)
        self._episode = EpisodeState(self, self._complaints)
        self._ticker = TickThread(
            self._period_ns, self._tick, partial(end_after_failed_tick, self), "filter"
        )
        self._ticker.start()

    def _offer_topics(self, controller: str) -> None:
        topics = self._robot.topics
        self._trajectory = self._positions = self._width = None
        if controller == "joint_trajectory" and topics.trajectory_command is not None:
            self._trajectory = self.create_publisher(
                JointTrajectory, topics.trajectory_command, COMMAND_OFFERED
            )
        elif controller == "forward_position":
            self._positions = self.create_publisher(
                Float64MultiArray, topics.position_command, COMMAND_OFFERED
            )
        else:
            raise InputError(
                f"safety_filter: parameter controller: {controller}",
                f"is no controller of {self._robot.name}",
                "give joint_trajectory or forward_position",
            )
        if topics.gripper_command is not None:
            self._width = self.create_publisher(
                Float64MultiArray, topics.gripper_command, COMMAND_OFFERED
            )
        self._executed = self.create_publisher(JointState, "safety/executed", STREAM)
        self._reference = self.create_publisher(JointState, "safety/reference", STREAM)
        self._status = self.create_publisher(DiagnosticArray, "safety/status", STREAM)
        self.create_subscription(JointState, topics.joint_states, self._hear_joints, SENSOR)
        if topics.gripper_joint_states is not None:
            self.create_subscription(
                JointState, topics.gripper_joint_states, self._hear_gripper, SENSOR
            )
        for topic, offer in (
            ("policy/residual", self._filter.residual),
            ("policy/command", self._filter.command),
        ):
            self.create_subscription(
                JointState, topic, partial(self._hear_action, topic, offer), COMMAND
            )

    def close(self) -> None:
        """Stops ticking. The last message to the controller ends in a stop, or holds still."""
        self._ticker.stop()

    def _refuse(self, topic: str, refusal: Refusal | None) -> None:
        if refusal is not None:
            self._complaints.say(f"{topic}: {refusal.message}", kind=f"{topic} {refusal.reason}")

    def _hear_joints(self, message: JointState) -> None:
        topic, now = self._robot.topics.joint_states, self.get_clock().now().nanoseconds
        with self._lock:
            refusal = self._filter.measured(stamp_ns(message), now, message.name, message.position)
            if refusal is None:
                self._position = (stamp_ns(message), named_vector(
                    message, self._robot.joints, topic))  # fmt: skip
        self._refuse(topic, refusal)

    def _hear_gripper(self, message: JointState) -> None:
        topic = self._robot.topics.gripper_joint_states or ""
        assert self._robot.gripper is not None
        try:
            width = float(named_vector(message, self._robot.gripper.joints, topic).sum())
        except InputError as error:
            self._complaints.say(error, kind=topic)
            return
        with self._lock:
            self._gripper = (stamp_ns(message), width)

    def _hear_action(self, topic: str, offer: Offer, message: JointState) -> None:
        names = self._contract.action.names
        if len(message.velocity) or len(message.effort):
            self._complaints.say(f"{topic}: has velocities or efforts; send positions only")
            return
        if sorted(message.name) == sorted(names) and tuple(message.name) != names:
            # By name it could be sorted out, but whoever mixes up the order may have mixed up
            # the values too, and this moves the arm.
            self._complaints.say(
                f"{topic}: names its axes in another order; send {', '.join(names)}"
            )
            return
        if self._episode.running_id is None:
            self._complaints.say(f"{topic}: no episode is running; start one", kind=topic)
            return
        now = self.get_clock().now().nanoseconds
        with self._lock:
            refusal = offer(stamp_ns(message), now, message.name, message.position)
        self._refuse(topic, refusal)

    def _follow_episode(self, now: int) -> None:
        """Arms once for each episode that becomes ready, and disarms when it is over."""
        state, episode_id = self._episode.state, self._episode.episode_id
        live = state in (EpisodeStates.READY, EpisodeStates.RUNNING)
        if not live:
            if self._armed_for:
                self._armed_for = ""
                self._filter.disarm()
            return
        halted = self._filter.state in (State.STOPPED, State.FAULTED)
        # Nothing has moved while an episode was only ready: what faulted then may be over.
        again = halted and state is EpisodeStates.READY
        if not episode_id or (self._armed_for == episode_id and not again):
            return
        if self._position is not None and self._position[0] <= self._episode.ready_ns:
            return  # measured before the reset ended: the arm is elsewhere by now
        if self._filter.state in (State.ARMED, State.HOLDING, State.STOPPING):
            self._filter.disarm()  # the last episode's motion comes to rest first
            return
        try:
            self._filter.arm(now, self._arm_position(), self._width_now(now))
        except InputError as error:
            self._complaints.say(error)
            return
        self._armed_for = episode_id

    def _arm_position(self) -> NDArray[np.float64]:
        if self._position is None:
            raise InputError("arm", "no joint state was heard", "start the robot's driver")
        return self._position[1]

    def _width_now(self, now: int) -> float:
        if self._robot.gripper is None:
            return 0.0
        if self._gripper is None or not 0 <= now - self._gripper[0] < GRIPPER_STATE_AGE_NS:
            raise InputError("arm", "there is no fresh gripper state", "start its driver")
        return min(max(self._gripper[1], 0.0), self._robot.gripper.width_max)

    def _tick(self, lateness_ns: int) -> None:
        now = self.get_clock().now().nanoseconds
        with self._lock:
            self._follow_episode(now)
            output = self._filter.tick(now)
        if output.q_command is not None:
            self._command(now, output)
        if output.executed is not None:
            names, frame = self._contract.action.names, self._contract.action.frame
            executed = output.executed
            self._executed.publish(
                vector_message(executed.stamp_ns, names, executed.values, frame)
            )
        self._worst_late_ns = max(self._worst_late_ns, lateness_ns)
        self._ticks += 1
        alive = self._ticks % self._alive_every == 0
        if output.reference is not None and (alive or output.executed is not None):
            names = self._contract.action.names
            frame = self._contract.action.frame
            self._reference.publish(vector_message(now, names, output.reference, frame))
        for line in output.messages:
            if output.state is State.DISARMED:  # an orderly end
                self.get_logger().info(line)
                continue
            self._complaints.say(f"safety_filter: {line}", kind=line.split(":")[-1])
        news = output.executed is not None or output.state is not self._last_state
        if alive or news or output.reasons:
            self._say(now, output)
        self._last_state = output.state

    def _command(self, now: int, output: FilterOutput) -> None:
        assert output.q_command is not None
        if self._trajectory is not None:
            rows = np.vstack([output.q_command[None], output.stop_tail])
            self._trajectory.publish(
                trajectory_message(
                    now, self._robot.joints, rows, self._period_ns, first_ns=self._period_ns
                )
            )
        if self._positions is not None:
            self._positions.publish(Float64MultiArray(data=output.q_command.tolist()))
        if self._width is not None and output.gripper_width is not None:
            self._width.publish(Float64MultiArray(data=[float(output.gripper_width)]))

    def _say(self, now: int, output: FilterOutput) -> None:
        executed = output.executed
        reasons = output.reasons | (NONE if executed is None else executed.reasons)
        values = {
            "reasons": ",".join(reason_names(reasons | output.cause)),
            "command_stamp": "" if executed is None else str(executed.stamp_ns),
            "lateness_ms": f"{self._worst_late_ns / 1e6:.3f}",
            "ticks": str(self._ticker.ticks),
            "skipped_ticks": str(self._ticker.skipped),
        }
        self._worst_late_ns = 0
        stamp = now if executed is None else executed.stamp_ns
        level = LEVELS.get(output.state, OK)
        event = Event("safety_filter", output.state.value, values, "", level, stamp)
        self._status.publish(to_message(event))


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return spin(SafetyFilterNode, args, realtime_priority=30)


if __name__ == "__main__":
    sys.exit(main())
