"""A robot's model: joints with their limits, frames, topics and the simulator's servo gains."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from vla_rl_nodes.contract.spec import Finite, Frame, Name, Positive, Strict, relative_topic

Array = NDArray[np.float64]

JointName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Servo(Strict):
    """A position servo in the simulator: force = kp * (command - position) - kd * velocity."""

    kp: Positive
    kd: Positive
    armature: NotNegative


class VelocityMargin(Strict):
    """Slows a joint near its position limits (Franka FCI documentation, FR3 limits).

    At distance d from a limit, the speed towards it is at most
    ``max(0, -offset + sqrt(2 * deceleration * d))``; offset in rad/s, deceleration in rad/s^2.
    """

    offset: NotNegative
    deceleration: Positive


class Joint(Strict):
    """One actuated joint: limits in rad, rad/s, rad/s^2, rad/s^3 and N*m."""

    name: JointName
    position: Annotated[list[Finite], Field(min_length=2, max_length=2)]
    velocity: Positive
    acceleration: Positive
    jerk: Positive
    effort: Positive
    velocity_margin: VelocityMargin | None = None
    home: Finite
    servo: Servo

    @model_validator(mode="after")
    def _home_inside(self) -> Self:
        low, high = self.position
        if not low < high:
            raise ValueError(f"position {low:g} is not below {high:g}; swap or widen")
        if not low < self.home < high:
            raise ValueError(f"home {self.home:g} is outside {low:g}..{high:g}; move it inside")
        return self


class Gripper(Strict):
    """A parallel gripper; each finger joint holds half of the opening. Metres, m/s, newton."""

    joints: Annotated[list[JointName], Field(min_length=2, max_length=2)]
    width_max: Positive
    speed_max: Positive
    force_max: Positive
    servo: Servo


class Collision(Strict):
    """What the safety filter knows of the robot's shape besides the URDF's primitives.

    ``tool_links`` may come closer to planes and obstacles than the rest of the robot: it is what
    works there. Parts that at most ``neighbours`` moving joints join are not held against each
    other, their shapes overlap.
    """

    tool_links: list[JointName] = []
    neighbours: Annotated[int, Field(ge=1, le=4)] = 2


class MobileBase(Strict):
    """A base that takes velocities along its x, its y (m/s) and about its z (rad/s).

    ``timeout_s`` is how long the base's own controller goes on after the last command. A base
    without one goes on for ever when the filter dies, so it has to be given.
    """

    velocity: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=3, max_length=3)]
    acceleration: Annotated[list[Positive], Field(min_length=3, max_length=3)]
    jerk: Annotated[list[Positive], Field(min_length=3, max_length=3)]
    timeout_s: Annotated[float, Field(gt=0, le=2)]


class Topics(Strict):
    """Where the robot's drivers and controllers listen and speak, relative to its namespace.

    ``velocity_timeout_s`` is how long the controller behind ``velocity_command`` goes on after
    the last command; without it velocities are not streamed, since it would go on for ever.
    """

    joint_states: str
    position_command: str
    velocity_command: str | None = None
    velocity_timeout_s: Annotated[float, Field(gt=0, le=2)] | None = None
    twist_command: str | None = None
    trajectory_command: str | None = None
    gripper_joint_states: str | None = None
    gripper_command: str | None = None
    wrench: str | None = None
    imu: str | None = None

    @field_validator("*")
    @classmethod
    def _relative(cls, value: str | float | None) -> str | float | None:
        return relative_topic(value) if isinstance(value, str) else value


class Robot(Strict):
    """One robot. Arrays are in the order of ``joints``; n is the number of joints.

    A robot with a floating base is described relative to its base: the base itself is not part
    of ``joints``. ``gravity_compensation`` says whether its drives carry the arm's own weight.
    """

    robot: Literal[1]
    name: Name
    urdf: Annotated[str, Field(min_length=1)]
    base_frame: Frame
    tool_frame: Frame | None = None
    floating_base: bool
    axes: Annotated[list[Joint], Field(min_length=1, max_length=64)]
    gravity_compensation: bool
    gripper: Gripper | None = None
    collision: Collision = Collision()
    feet: list[Frame] = []
    mobile_base: MobileBase | None = None
    topics: Topics

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = list(self.joints) + (self.gripper.joints if self.gripper else [])
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"joint '{twice}' stands twice; keep one of them")
        if self.gripper is not None and self.topics.gripper_command is None:
            raise ValueError("has a gripper but no topics.gripper_command; add the topic")
        if self.mobile_base is not None and self.topics.twist_command is None:
            raise ValueError("has a mobile base but no topics.twist_command; add the topic")
        return self

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of the actuated joints, the gripper's left out."""
        return tuple(axis.name for axis in self.axes)

    @cached_property
    def position_min(self) -> Array:
        """Lower position limits [n], rad."""
        return np.array([axis.position[0] for axis in self.axes])

    @cached_property
    def position_max(self) -> Array:
        """Upper position limits [n], rad."""
        return np.array([axis.position[1] for axis in self.axes])

    @cached_property
    def velocity_max(self) -> Array:
        """Speed limits far from any position limit [n], rad/s."""
        return np.array([axis.velocity for axis in self.axes])

    @cached_property
    def acceleration_max(self) -> Array:
        """Acceleration limits [n], rad/s^2."""
        return np.array([axis.acceleration for axis in self.axes])

    @cached_property
    def jerk_max(self) -> Array:
        """Jerk limits [n], rad/s^3."""
        return np.array([axis.jerk for axis in self.axes])

    @cached_property
    def effort_max(self) -> Array:
        """Torque limits [n], N*m."""
        return np.array([axis.effort for axis in self.axes])

    @cached_property
    def home(self) -> Array:
        """Home configuration [n], rad."""
        return np.array([axis.home for axis in self.axes])

    @cached_property
    def _margins(self) -> tuple[Array, Array]:
        """Offsets and doubled decelerations [n]; of a joint without a margin such that its bound
        is its greatest velocity everywhere."""
        rows = [(axis.velocity, axis.velocity_margin) for axis in self.axes]
        offset = np.array([-most if row is None else row.offset for most, row in rows])
        doubled = np.array([0.0 if row is None else 2.0 * row.deceleration for _, row in rows])
        return offset, doubled

    def velocity_bounds(self, q: Array) -> tuple[Array, Array]:
        """Lowest and highest velocity allowed at ``q``, both of its shape [..., n], rad/s.

        Where a joint has a velocity margin, its bounds close as it nears a position limit and
        never force it back from one: lower <= 0 <= upper everywhere.
        """
        offset, doubled = self._margins
        most = self.velocity_max
        above = np.sqrt(doubled * np.maximum(self.position_max - q, 0.0)) - offset
        below = np.sqrt(doubled * np.maximum(q - self.position_min, 0.0)) - offset
        upper: Array = np.minimum(np.maximum(above, 0.0), most)
        lower: Array = -np.minimum(np.maximum(below, 0.0), most)
        return lower, upper
