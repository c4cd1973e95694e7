"""What the judge holds the filter to: numbers read straight from the robot's and safety's YAML."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bounds:
    """Limits of one robot with one set of safety settings; m, rad, s, shares already applied.

    Attributes:
        joints: names, in the order of all arrays [n].
        q_min, q_max: joint ranges.
        v_max, a_max, j_max: greatest velocity, acceleration, jerk.
        margin: [n, 2] offset and deceleration of position-dependent velocity limits; NaN: none.
        v_scale: the share that position-dependent velocity limits are multiplied by.
        workspace: [2, 3] box of the tool point with its tolerance added, or None.
        walls: of each plane: name, normal, offset, margin, margin of tool links.
        boxes: of each obstacle: name, centre, half sizes, yaw, margin, margin of tool links.
        height: lowest and highest trunk of a legged robot, or None.
        base: [3, 3] velocity, acceleration and jerk of a mobile base, or None.
    """

    urdf: Path
    joints: tuple[str, ...]
    q_min: Array
    q_max: Array
    v_max: Array
    a_max: Array
    j_max: Array
    margin: Array
    v_scale: float
    tool: str | None
    tool_speed: float | None
    workspace: Array | None
    walls: tuple[tuple[str, Array, float, float, float], ...]
    boxes: tuple[tuple[str, Array, Array, float, float, float], ...]
    self_margin: float
    tool_links: tuple[str, ...]
    neighbours: int
    fingers: tuple[str, ...]
    width_max: float
    width_speed: float
    feet: tuple[str, ...]
    height: tuple[float, float] | None
    residual: dict[str, float]
    schedule: tuple[tuple[int, float], ...]
    base: Array | None

    def velocity(self, q: Array) -> tuple[Array, Array]:
        """Lowest and highest velocity allowed at ``q`` [m, n].

        With a margin: at distance d from a limit at most ``-offset + sqrt(2 * deceleration * d)``
        towards it, never less than 0 (Franka FCI documentation, FR3).
        """
        offset, deceleration = self.margin[:, 0], self.margin[:, 1]
        room_up, room_down = np.maximum(self.q_max - q, 0.0), np.maximum(q - self.q_min, 0.0)
        up = np.sqrt(2.0 * deceleration * room_up) - offset
        down = np.sqrt(2.0 * deceleration * room_down) - offset
        free = np.isnan(offset)
        highest = np.where(free, self.v_max, np.clip(up * self.v_scale, 0.0, self.v_max))
        lowest = np.where(free, self.v_max, np.clip(down * self.v_scale, 0.0, self.v_max))
        return -lowest, highest

    def residual_share(self, accepted: int) -> float:
        """The greatest share of the residual bound that any of ``accepted`` residuals may have;
        it changes linearly between the stages of the schedule."""
        stages = [after for after, _ in self.schedule]
        now = float(np.interp(accepted, stages, [share for _, share in self.schedule]))
        return max(now, *(share for after, share in self.schedule if after <= accepted))


def read_bounds(robot_file: Path, safety_file: Path, urdf: Path) -> Bounds:
    """Reads both files as plain data; ``urdf`` is where the robot's shape stands."""
    robot: dict[str, Any] = yaml.safe_load(robot_file.read_text(encoding="utf-8"))
    safety: dict[str, Any] = yaml.safe_load(safety_file.read_text(encoding="utf-8"))
    axes = robot["axes"]
    margins = [axis.get("velocity_margin") for axis in axes]
    v_scale = float(safety["velocity_scale"])
    gripper = robot.get("gripper") or {}
    shape = robot.get("collision") or {}
    base = robot.get("mobile_base")
    body = safety["body"]
    return Bounds(
        urdf=urdf,
        joints=tuple(axis["name"] for axis in axes),
        q_min=np.array([axis["position"][0] for axis in axes], dtype=np.float64),
        q_max=np.array([axis["position"][1] for axis in axes], dtype=np.float64),
        v_max=_column(axes, "velocity") * v_scale,
        a_max=_column(axes, "acceleration") * safety["acceleration_scale"],
        j_max=_column(axes, "jerk") * safety["jerk_scale"],
        margin=np.array(
            [(np.nan, np.nan) if m is None else (m["offset"], m["deceleration"]) for m in margins]
        ),
        v_scale=v_scale,
        tool=robot.get("tool_frame"),
        tool_speed=safety["tool_speed_max"],
        workspace=_box(safety["workspace"], safety["workspace_tolerance"]),
        walls=tuple(
            (p["name"], np.array(p["normal"], dtype=np.float64), float(p["offset"]),
             float(p["margin"]), float(p["tool_margin"]))
            for p in safety["planes"]
        ),
        boxes=tuple(
            (o["name"], np.array(o["centre"], dtype=np.float64), 0.5 * np.array(o["size"]),
             float(o.get("yaw", 0.0)), float(o["margin"]), float(o["tool_margin"]))
            for o in safety.get("obstacles", [])
        ),
        self_margin=float(safety["self_collision_margin"]),
        tool_links=tuple(shape.get("tool_links", ())),
        neighbours=int(shape.get("neighbours", 2)),
        fingers=tuple(gripper.get("joints", ())),
        width_max=float(gripper.get("width_max", 0.0)),
        width_speed=min(
            float(gripper.get("speed_max", 0.0)), float(safety["gripper_speed"] or np.inf)
        ),
        feet=tuple(robot.get("feet", ())),
        height=None if body is None else (body["height_min"], body["height_max"]),
        residual={name: float(value) for name, value in safety["residual_bound"].items()},
        schedule=tuple(
            (stage["after"], stage["share"])
            for stage in safety.get("residual_schedule", [{"after": 0, "share": 1.0}])
        ),
        base=None if base is None else _base(base, safety),
    )  # fmt: skip


def _column(axes: list[dict[str, Any]], key: str) -> Array:
    return np.array([axis[key] for axis in axes], dtype=np.float64)


def _box(workspace: dict[str, list[float]] | None, tolerance: float) -> Array | None:
    if workspace is None:
        return None
    low, high = np.array([workspace[axis] for axis in "xyz"], dtype=np.float64).T
    return np.stack([low - tolerance, high + tolerance])


def _base(base: dict[str, list[float]], safety: dict[str, Any]) -> Array:
    return np.array(
        [
            np.array(base["velocity"]) * safety["velocity_scale"],
            np.array(base["acceleration"]) * safety["acceleration_scale"],
            np.array(base["jerk"]) * safety["jerk_scale"],
        ]
    )
