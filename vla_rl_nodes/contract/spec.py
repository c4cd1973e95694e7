"""The contract's model: observation streams, action layout, rates."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cached_property
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
NAMED_VECTOR = "sensor_msgs/msg/JointState"

Unit = Literal["m", "rad", "s", "m/s", "rad/s", "m/s^2", "rad/s^2", "N", "N*m", "1"]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Component = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]  # joints have capitals
Frame = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_/]{0,127}$")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Pixels = Annotated[int, Field(ge=1, le=8192)]

# REP-144: relative names, so that the node's namespace decides whose robot it is.
_TOPIC = re.compile(r"^[A-Za-z][A-Za-z0-9_]*(/[A-Za-z][A-Za-z0-9_]*)*$")


def relative_topic(value: str) -> str:
    """Checks a relative topic name; used by every YAML file that names topics."""
    if not _TOPIC.match(value):
        raise ValueError(
            f"'{value}' is not a relative topic name; write it without a leading slash, such as"
            " observation/state"
        )
    return value


class Strict(BaseModel):
    """Base of every YAML model: unknown keys are refused and values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Rates(Strict):
    """How often the policy steps and the filter commands, in hertz."""

    policy_hz: Annotated[int, Field(ge=1, le=100)]
    filter_hz: Annotated[int, Field(ge=10, le=1000)]

    @model_validator(mode="after")
    def _whole_ratio(self) -> Self:
        if self.filter_hz % self.policy_hz:
            raise ValueError(
                f"filter_hz {self.filter_hz} is no multiple of policy_hz {self.policy_hz};"
                " make each policy period a whole number of filter ticks"
            )
        return self


class EpisodeRules(Strict):
    """When an episode ends by itself."""

    time_limit_s: Annotated[float, Field(gt=0, le=86400)]


class Crop(Strict):
    """Keep a rectangle: x, y of its upper left pixel, then its size."""

    x: Annotated[int, Field(ge=0)]
    y: Annotated[int, Field(ge=0)]
    width: Pixels
    height: Pixels


class Resize(Strict):
    """Scale to a size by area averaging."""

    width: Pixels
    height: Pixels


class Quantity(Strict):
    """One named scalar of a vector and its unit."""

    name: Component
    unit: Unit


class Transform(Strict):
    """One step between the source and the observation: exactly one of its keys."""

    crop: Crop | None = None
    resize: Resize | None = None
    select: Annotated[list[Quantity], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(v is not None for v in (self.crop, self.resize, self.select)) != 1:
            raise ValueError("holds not exactly one transform; give crop, resize or select")
        return self


class CameraSource(Strict):
    """The driver's image topic, as camera_ingest reads it.

    ``record`` says what bags hold: what the policy saw, or, as compressed images that take a
    fraction of the room, what the camera sent; replay makes the same of either.
    """

    topic: str
    type: Literal["sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"]
    width: Pixels
    height: Pixels
    encoding: Literal["rgb8", "bgr8"]
    record: Literal["observation", "source"] = "observation"

    _topic = field_validator("topic")(relative_topic)


class Stream(Strict):
    """One observation stream: an image [height, width, 3] uint8 or a vector [n] float32."""

    key: Name
    topic: str
    type: Literal["sensor_msgs/msg/Image", "sensor_msgs/msg/JointState"]
    max_age_s: Positive
    align: Literal["newest_at_or_before"] = "newest_at_or_before"
    source: CameraSource | None = None
    transforms: Annotated[list[Transform], Field(min_length=1)]

    _topic = field_validator("topic")(relative_topic)

    @model_validator(mode="after")
    def _transforms_fit(self) -> Self:
        if self.type == IMAGE:
            if self.source is None:
                raise ValueError("has no source; name the camera's topic, type and size")
            if any(t.select is not None for t in self.transforms):
                raise ValueError("selects names from an image; use crop and resize")
            height, width = self.source.height, self.source.width
            for transform in self.transforms:
                if transform.crop is not None:
                    crop = transform.crop
                    if crop.x + crop.width > width or crop.y + crop.height > height:
                        raise ValueError(
                            f"crops outside the {width}x{height} image; shrink or move the crop"
                        )
                    height, width = crop.height, crop.width
                elif transform.resize is not None:
                    height, width = transform.resize.height, transform.resize.width
        else:
            if self.source is not None:
                raise ValueError("is a vector with a camera source; remove source")
            if len(self.transforms) != 1 or self.transforms[0].select is None:
                raise ValueError("is a vector; give exactly one select transform")
            names = self.names
            if len(set(names)) != len(names):
                raise ValueError("selects a name twice; keep one of them")
        return self

    @property
    def kind(self) -> Literal["image", "vector"]:
        """Whether samples are images or vectors."""
        return "image" if self.type == IMAGE else "vector"

    @property
    def max_age_ns(self) -> int:
        """Greatest age of a sample at its step, nanoseconds."""
        return round(self.max_age_s * 1e9)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of a vector's components in order; empty for an image."""
        return tuple(q.name for t in self.transforms for q in (t.select or ()))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample: [height, width, 3] or [n]."""
        if self.kind == "vector":
            return (len(self.names),)
        assert self.source is not None
        height, width = self.source.height, self.source.width
        for transform in self.transforms:
            box = transform.crop or transform.resize
            assert box is not None
            height, width = box.height, box.width
        return (height, width, 3)

    @property
    def dtype(self) -> np.dtype[np.uint8] | np.dtype[np.float32]:
        """uint8 for images, float32 for vectors."""
        return np.dtype(np.uint8) if self.kind == "image" else np.dtype(np.float32)


class Axis(Strict):
    """One action axis with its unit and its bounds per control tick. Joints keep their names."""

    name: Component
    unit: Unit
    minimum: Finite
    maximum: Finite

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.minimum < self.maximum:
            raise ValueError(
                f"minimum {self.minimum:g} is not below maximum {self.maximum:g}; swap or widen"
            )
        return self


_ROTATION = {"tool_rx": "rad", "tool_ry": "rad", "tool_rz": "rad"}
_POINT = {"tool_x": "m", "tool_y": "m", "tool_z": "m"}
_GRIPPER = {"gripper_width": "m"}

# The axes that each kind of action consists of, with the unit that each must have. Actions of
# joints have one axis in rad for each of the robot's joints, and perhaps the gripper's.
ACTION_KINDS: dict[str, tuple[dict[str, str], ...]] = {
    "tool_delta": ({**_POINT, "tool_yaw": "rad", **_GRIPPER},),
    "tool_pose_delta": ({**_POINT, **_ROTATION}, {**_POINT, **_ROTATION, **_GRIPPER}),
    "base_velocity": ({"base_vx": "m/s", "base_vy": "m/s", "base_wz": "rad/s"},),
    "plane_delta": ({"tool_x": "m", "tool_y": "m"},),
}
JOINT_KINDS = ("joint_position", "joint_delta")


class Action(Strict):
    """The action vector, one row for each control tick.

    - ``tool_delta``: x, y, z and yaw move the commanded tool pose along and about the axes of
      ``frame``, the robot's base; the tool points down. ``gripper_width`` is an absolute opening.
    - ``tool_pose_delta``: x, y, z and a rotation vector (rx, ry, rz) move the commanded tool pose
      along and about the axes of ``frame``, which is the robot's base or its tool frame.
    - ``joint_position``, ``joint_delta``: where the joints go, or by how much, in the order of
      the robot; an absolute ``gripper_width`` may follow. ``frame`` is the base.
    - ``base_velocity``: velocity of a mobile base along its own x and y and about z.
    - ``plane_delta``: x and y alone, for benchmarks in the plane; no robot takes it.
    """

    kind: Literal[
        "tool_delta", "tool_pose_delta", "joint_position", "joint_delta", "base_velocity",
        "plane_delta",
    ]  # fmt: skip
    frame: Frame
    chunk_length: Annotated[int, Field(ge=1, le=256)]
    max_delay: Annotated[int, Field(ge=0, le=128)]
    axes: Annotated[list[Axis], Field(min_length=1, max_length=64)]

    @model_validator(mode="after")
    def _axes_fit_kind(self) -> Self:
        expected = self._expected()
        if self.names != tuple(expected):
            raise ValueError(
                f"axes are {', '.join(self.names)}; {self.kind} has {', '.join(expected)}, in this"
                " order"
            )
        for axis in self.axes:
            if axis.unit != expected[axis.name]:
                raise ValueError(
                    f"axis {axis.name} is in {axis.unit}; write it in {expected[axis.name]}"
                )
        if self.max_delay >= self.chunk_length:
            raise ValueError(
                f"max_delay {self.max_delay} leaves nothing of a chunk of {self.chunk_length};"
                " lower it below chunk_length"
            )
        return self

    def _expected(self) -> dict[str, str]:
        """The axes that there should be, and their units; of several, those nearest in number."""
        if self.kind in JOINT_KINDS:
            gripper = _GRIPPER if self.names[-1:] == tuple(_GRIPPER) else {}
            joints = [name for name in dict.fromkeys(self.names) if name not in _GRIPPER]
            return {name: "rad" for name in joints} | gripper
        forms = ACTION_KINDS[self.kind]
        return min(forms, key=lambda form: abs(len(form) - len(self.axes)))

    @property
    def names(self) -> tuple[str, ...]:
        """Axis names in order."""
        return tuple(axis.name for axis in self.axes)

    @property
    def has_gripper(self) -> bool:
        """Whether the last axis is the gripper's opening."""
        return self.names[-1] == "gripper_width"

    @cached_property
    def minimum(self) -> NDArray[np.float64]:
        """Lower bounds, shape [axes], in the axes' units per tick."""
        return np.array([axis.minimum for axis in self.axes])

    @cached_property
    def maximum(self) -> NDArray[np.float64]:
        """Upper bounds, shape [axes], in the axes' units per tick."""
        return np.array([axis.maximum for axis in self.axes])


class Contract(Strict):
    """Everything that a policy, a robot and a bag must agree on."""

    contract: Literal[1]
    name: Name
    robot: Name
    task: Annotated[str, Field(min_length=1, max_length=500)]
    rates: Rates
    episode: EpisodeRules
    observation: Annotated[list[Stream], Field(min_length=1)]
    action: Action

    @model_validator(mode="after")
    def _unique(self) -> Self:
        for what, values in (
            ("key", [s.key for s in self.observation]),
            ("topic", [s.topic for s in self.observation]),
            ("source topic", [s.source.topic for s in self.observation if s.source]),
        ):
            twice = next((v for v in values if values.count(v) > 1), None)
            if twice is not None:
                raise ValueError(f"observation {what} '{twice}' stands twice; make it unique")
        return self

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The observation streams in order."""
        return tuple(self.observation)

    @property
    def policy_hz(self) -> int:
        """Control ticks a second."""
        return self.rates.policy_hz

    @property
    def period_ns(self) -> int:
        """Time between control ticks, nanoseconds."""
        return round(1e9 / self.rates.policy_hz)

    @cached_property
    def sha256(self) -> str:
        """Hash of everything that changes what an observation, an action or a step is.

        The task text, the time limit and what is recorded of a camera are left out: they do not
        change the meaning of a recorded step.
        """
        parts = self.model_dump(
            mode="json",
            include={"contract", "robot", "rates", "observation", "action"},
            exclude={"observation": {"__all__": {"source": {"record"}}}},
        )
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()
