"""A robot in its scene in MuJoCo, with ros2_control's controllers in front of its servos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.sim.controllers import GripperController, HeldCommand, JointController
from vla_rl_nodes.sim.model import GRASP_FORCE_N, TIMESTEP_S, build_model
from vla_rl_nodes.sim.named_state import StateLayout
from vla_rl_nodes.sim.scene import Scene
from vla_rl_nodes.sim.start import draw_start, standing_lift, upright_pose

Vector = NDArray[np.float64]

_STATE = mujoco.mjtState.mjSTATE_INTEGRATION


@dataclass(frozen=True)
class WorldState:
    """A snapshot that :meth:`World.restore` goes on from exactly."""

    physics: Vector
    held: HeldCommand
    gripper: tuple[float, float] | None


class World:
    """Physics at 500 Hz of one robot in one scene; arrays are in the order of ``robot.joints``.

    Positions are in the world frame, which is the base frame of an arm. SI units.

    Args:
        robot: the robot; its URDF is also what the kinematics read.
        scene: what stands around it.
        seed: of the first reset.
    """

    def __init__(self, robot: Robot, scene: Scene, seed: int = 0) -> None:
        self.robot, self.scene = robot, scene
        self.model = build_model(robot, scene)
        self.data = mujoco.MjData(self.model)
        self._layout = StateLayout(self.model)
        self.names = self._layout.names
        self._kinematics = Kinematics(robot) if scene.tool_start is not None else None
        joints = [self.model.joint(name) for name in robot.joints]
        self._qpos = np.array([int(joint.qposadr[0]) for joint in joints])
        self._dof = np.array([int(joint.dofadr[0]) for joint in joints])
        self._controller = JointController(len(robot.joints))
        self._gripper: GripperController | None = None
        self._finger_qpos = self._finger_dof = np.zeros(0, dtype=np.int64)
        if robot.gripper is not None:
            fingers = [self.model.joint(name) for name in robot.gripper.joints]
            self._finger_qpos = np.array([int(joint.qposadr[0]) for joint in fingers])
            self._finger_dof = np.array([int(joint.dofadr[0]) for joint in fingers])
            force = min(GRASP_FORCE_N, robot.gripper.force_max)
            self._gripper = GripperController(
                robot.gripper.width_max,
                robot.gripper.speed_max,
                2.0 * force / robot.gripper.servo.kp,
            )
        base = self._base = self.model.body(robot.base_frame).id
        self._tool = self.model.body(robot.tool_frame or robot.base_frame).id
        self._robot_bodies = [
            body
            for body in range(self.model.nbody)
            if self.model.body_rootid[body] == base and (body != base or robot.floating_base)
        ]
        self.reset(seed)

    @property
    def time_s(self) -> float:
        """Simulated time since the reset, seconds."""
        return float(self.data.time)

    def reset(self, seed: int) -> None:
        """A new episode: robot and objects where the seed puts them, at rest, time 0.

        The controllers take over at the reset pose, so whatever was commanded before is over.

        Raises:
            InputError: the scene's start pose of the tool is out of the arm's reach, or the seed
                is negative; the world stays as it was.
        """
        start = draw_start(self.robot, self.scene, self._kinematics, seed)
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[self._qpos] = start.joints
        if self._gripper is not None and self.robot.gripper is not None:
            self.data.qpos[self._finger_qpos] = self.robot.gripper.width_max / 2.0
            self._gripper.initialise(self.robot.gripper.width_max)
        for name, pose in start.objects.items():
            self._set_object(name, pose)
        if self.robot.floating_base:
            self.data.qpos[2] += standing_lift(self.model, self.data, self._robot_bodies)
        self._controller.initialise(start.joints)
        self._apply_commands()
        mujoco.mj_forward(self.model, self.data)

    def put(self, names: Sequence[str], values: Sequence[float] | Vector) -> None:
        """A new episode from a named state, as :meth:`named_state` gives it: at rest, time 0.

        The controllers take over there. What the state does not tell, such as forces of contacts,
        settles in the first steps.

        Raises:
            InputError: see :meth:`vla_rl_nodes.sim.named_state.StateLayout.qpos`; the world stays
                as it was.
        """
        qpos = self._layout.qpos(names, values)
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:] = qpos
        if self._gripper is not None:
            self._gripper.initialise(self.gripper_width)
        self._controller.initialise(self.joint_positions)
        self._apply_commands()
        mujoco.mj_forward(self.model, self.data)

    def _set_object(self, name: str, pose: Vector) -> None:
        joint = self.model.joint(name)
        start, speed = int(joint.qposadr[0]), int(joint.dofadr[0])
        self.data.qpos[start : start + 7] = pose
        self.data.qvel[speed : speed + 6] = 0.0

    def place_object(self, name: str, position: Vector, yaw: float) -> None:
        """Puts an object at rest at a position [3] in metres, turned by ``yaw`` rad.

        Raises:
            InputError: the scene has no such object.
        """
        self._known_object(name)
        self._set_object(name, upright_pose(np.asarray(position, dtype=np.float64), yaw))
        mujoco.mj_forward(self.model, self.data)

    def command_positions(self, positions: Vector) -> None:
        """Commands joint positions [n], rad, as forward_command_controller; held for ever.

        Raises:
            InputError: a wrong length or a value that is not finite; the old command stays.
        """
        self._controller.command_positions(positions)

    def command_trajectory(
        self,
        times_s: Vector,
        positions: Vector,
        velocities: Vector | None = None,
        accelerations: Vector | None = None,
        start_s: float | None = None,
    ) -> None:
        """Commands a joint trajectory, as joint_trajectory_controller; its end is held for ever.

        Args:
            times_s: seconds from the start [m], increasing.
            positions: [m, n], rad.
            velocities: [m, n], rad/s, or None: straight lines.
            accelerations: [m, n], rad/s^2, or None: cubics.
            start_s: simulated time that the points count from; None for now.

        Raises:
            InputError: see :meth:`JointController.command_trajectory`; the old command stays.
        """
        now = self.time_s
        self._controller.command_trajectory(
            times_s, positions, velocities, accelerations, now if start_s is None else start_s, now
        )

    def command_gripper(self, width: float) -> None:
        """Commands the gripper's opening width in metres; held for ever.

        Raises:
            InputError: the robot has no gripper, or the width is not finite.
        """
        if self._gripper is None:
            raise InputError(self.robot.name, "has no gripper", "send no gripper command")
        self._gripper.command(width)

    def step(self, steps: int = 1) -> None:
        """Advances the physics by a number of steps of 2 ms.

        Raises:
            InputError: the physics has diverged; only a reset helps.
        """
        for _ in range(steps):
            self._apply_commands()
            mujoco.mj_step(self.model, self.data)
        if not np.isfinite(self.data.qacc).all():
            raise InputError("physics", "has diverged", "reset, and look at the last commands")

    def _apply_commands(self) -> None:
        joints = len(self._qpos)
        self.data.ctrl[:joints] = self._controller.sample(self.time_s)
        if self._gripper is not None:
            self.data.ctrl[joints] = self._gripper.advance(self.gripper_width, TIMESTEP_S)

    @property
    def joint_positions(self) -> Vector:
        """Measured positions [n], rad."""
        return np.array(self.data.qpos[self._qpos])

    @property
    def joint_velocities(self) -> Vector:
        """Measured velocities [n], rad/s."""
        return np.array(self.data.qvel[self._dof])

    @property
    def joint_efforts(self) -> Vector:
        """Torques of the drives [n], N*m, with what carries the arm's own weight."""
        force = self.data.qfrc_actuator[self._dof] + self.data.qfrc_gravcomp[self._dof]
        return np.array(force)

    @property
    def commanded_positions(self) -> Vector:
        """What the joint controller commands now [n], rad."""
        return self._controller.sample(self.time_s)

    @property
    def finger_positions(self) -> Vector:
        """Positions of the finger joints, metres: each half of the opening; empty without."""
        return np.array(self.data.qpos[self._finger_qpos])

    @property
    def finger_velocities(self) -> Vector:
        """Velocities of the finger joints, m/s; empty without a gripper."""
        return np.array(self.data.qvel[self._finger_dof])

    @property
    def gripper_width(self) -> float:
        """Measured opening width, metres."""
        return float(self.data.qpos[self._finger_qpos].sum())

    @property
    def gripper_speed(self) -> float:
        """Rate of change of the opening width, m/s; positive while it opens."""
        return float(self.data.qvel[self._finger_dof].sum())

    def tool_pose(self) -> tuple[Vector, Vector]:
        """Position [3] in metres and rotation [3, 3] of the tool frame.

        Raises:
            InputError: the robot has no tool.
        """
        if self.robot.tool_frame is None:
            raise InputError(self.robot.name, "has no tool frame", "ask for its joints instead")
        mujoco.mj_kinematics(self.model, self.data)
        body = self.data.body(self.robot.tool_frame)
        return np.array(body.xpos), np.array(body.xmat).reshape(3, 3)

    def object_pose(self, name: str) -> tuple[Vector, Vector]:
        """Position [3] in metres and unit quaternion [4], w x y z, of an object.

        Raises:
            InputError: the scene has no such object.
        """
        self._known_object(name)
        start = int(self.model.joint(name).qposadr[0])
        pose = np.array(self.data.qpos[start : start + 7])
        return pose[:3], pose[3:]

    def _known_object(self, name: str) -> None:
        known = [thing.name for thing in self.scene.objects]
        if name not in known:
            remedy = f"use {', '.join(known)}" if known else "use a scene that has objects"
            raise InputError(f"scene {self.scene.name}", f"has no object '{name}'", remedy)

    def external_wrench(self) -> Vector:
        """Force (N) and torque (N*m) [6] of the surroundings on the robot, in the world frame.

        The sum over all contacts of the moving links, with torque about the tool frame's origin,
        or the base's where there is no tool: what Franka's external_wrench_in_base_frame
        estimates. Grasp forces cancel, so that of a held object its weight remains.
        """
        mujoco.mj_rnePostConstraint(self.model, self.data)
        tx, ty, tz, fx, fy, fz = self.data.cfrc_ext[self._robot_bodies].sum(axis=0).tolist()
        x, y, z = (self.data.subtree_com[self._base] - self.data.xpos[self._tool]).tolist()
        return np.array(
            [fx, fy, fz, tx + y * fz - z * fy, ty + z * fx - x * fz, tz + x * fy - y * fx]
        )

    def named_state(self) -> tuple[tuple[str, ...], Vector]:
        """Names and values [nq] of the whole configuration; see sim/named_state.py."""
        return self.names, np.array(self.data.qpos)

    def save(self) -> WorldState:
        """A snapshot of physics and commands."""
        physics = np.empty(mujoco.mj_stateSize(self.model, _STATE))
        mujoco.mj_getState(self.model, self.data, physics, _STATE)
        gripper = self._gripper
        return WorldState(
            physics,
            self._controller.held,
            None if gripper is None else (gripper.target, gripper.setpoint),
        )

    def restore(self, state: WorldState) -> None:
        """Goes back to a snapshot of this world; what follows is the same to the last bit."""
        mujoco.mj_setState(self.model, self.data, state.physics, _STATE)
        mujoco.mj_forward(self.model, self.data)
        # mj_forward touches the solver's warm start, which is part of the state.
        mujoco.mj_setState(self.model, self.data, state.physics, _STATE)
        self._controller.held = state.held
        if self._gripper is not None and state.gripper is not None:
            self._gripper.target, self._gripper.setpoint = state.gripper
