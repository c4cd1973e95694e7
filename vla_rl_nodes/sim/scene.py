"""What stands around the robot: table, floor, light, cameras and objects, from a YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from vla_rl_nodes.contract.load import load_yaml, named_file
from vla_rl_nodes.contract.spec import Finite, Frame, Name, Pixels, Positive, Strict

Point = Annotated[list[Finite], Field(min_length=3, max_length=3)]
Planar = Annotated[list[Finite], Field(min_length=2, max_length=2)]
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Shade = Annotated[float, Field(ge=0.0, le=1.0)]
Colour = Annotated[list[Shade], Field(min_length=3, max_length=3)]


class Floor(Strict):
    """An endless horizontal floor."""

    height_m: Finite
    colour: Colour


class Table(Strict):
    """A table top: a box whose upper side is at ``height_m``; lengths in metres."""

    centre_m: Planar
    size_m: Annotated[list[Positive], Field(min_length=3, max_length=3)]
    height_m: Finite
    colour: Colour


class Lamp(Strict):
    """A directional light without shadow; positions in the world frame, metres."""

    position_m: Point
    target_m: Point
    diffuse: Colour

    @model_validator(mode="after")
    def _shines_somewhere(self) -> Self:
        if self.position_m == self.target_m:
            raise ValueError("shines on itself; move its target_m")
        return self


class Camera(Strict):
    """A camera on a body of the robot, or on ``world``; points are in that body's frame."""

    name: Name
    body: Frame
    position_m: Point
    target_m: Point
    up: Point
    fovy_deg: Annotated[float, Field(gt=1.0, lt=170.0)]


class Spawn(Strict):
    """Where an object lies at reset: uniform in a rectangle, turned by up to ``yaw_rad``."""

    centre_m: Planar
    half_range_m: Annotated[list[NotNegative], Field(min_length=2, max_length=2)]
    yaw_rad: NotNegative


class CubeObject(Strict):
    """A cube that can be moved, resting on the table or the floor."""

    name: Name
    edge_m: Positive
    mass_kg: Positive
    friction: Positive
    colour: Colour
    spawn: Spawn


class ToolStart(Strict):
    """Where an arm's tool stands at reset: pointing down, at a pose drawn around this one.

    Position in the robot's base frame in metres, turned about the vertical by ``yaw_rad``;
    each of x, y, z and yaw is uniform within plus or minus its range.
    """

    position_m: Point
    yaw_rad: Finite
    half_range_m: Annotated[list[NotNegative], Field(min_length=3, max_length=3)]
    yaw_half_range_rad: NotNegative


class Lift(Strict):
    """The picking task: hold ``object`` this far above its resting height for this long."""

    object: Name
    lift_m: Positive
    hold_s: Positive


class Images(Strict):
    """Size of the camera images in pixels."""

    width: Pixels
    height: Pixels


class Scene(Strict):
    """Everything in a scene but the robot."""

    scene: Literal[1]
    name: Name
    floor: Floor
    table: Table | None = None
    background: Colour
    lamps: Annotated[list[Lamp], Field(min_length=1)]
    images: Images
    cameras: list[Camera] = []
    objects: list[CubeObject] = []
    tool_start: ToolStart | None = None
    joint_half_range_rad: NotNegative
    task: Lift | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for what, names in (
            ("camera", [camera.name for camera in self.cameras]),
            ("object", [thing.name for thing in self.objects]),
        ):
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"{what} '{twice}' stands twice; make it unique")
        if self.task is not None and self.task.object not in [o.name for o in self.objects]:
            raise ValueError(f"task needs '{self.task.object}'; add that object")
        return self

    @property
    def support_m(self) -> float:
        """Height of the surface that objects rest on, metres."""
        return self.floor.height_m if self.table is None else self.table.height_m


def load_scene(name_or_path: str | Path) -> Scene:
    """A scene by the name of a shipped file (``franka_pick``) or by path.

    Raises:
        InputError: the file cannot be read, or names the first wrong key and the remedy.
    """
    return load_yaml(named_file("scenes", name_or_path), Scene)
