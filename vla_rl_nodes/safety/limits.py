"""What the filter allows: workspace, bounds, timeouts and shares of the robot's limits."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from vla_rl_nodes.contract.load import load_yaml, named_file
from vla_rl_nodes.contract.spec import Finite, Name, Positive, Strict

Array = NDArray[np.float64]

Interval = Annotated[list[Finite], Field(min_length=2, max_length=2)]
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


class SafetyLimits(Strict):
    """The filter's settings; ``config/safety/franka_pick.yaml`` explains each key.

    Lengths in m, angles in rad, times in s; the scales are shares of the robot's own limits.
    """

    safety: Literal[1]
    name: Name
    robot: Name
    workspace: Workspace
    workspace_tolerance: NotNegative
    residual_bound: dict[str, NotNegative]
    command_timeout_s: Seconds
    stop_after_s: Seconds
    first_command_timeout_s: Seconds
    residual_wait_s: Annotated[float, Field(ge=0, le=1)]
    joint_state_timeout_s: Seconds
    future_tolerance_s: Annotated[float, Field(ge=0, le=1)]
    velocity_scale: Share
    acceleration_scale: Share
    tracking_error_max: Positive
    arming_tilt_max: Annotated[float, Field(ge=0, lt=1.5)]
    gripper_speed: Positive

    @model_validator(mode="after")
    def _timeouts_ordered(self) -> Self:
        if not self.command_timeout_s < self.stop_after_s:
            raise ValueError(
                f"stop_after_s {self.stop_after_s:g} is not above command_timeout_s"
                f" {self.command_timeout_s:g}; hold first, stop later"
            )
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
