"""What the safety filter hears: measurements, commands of every source, and its switches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from geometry_msgs.msg import WrenchStamped
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Bool

from vla_rl_nodes.contract.decode import named_vector, stamp_ns
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.clocks import instant
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.episode_alive import EpisodeAlive
from vla_rl_nodes.nodes.episode_state import EpisodeState
from vla_rl_nodes.nodes.qos import COMMAND, SENSOR, STREAM
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.e_stop import MAIN
from vla_rl_nodes.safety.filter import SafetyFilter
from vla_rl_nodes.safety.inputs import Refusal
from vla_rl_nodes.safety.state import Instant, Source

Vector = NDArray[np.float64]
Offer = Callable[[int, Instant, Sequence[str], Sequence[float]], Refusal | None]

GRIPPER_STATE_AGE_NS = 200_000_000
UNIT_TOLERANCE = 1e-2  # of a quaternion's length
E_STOPS = (MAIN, "operator/e_stop")  # a button of the robot, and the operator's page
RESET_SILENT_NS = 1_000_000_000  # the reset's node says at 20 Hz that it is active


def up_in_body(x: float, y: float, z: float, w: float) -> Vector:
    """The direction away from the ground [3] in the frame whose orientation is a quaternion.

    Raises:
        InputError: it is not of length 1.
    """
    quaternion = np.array([x, y, z, w])
    length = float(np.linalg.norm(quaternion))
    if not abs(length - 1.0) < UNIT_TOLERANCE:
        raise InputError("orientation", f"has length {length:.3g}, not 1", "check the driver")
    x, y, z, w = quaternion / length
    return np.array([2 * (x * z - w * y), 2 * (y * z + w * x), 1.0 - 2 * (x * x + y * y)])


class SafetyInputs:
    """Subscribes for the filter and hands everything to it under the lock.

    Args:
        node: owns the subscriptions.
        robot: names the topics.
        contract: names the axes.
        kinematics: for use under the lock alone.
        safety: the filter.
        lock: held whenever the filter is called.
        episode: the policy commands only in a running one.
        complaints: gets one line for each kind of refusal.
    """

    def __init__(
        self,
        node: Node,
        robot: Robot,
        contract: Contract,
        kinematics: Kinematics,
        safety: SafetyFilter,
        lock: threading.Lock,
        episode: EpisodeState,
        complaints: Complaints,
    ) -> None:
        self._node, self._robot = node, robot
        self._kinematics, self._filter, self._lock = kinematics, safety, lock
        self._episode, self._complaints = episode, complaints
        self.position: tuple[int, Vector] | None = None  # stamp, joints; read it under the lock
        self.reset_active = False  # whether a reset asks for the arm; read it under the lock
        self._reset_said_ns = 0  # steady time of the last word of it
        self._gripper: tuple[int, float] | None = None
        self._alive = EpisodeAlive(node)
        topics = robot.topics
        node.create_subscription(JointState, topics.joint_states, self._hear_joints, SENSOR)
        if topics.gripper_joint_states is not None:
            node.create_subscription(
                JointState, topics.gripper_joint_states, self._hear_gripper, SENSOR
            )
        if topics.wrench is not None:
            node.create_subscription(WrenchStamped, topics.wrench, self._hear_wrench, SENSOR)
        if topics.imu is not None and robot.floating_base:
            node.create_subscription(Imu, topics.imu, self._hear_imu, SENSOR)
        # The residual first: the filter joins it to the command of the same stamp.
        axes = contract.action.names
        self._listen("policy/residual", safety.residual, axes, True)
        self._listen("policy/command", partial(safety.command, Source.POLICY), axes, True)
        self._listen("reset/joints", safety.joints, safety.joint_names, False)
        for source in (Source.INTERVENTION, Source.RESET):
            self._listen(f"{source}/command", partial(safety.command, source), axes, False)
            node.create_subscription(
                Bool, f"{source}/active", partial(self._hear_active, source), STREAM
            )
        # A best-effort reader hears every publisher but may lose a message; a reliable one loses
        # none but does not hear best-effort publishers. Pressing twice is no harm.
        for profile in (SENSOR, STREAM):
            for button in E_STOPS:
                hear = partial(self._hear_e_stop, button)
                node.create_subscription(Bool, button, hear, profile)
        node.create_subscription(Bool, "safety/deadman", self._hear_deadman, SENSOR)

    def _listen(self, topic: str, offer: Offer, names: Sequence[str], in_episode: bool) -> None:
        hear = partial(self._hear_action, topic, offer, tuple(names), in_episode)
        self._node.create_subscription(JointState, topic, hear, COMMAND)

    def arm_position(self) -> Vector:
        """Where the arm was measured last [n], rad. Under the lock.

        Raises:
            InputError: nothing was heard.
        """
        if self.position is None:
            raise InputError("arm", "no joint state was heard", "start the robot's driver")
        return self.position[1]

    def episode_silent(self, now: Instant) -> bool:
        """Whether the episode's node has fallen silent."""
        return self._alive.silent(now)

    @property
    def measured_opening(self) -> float | None:
        """The gripper's opening as it was heard last, m. Under the lock."""
        return None if self._gripper is None else self._gripper[1]

    def gripper_width(self, now_ns: int) -> float:
        """The gripper's opening, m; 0 without a gripper. Under the lock.

        Raises:
            InputError: nothing fresh was heard of it.
        """
        if self._robot.gripper is None:
            return 0.0
        if self._gripper is None or not 0 <= now_ns - self._gripper[0] < GRIPPER_STATE_AGE_NS:
            raise InputError("arm", "there is no fresh gripper state", "start its driver")
        return min(max(self._gripper[1], 0.0), self._robot.gripper.width_max)

    def _refuse(self, topic: str, refusal: Refusal | None) -> None:
        if refusal is not None:
            self._complaints.say(f"{topic}: {refusal.message}", kind=f"{topic} {refusal.reason}")

    def _hear_joints(self, message: JointState) -> None:
        topic, now = self._robot.topics.joint_states, instant(self._node)
        stamp = stamp_ns(message)
        with self._lock:
            refusal = self._filter.measured(stamp, now, message.name, message.position)
            if refusal is None:
                values = named_vector(message, self._robot.joints, topic)
                self.position = (stamp, values)
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

    def _hear_wrench(self, message: WrenchStamped) -> None:
        topic, frame = self._robot.topics.wrench or "", message.header.frame_id
        f, t = message.wrench.force, message.wrench.torque
        force, torque = np.array([f.x, f.y, f.z]), np.array([t.x, t.y, t.z])
        if frame not in (self._robot.base_frame, self._robot.tool_frame):
            wanted = self._robot.tool_frame or self._robot.base_frame
            self._complaints.say(
                f"{topic}: is in frame '{frame}'; send it in {self._robot.base_frame} or {wanted}",
                kind=f"{topic} frame",
            )
            return
        now = instant(self._node)
        with self._lock:
            if frame != self._robot.base_frame:
                if self.position is None:
                    return  # where the tool points is not known yet
                turn = self._kinematics.fk(self.position[1]).rotation
                force, torque = turn @ force, turn @ torque
            refusal = self._filter.wrench(stamp_ns(message), now, force.tolist(), torque.tolist())
        self._refuse(topic, refusal)

    def _hear_imu(self, message: Imu) -> None:
        """The IMU's axes are those of the base frame (REP 145)."""
        topic, o = self._robot.topics.imu or "", message.orientation
        try:
            if message.orientation_covariance[0] == -1.0:
                raise InputError(topic, "gives no orientation", "switch it on in the driver")
            up = up_in_body(o.x, o.y, o.z, o.w)
        except InputError as error:
            self._complaints.say(f"{topic}: {error}", kind=topic)
            return
        now = instant(self._node)
        with self._lock:
            refusal = self._filter.body(stamp_ns(message), now, up.tolist())
        self._refuse(topic, refusal)

    def _hear_action(
        self, topic: str, offer: Offer, names: tuple[str, ...], in_episode: bool,
        message: JointState,
    ) -> None:  # fmt: skip
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
        now = instant(self._node)
        # However the filter is armed: nobody is there who would end the episode.
        if in_episode and (self._episode.running_id is None or self._alive.silent(now)):
            self._complaints.say(f"{topic}: no episode is running; start one", kind=topic)
            return
        with self._lock:
            refusal = offer(stamp_ns(message), now, message.name, message.position)
        self._refuse(topic, refusal)

    def _hear_active(self, source: Source, message: Bool) -> None:
        with self._lock:
            now = instant(self._node)
            if source is Source.RESET:
                self.reset_active, self._reset_said_ns = message.data, now.steady_ns
            self._filter.engage(source, message.data, now)

    def forget_silent_reset(self, now: Instant) -> None:
        """A reset that no longer says that it is active is over, as where its node was killed.

        Only between episodes: within one, nobody else may have what it holds. Under the lock.
        """
        if self.reset_active and now.steady_ns - self._reset_said_ns > RESET_SILENT_NS:
            self.reset_active = False
            self._filter.engage(Source.RESET, False, now)
            self._complaints.say("reset/active: was silent for 1 s; the reset is over")

    def _hear_e_stop(self, button: str, message: Bool) -> None:
        with self._lock:
            self._filter.e_stop(message.data, instant(self._node), button)

    def _hear_deadman(self, message: Bool) -> None:
        with self._lock:
            self._filter.deadman(message.data, instant(self._node))
