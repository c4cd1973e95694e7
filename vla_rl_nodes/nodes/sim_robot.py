"""sim_robot: MuJoCo behind the topics of ros2_control and of the robot's drivers."""

from __future__ import annotations

import sys
import threading
import time
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Vector3, Wrench, WrenchStamped
from numpy.typing import NDArray
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.event import OK, WARN, Event, time_message, to_message
from vla_rl_nodes.nodes.lean_node import LeanNode
from vla_rl_nodes.nodes.qos import COMMAND, LATCHED, SENSOR, STREAM
from vla_rl_nodes.nodes.spin import end_after_failed_tick, spin
from vla_rl_nodes.nodes.tick import TickThread
from vla_rl_nodes.nodes.vector import vector_message
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.sim.model import TIMESTEP_S
from vla_rl_nodes.sim.scene import Scene, load_scene
from vla_rl_nodes.sim.world import World

PERIOD_NS = 4_000_000  # joint states at 250 Hz
SLOW_EVERY = 5  # gripper and wrench at 50 Hz
STATE_HZ = 30  # sim/state, and with it the cameras
MOST_STEPS = 10  # made up after a pause: 20 ms; the rest of the pause is lost, and reported
STEP_NS = round(TIMESTEP_S * 1e9)


def robot_and_scene(node: LeanNode) -> tuple[Robot, Scene]:
    """The robot and scene that a simulation node's parameters name."""
    contract = parameters.text(node, "contract", "", "Contract name or path; names the robot.")
    robot = parameters.text(node, "robot", "fr3", "Robot, where no contract is given.")
    scene = parameters.text(node, "scene", "", "Scene; empty: the contract's, or a bare one.")
    if contract:
        agreed = load_contract(contract)
        return load_robot(agreed.robot), load_scene(scene or agreed.name)
    loaded = load_robot(robot)
    return loaded, load_scene(scene or ("floor" if loaded.floating_base else "table"))


class SimRobot(LeanNode):
    """Steps the physics in real time; a controller's last command is held for ever.

    ``sim/reset`` puts everything where the parameter ``seed`` stands for; once after it was set,
    where ``start_state`` says.
    """

    def __init__(self) -> None:
        super().__init__("sim_robot")
        robot, scene = robot_and_scene(self)
        self._seed = parameters.integer(
            self, "seed", 0, 0, 2**31 - 1, "Seed of the next reset.", read_only=False
        )
        parameters.numbers(
            self, "start_state",
            "State for the next reset alone: values in the order of the names of sim/state, m and"
            " rad; empty: drawn from the seed.",
        )  # fmt: skip
        self.failed = False
        self._robot = robot
        self._complaints = Complaints(self.get_logger())
        self._lock = threading.Lock()
        self._world = World(robot, scene, self._seed)
        self._offer_topics()
        self._started_ns = time.monotonic_ns()
        self._steps = self._dropped_steps = self._ticks = self._states = 0
        self._reported = (self._started_ns, 0)
        self._ticker = TickThread(
            PERIOD_NS, self._tick, partial(end_after_failed_tick, self), "physics"
        )
        self._report()
        self._ticker.start()
        self.create_timer(1.0, self._report)

    def _offer_topics(self) -> None:
        topics = self._robot.topics
        self._joints = self.create_publisher(JointState, topics.joint_states, SENSOR)
        self._state = self.create_publisher(JointState, "sim/state", STREAM)
        self._status = self.create_publisher(DiagnosticArray, "sim/status", LATCHED)
        self._gripper = self._wrench = None
        if topics.gripper_joint_states is not None:
            self._gripper = self.create_publisher(JointState, topics.gripper_joint_states, SENSOR)
        if topics.wrench is not None:
            self._wrench = self.create_publisher(WrenchStamped, topics.wrench, SENSOR)
        self.create_subscription(
            Float64MultiArray, topics.position_command, self._hear_positions, COMMAND
        )
        if topics.trajectory_command is not None:
            self.create_subscription(
                JointTrajectory, topics.trajectory_command, self._hear_trajectory, COMMAND
            )
        if topics.gripper_command is not None:
            self.create_subscription(
                Float64MultiArray, topics.gripper_command, self._hear_gripper, COMMAND
            )
        self.create_service(Trigger, "sim/reset", self._reset)

    def close(self) -> None:
        """Stops the physics."""
        self._ticker.stop()

    def _tick(self, lateness_ns: int) -> None:
        elapsed = (time.monotonic_ns() - self._started_ns) // STEP_NS
        due = int(elapsed) - self._steps - self._dropped_steps
        steps = min(max(due, 0), MOST_STEPS)
        self._dropped_steps += max(due - steps, 0)
        with self._lock:
            self._world.step(steps)
            self._steps += steps
            stamp = self.get_clock().now().nanoseconds
            world = self._world
            joints = JointState(
                name=list(self._robot.joints),
                position=world.joint_positions.tolist(),
                velocity=world.joint_velocities.tolist(),
                effort=world.joint_efforts.tolist(),
            )
            slow = self._slow(stamp) if self._ticks % SLOW_EVERY == 0 else []
            state = None
            if self._ticks * PERIOD_NS * STATE_HZ >= self._states * 1_000_000_000:
                self._states += 1
                state = vector_message(stamp, *world.named_state())
        self._ticks += 1
        joints.header.stamp = time_message(stamp)
        joints.header.frame_id = self._robot.base_frame
        self._joints.publish(joints)
        for publisher, message in slow:
            publisher.publish(message)
        if state is not None:
            self._state.publish(state)

    def _slow(self, stamp: int) -> list[tuple[Any, Any]]:
        world, out = self._world, []
        if self._gripper is not None and self._robot.gripper is not None:
            message = JointState(
                name=list(self._robot.gripper.joints),
                position=world.finger_positions.tolist(),
                velocity=world.finger_velocities.tolist(),
            )
            message.header.stamp = time_message(stamp)
            out.append((self._gripper, message))
        if self._wrench is not None:
            force, torque = np.split(world.external_wrench(), 2)
            wrench = WrenchStamped(
                wrench=Wrench(force=Vector3(x=force[0], y=force[1], z=force[2]),
                              torque=Vector3(x=torque[0], y=torque[1], z=torque[2]))
            )  # fmt: skip
            wrench.header.stamp = time_message(stamp)
            wrench.header.frame_id = self._robot.base_frame
            out.append((self._wrench, wrench))
        return out

    def _reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._seed = int(self.get_parameter("seed").value)
        start = list(self.get_parameter("start_state").value)
        if start:  # good or bad, it is used once
            parameters.clear_numbers(self, "start_state")
        try:
            with self._lock:
                if start:
                    self._world.put(self._world.names, start)
                else:
                    self._world.reset(self._seed)
        except InputError as error:
            response.success, response.message = False, str(error)
            return response
        self._report()
        response.success = True
        response.message = "start_state" if start else f"seed {self._seed}"
        return response

    def _hear_positions(self, message: Float64MultiArray) -> None:
        topic = self._robot.topics.position_command
        self._command(topic, lambda: self._world.command_positions(np.array(message.data)))

    def _hear_gripper(self, message: Float64MultiArray) -> None:
        topic = self._robot.topics.gripper_command or ""

        def command() -> None:
            if len(message.data) != 1:
                raise InputError(topic, f"holds {len(message.data)} values", "send one width in m")
            self._world.command_gripper(float(message.data[0]))

        self._command(topic, command)

    def _hear_trajectory(self, message: JointTrajectory) -> None:
        topic = self._robot.topics.trajectory_command or ""

        def command() -> None:
            if sorted(message.joint_names) != sorted(self._robot.joints):
                raise InputError(topic, "names other joints", "name each of the arm's joints once")
            if not message.points:
                raise InputError(topic, "holds no point", "send at least one")
            times = [p.time_from_start.sec + p.time_from_start.nanosec * 1e-9
                     for p in message.points]  # fmt: skip
            positions = self._rows(message, "positions")
            if positions is None:
                raise InputError(topic, "a point has no positions", "send one per joint")
            stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
            # A zero stamp means "from now", as for the real controller.
            ago = (self.get_clock().now().nanoseconds - stamp) / 1e9 if stamp else 0.0
            if abs(ago) > 1.0:
                raise InputError(topic, f"is stamped {ago:.3f} s ago", "check stamps and clocks")
            self._world.command_trajectory(
                np.array(times), positions, self._rows(message, "velocities"),
                self._rows(message, "accelerations"), self._world.time_s - ago,
            )  # fmt: skip

        self._command(topic, command)

    def _rows(self, message: JointTrajectory, field: str) -> NDArray[np.float64] | None:
        """One field of every point [m, n] in the robot's order; None where no point has it.

        Raises:
            InputError: a point has another length.
        """
        order = [message.joint_names.index(name) for name in self._robot.joints]
        rows = [getattr(point, field) for point in message.points]
        if not any(len(row) for row in rows):
            return None
        if any(len(row) != len(order) for row in rows):
            topic = self._robot.topics.trajectory_command or ""
            raise InputError(topic, f"a point has {field} of another length", "send one per joint")
        return np.array(rows, dtype=np.float64)[:, order]

    def _command(self, topic: str, command: Any) -> None:
        try:
            with self._lock:
                command()
        except InputError as error:
            self._complaints.say(f"{topic}: {error}", kind=f"{topic} {error.remedy}")

    def _report(self) -> None:
        now = time.monotonic_ns()
        then, steps = self._reported
        self._reported = (now, self._steps)
        passed = max(now - then, 1)
        factor = (self._steps - steps) * STEP_NS / passed
        values = {
            "real_time_factor": f"{factor:.3f}",
            "seed": str(self._seed),
            "steps": str(self._steps),
            "dropped_steps": str(self._dropped_steps),
        }
        level = WARN if self._steps and factor < 0.95 else OK
        stamp = self.get_clock().now().nanoseconds
        self._status.publish(
            to_message(Event("sim_robot", "running", values, self._robot.name, level, stamp))
        )


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return spin(SimRobot, args, realtime_priority=20)


if __name__ == "__main__":
    sys.exit(main())
