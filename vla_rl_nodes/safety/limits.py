"""What the filter allows: workspace, surroundings, bounds, timeouts, shares of the limits."""

from __future__ import annotations

import math
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from vla_rl_nodes.contract.load import load_yaml, named_file
from vla_rl_nodes.contract.spec import Finite, Name, Positive, Strict

Array = NDArray[np.float64]

Interval = Annotated[list[Finite], Field(min_length=2, max_length=2)]
Vector3 = Annotated[list[Finite], Field(min_length=3, max_length=3)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]
Seconds = Annotated[float, Field(gt=0, le=10)]


class Workspace(Strict):
    """A box for the tool point in the base frame, m."""

    x: Interval
    y: Interval
    z: Interval

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for axis in ("x", "y", "z"):
            low, high = getattr(self, axis)
            if not low < high:
                raise ValueError(f"{axis} {low:g} is not below {high:g}; swap or widen")
        return self

    @cached_property
    def lower(self) -> Array:
        """Lower corner [3], m."""
        return np.array([self.x[0], self.y[0], self.z[0]])

    @cached_property
    def upper(self) -> Array:
        """Upper corner [3], m."""
        return np.array([self.x[1], self.y[1], self.z[1]])


class Plane(Strict):
    """A table, floor or wall: every part of the robot stays where ``normal . p >= offset``.

    In the base frame, m; ``normal`` has length 1. The parts that never move are not held to it.
    """

    name: Name
    normal: Vector3
    offset: Finite
    margin: NotNegative
    tool_margin: NotNegative

    @model_validator(mode="after")
    def _unit(self) -> Self:
        if abs(math.hypot(*self.normal) - 1.0) > 1e-6:
            raise ValueError(f"normal of {self.name} has not length 1; normalise it")
        return self


class Obstacle(Strict):
    """A box that no moving part enters; in the base frame, turned by ``yaw`` about z. m, rad."""

    name: Name
    centre: Vector3
    size: Annotated[list[Positive], Field(min_length=3, max_length=3)]
    yaw: Finite = 0.0
    margin: NotNegative
    tool_margin: NotNegative


class ResidualStage(Strict):
    """After so many accepted residuals this share of ``residual_bound`` is allowed; between two
    stages the share changes linearly."""

    after: Annotated[int, Field(ge=0)]
    share: Annotated[float, Field(ge=0, le=1)]


class Singularity(Strict):
    """Slows the tool on its way into a singular configuration, as MoveIt Servo does.

    The condition number of the tool's Jacobian (angles weighed with ``rotation_length``): from
    ``slow_from`` on the motion is scaled down, at ``stop_at`` it is nothing.
    """

    slow_from: Annotated[float, Field(gt=1)]
    stop_at: Annotated[float, Field(gt=1)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.slow_from < self.stop_at:
            raise ValueError("slow_from is not below stop_at; slow first, stop later")
        return self


class WrenchRule(Strict):
    """What happens when the measured force (N) or torque (N*m) on the tool is too great.

    ``freeze``: stop, until armed again. ``retreat``: stop, go back along the way for
    ``retreat_s``, then stop until armed again. ``yield``: commands wait while the tool gives way
    along the force at ``yield_speed`` (m/s), as long as it lasts.
    """

    force_max: Positive
    torque_max: Positive
    reaction: Literal["freeze", "retreat", "yield"]
    timeout_s: Seconds
    retreat_s: Seconds = 0.5
    yield_speed: Positive = 0.05


class BodyRule(Strict):
    """Limits of a legged robot's trunk: its height above its lowest foot (m), its tilt (rad)."""

    height_min: Positive
    height_max: Positive
    tilt_max: Annotated[float, Field(gt=0, lt=1.5)]
    timeout_s: Seconds

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.height_min < self.height_max:
            raise ValueError("height_min is not below height_max; swap or widen")
        return self


class SafetyLimits(Strict):
    """The filter's settings; ``config/safety/franka_pick.yaml`` explains each key.

    Lengths in m, angles in rad, times in s; the scales are shares of the robot's own limits.
    """

    safety: Literal[1]
    name: Name
    robot: Name
    workspace: Workspace | None
    workspace_tolerance: NotNegative
    planes: list[Plane]
    obstacles: list[Obstacle] = []
    self_collision_margin: NotNegative
    tool_speed_max: Positive | None
    velocity_scale: Share
    acceleration_scale: Share
    jerk_scale: Share
    smoothing_s: Annotated[float, Field(gt=0, le=0.5)]
    singularity: Singularity | None
    rotation_length: Positive
    residual_bound: dict[str, NotNegative]
    residual_schedule: Annotated[list[ResidualStage], Field(min_length=1)] = [
        ResidualStage(after=0, share=1.0)
    ]
    command_timeout_s: Seconds
    stop_after_s: Seconds
    first_command_timeout_s: Seconds
    residual_wait_s: Annotated[float, Field(ge=0, le=1)]
    joint_state_timeout_s: Seconds
    future_tolerance_s: Annotated[float, Field(ge=0, le=1)]
    clock_jump_max_s: Seconds
    overrun_max: Annotated[int, Field(ge=1, le=100)]
    tracking_error_max: Positive
    arming_tilt_max: Annotated[float, Field(ge=0, lt=1.5)] | None
    gripper_speed: Positive | None
    wrench: WrenchRule | None
    body: BodyRule | None
    deadman_timeout_s: Seconds | None
    e_stop_timeout_s: Seconds | None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.command_timeout_s < self.stop_after_s:
            raise ValueError(
                f"stop_after_s {self.stop_after_s:g} is not above command_timeout_s"
                f" {self.command_timeout_s:g}; hold first, stop later"
            )
        names = [plane.name for plane in self.planes] + [box.name for box in self.obstacles]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"'{twice}' stands twice among planes and obstacles; rename one")
        after = [stage.after for stage in self.residual_schedule]
        if after[0] != 0 or any(b <= a for a, b in pairwise(after)):
            raise ValueError("residual_schedule does not begin at 0 and rise; sort it")
        return self


def nanoseconds(seconds: float) -> int:
    """A duration in s as whole nanoseconds."""
    return round(seconds * 1e9)


def load_limits(name_or_path: str | Path) -> SafetyLimits:
    """Safety limits by the name of a shipped file (``franka_pick``) or by path.

    Raises:
        InputError: the file is missing or wrong.
    """
    return load_yaml(named_file("safety", name_or_path), SafetyLimits)
