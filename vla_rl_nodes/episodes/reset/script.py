"""A task's reset as YAML: where the robot begins, where objects belong, how they get there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from vla_rl_nodes.contract.load import load_yaml, named_file
from vla_rl_nodes.contract.spec import Component, Name, Strict

# What an arm on a table can have to do with: anything beyond is a slip of the pen.
Place = Annotated[float, Field(ge=-3.0, le=3.0, allow_inf_nan=False)]  # m
Length = Annotated[float, Field(gt=0.0, le=0.5, allow_inf_nan=False)]  # m
Width = Annotated[float, Field(ge=0.0, le=0.5, allow_inf_nan=False)]  # m
Way = Annotated[float, Field(ge=-1.0, le=1.0, allow_inf_nan=False)]  # m
HalfRange = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]  # m
Turn = Annotated[float, Field(ge=-6.3, le=6.3, allow_inf_nan=False)]  # rad
HalfTurn = Annotated[float, Field(ge=0.0, le=3.2, allow_inf_nan=False)]  # rad
ToolSpeed = Annotated[float, Field(gt=0.0, le=0.5, allow_inf_nan=False)]  # m/s
Share = Annotated[float, Field(gt=0.0, le=3.0, allow_inf_nan=False)]
Point = Annotated[list[Place], Field(min_length=3, max_length=3)]
Planar = Annotated[list[Place], Field(min_length=2, max_length=2)]
Step3 = Annotated[list[Way], Field(min_length=3, max_length=3)]
Half = Annotated[list[HalfRange], Field(min_length=2, max_length=2)]
Half3 = Annotated[list[HalfRange], Field(min_length=3, max_length=3)]
Angle = Annotated[float, Field(gt=0.0, lt=1.6)]


class ToolStart(Strict):
    """Where the tool begins, pointing down: each of x, y, z and yaw uniform about this pose."""

    position_m: Point
    yaw_rad: Turn
    half_range_m: Half3
    yaw_half_range_rad: HalfTurn


class Spawn(Strict):
    """Where an object belongs: anywhere in a rectangle; put back uniformly, turned by up to
    ``yaw_rad``. An object up to ``slack_m`` outside still counts as there."""

    centre_m: Planar
    half_range_m: Half
    yaw_rad: HalfTurn
    slack_m: Annotated[float, Field(ge=0.0, le=0.1, allow_inf_nan=False)] = 0.005


class ResetObject(Strict):
    """An object that the task needs in its place; a box about as long as it is wide and high.

    It is upright when it stands within ``tilt_max_rad``: on ``any_face``, or with its own z up.
    ``support_m`` is the height of what it rests on. Lengths in m, in the robot's base frame.
    """

    name: Name
    edge_m: Length
    support_m: Place
    spawn: Spawn
    upright: Literal["any_face", "z"]
    tilt_max_rad: Angle


class OpenGripper(Strict):
    """The gripper goes to an opening and stays there."""

    do: Literal["gripper"]
    width_m: Width


class Lift(Strict):
    """The tool goes straight up, as far as the workspace lets it."""

    do: Literal["lift"]
    by_m: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)]


class PutBack(Strict):
    """An object that is held, or lies outside its area, or not upright, is put into its area."""

    do: Literal["put_back"]
    object: Name


class GoTo(Strict):
    """The arm goes home, or to joint positions by name (rad)."""

    do: Literal["joints"]
    to: Literal["home"] | dict[Component, Turn]


class ToolMove(Strict):
    """The tool goes along the base's axes by ``by_m``, through the contract's own actions."""

    do: Literal["tool"]
    by_m: Step3
    speed: ToolSpeed = 0.1


class Rest(Strict):
    """Waits until the arm has been at rest for so long."""

    do: Literal["rest"]
    seconds: Annotated[float, Field(gt=0.0, le=600.0, allow_inf_nan=False)]


Step = Annotated[OpenGripper | Lift | PutBack | GoTo | ToolMove | Rest, Field(discriminator="do")]


class PickNumbers(Strict):
    """How objects are picked up and put down; m and m/s."""

    hover_m: Length = 0.12
    approach_speed: ToolSpeed = 0.08
    lowest_tool_m: Annotated[float, Field(ge=-0.5, le=0.5, allow_inf_nan=False)] = 0.015
    grip_share: Annotated[list[Share], Field(min_length=2, max_length=2)] = [0.7, 1.45]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        least, most = self.grip_share
        if least >= most:
            raise ValueError(f"grip_share goes from {least:g} to {most:g}; give the lower first")
        return self


class ResetScript(Strict):
    """One task's reset; ``config/resets/franka_pick.yaml`` explains each key."""

    reset: Literal[1]
    name: Name
    tool_start: ToolStart | None = None
    joint_half_range_rad: Annotated[float, Field(ge=0.0, le=0.5, allow_inf_nan=False)] = 0.0
    gripper_m: Width | None = None
    objects: list[ResetObject] = []
    steps: list[Step] = []
    pick: PickNumbers = PickNumbers()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [thing.name for thing in self.objects]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"object '{twice}' stands twice; keep one of them")
        for step in self.steps:
            if isinstance(step, PutBack) and step.object not in names:
                raise ValueError(f"a step puts back '{step.object}'; describe that object")
        return self

    def described(self, name: str) -> ResetObject:
        """The object of that name; one that a step names is always there."""
        return next(thing for thing in self.objects if thing.name == name)


def load_script(name_or_path: str | Path) -> ResetScript:
    """A task's reset by the name of a shipped file (``franka_pick``) or by path.

    Raises:
        InputError: the file cannot be read, or names the first wrong key and the remedy.
    """
    return load_yaml(named_file("resets", name_or_path), ResetScript)
