"""Forward and inverse kinematics of a robot from its URDF (pinocchio)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pinocchio
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.model import Robot

Array = NDArray[np.float64]

STEP_MAX = 0.3  # rad, the largest joint step of one iteration: keeps far starts from leaping
POSTURE_GAIN = 0.02  # share of the way back to the posture that one solve takes in null space
DAMPING_MIN, DAMPING_MAX = 1e-4, 0.3


class Pose(NamedTuple):
    """A frame in the base frame: position [3] in m, rotation [3, 3]."""

    position: Array
    rotation: Array


class IkResult(NamedTuple):
    """Joint positions [n] in rad, what is left of the errors (m, rad), and whether they are
    within the tolerance."""

    q: Array
    position_error: float
    rotation_error: float
    converged: bool


class Kinematics:
    """Kinematics of one robot, relative to its base frame; not for use from several threads.

    Joints that the robot's description does not list (fingers) stay where the URDF has zero.

    Raises:
        InputError: the URDF does not hold the robot's joints in their order, its frames, or
            position limits at least as wide.
    """

    def __init__(self, robot: Robot) -> None:
        self._robot = robot
        self._model = _build(robot)
        self._data = self._model.createData()
        self._frame = None if robot.tool_frame is None else self._frame_id(robot.tool_frame)
        if not _is_root(self._model, self._frame_id(robot.base_frame)):
            raise InputError(
                robot.urdf,
                f"frame {robot.base_frame} is not where the tree begins",
                "name the URDF's root link as base_frame",
            )
        self._lower, self._upper = robot.position_min, robot.position_max
        low, high = self._model.lowerPositionLimit, self._model.upperPositionLimit
        for i, name in enumerate(robot.joints):
            if self._lower[i] < low[i] - 1e-4 or self._upper[i] > high[i] + 1e-4:
                raise InputError(
                    robot.urdf,
                    f"{name} moves {low[i]:g}..{high[i]:g}, less than the description says",
                    "narrow the description's position limits",
                )

    @property
    def has_tool(self) -> bool:
        """Whether the robot's description names a tool frame."""
        return self._frame is not None

    def fk(self, q: Array, frame: str | None = None) -> Pose:
        """Pose of ``frame`` (default: the tool frame) at ``q`` [n].

        Raises:
            InputError: the URDF has no such frame, or the robot has no tool frame.
        """
        target = self._tool() if frame is None else self._frame_id(frame)
        pinocchio.framesForwardKinematics(self._model, self._data, q)
        placement = self._data.oMf[target]
        return Pose(placement.translation.copy(), placement.rotation.copy())

    def tool_points(self, path: Array) -> Array:
        """Origin of the tool frame [m, 3] at every configuration of ``path`` [m, n]."""
        tool, model, data = self._tool(), self._model, self._data
        points = np.empty((len(path), 3))
        for i, q in enumerate(path):
            pinocchio.forwardKinematics(model, data, q)
            points[i] = pinocchio.updateFramePlacement(model, data, tool).translation
        return points

    def jacobian(self, q: Array) -> Array:
        """Jacobian [6, n] of the tool: its origin's velocity, then its angular velocity, both
        along the base frame's axes."""
        jacobian: Array = pinocchio.computeFrameJacobian(
            self._model, self._data, q, self._tool(), pinocchio.LOCAL_WORLD_ALIGNED
        )
        return jacobian

    def solve(
        self,
        q_start: Array,
        position: Array,
        rotation: Array,
        *,
        posture: Array | None = None,
        tolerance: float = 1e-6,
        iterations: int = 60,
    ) -> IkResult:
        """Joint positions inside the limits that bring the tool to a pose.

        Damped least squares (Nakamura and Hanafusa 1986) with the damping tied to the error
        (Sugihara 2011), so that it vanishes at the solution. A joint at its limit is taken out
        while the step pushes it further out. A redundant arm moves a small share towards
        ``posture`` (default: the robot's home) in the null space, once per call, so a sequence
        of calls settles in one shape without leaps.

        Args:
            q_start: where to start [n], inside the limits; near the solution it takes two to
                four iterations.
            position: the tool's origin in the base frame [3], m.
            rotation: the tool's rotation in the base frame [3, 3].
            posture: joint positions [n] that the null space is drawn to.
            tolerance: greatest remaining error, in m and in rad.
            iterations: how many steps to try.
        """
        model, data, tool = self._model, self._data, self._tool()
        lower, upper = self._lower, self._upper
        bias = (self._robot.home if posture is None else posture) - q_start
        q = np.clip(q_start, lower, upper)
        for iteration in range(iterations + 1):
            jacobian = pinocchio.computeFrameJacobian(
                model, data, q, tool, pinocchio.LOCAL_WORLD_ALIGNED
            )
            placement = pinocchio.updateFramePlacement(model, data, tool)
            error = np.empty(6)
            error[:3] = position - placement.translation
            error[3:] = pinocchio.log3(rotation @ placement.rotation.T)
            position_error = float(np.sqrt(error[:3] @ error[:3]))
            rotation_error = float(np.sqrt(error[3:] @ error[3:]))
            close = position_error < tolerance and rotation_error < tolerance
            if (close and iteration > 0) or iteration == iterations:
                return IkResult(q, position_error, rotation_error, close)
            pull = POSTURE_GAIN * bias if iteration == 0 else None
            step = _limited_step(jacobian, error, pull, q, lower, upper)
            largest = float(np.abs(step).max())
            if largest > STEP_MAX:
                step *= STEP_MAX / largest
            q = np.clip(q + step, lower, upper)
        raise AssertionError("unreachable: the last iteration returns")

    def _tool(self) -> int:
        if self._frame is None:
            raise InputError(
                self._robot.name, "has no tool frame", "name a frame, or set tool_frame"
            )
        return self._frame

    def _frame_id(self, frame: str) -> int:
        if not self._model.existFrame(frame):
            raise InputError(self._robot.urdf, f"has no frame {frame}", "correct the name")
        return int(self._model.getFrameId(frame))


def _limited_step(
    jacobian: Array, error: Array, pull: Array | None, q: Array, lower: Array, upper: Array
) -> Array:
    """A damped step [n]; joints that it would push out of their limits are held and it is
    taken again without them."""
    free = np.ones(len(q), dtype=bool)
    while True:
        held = jacobian if free.all() else jacobian * free
        step = _damped_step(held, error, None if pull is None else pull * free)
        out = free & (((q >= upper) & (step > 0)) | ((q <= lower) & (step < 0)))
        if not out.any():
            return step
        free &= ~out


def _damped_step(jacobian: Array, error: Array, pull: Array | None) -> Array:
    damping = min(max(float(error @ error), DAMPING_MIN**2), DAMPING_MAX**2)
    gram = jacobian @ jacobian.T
    gram.flat[::7] += damping
    if pull is None:
        step: Array = jacobian.T @ np.linalg.solve(gram, error)
        return step
    # The pull's own motion at the tool is taken out of the error: what is left of it is null
    # space up to the damping.
    return pull + jacobian.T @ np.linalg.solve(gram, error - jacobian @ pull)


def _build(robot: Robot) -> Any:
    try:
        full = pinocchio.buildModelFromUrdf(robot.urdf)
    except (ValueError, RuntimeError) as error:
        raise InputError(robot.urdf, f"is no usable URDF ({error})", "correct it") from error
    names = list(full.names)[1:]
    missing = next((joint for joint in robot.joints if joint not in names), None)
    if missing is not None:
        raise InputError(robot.urdf, f"has no joint {missing}", "correct the joint's name")
    locked = [full.getJointId(name) for name in names if name not in robot.joints]
    model = pinocchio.buildReducedModel(full, locked, pinocchio.neutral(full))
    order = list(model.names)[1:]
    if order != list(robot.joints) or model.nq != len(order):
        raise InputError(
            robot.urdf,
            f"has the joints {', '.join(order)} with {model.nq} coordinates",
            "list them in this order; each must be revolute or prismatic with limits",
        )
    return model


def _is_root(model: Any, frame: int) -> bool:
    fixed = model.frames[frame]
    return int(fixed.parentJoint) == 0 and bool(fixed.placement.isIdentity(1e-12))
