"""A device's YAML file: what it sends, what it moves, when it takes over, what if it fails."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from vla_rl_nodes.contract.load import load_yaml, named_file
from vla_rl_nodes.contract.spec import Component, Finite, Name, Positive, Strict, relative_topic

TWIST = "geometry_msgs/msg/Twist"
TWIST_STAMPED = "geometry_msgs/msg/TwistStamped"
JOY = "sensor_msgs/msg/Joy"
JOINT_STATE = "sensor_msgs/msg/JointState"

MessageType = Literal[
    "geometry_msgs/msg/Twist", "geometry_msgs/msg/TwistStamped", "sensor_msgs/msg/Joy",
    "sensor_msgs/msg/JointState",
]  # fmt: skip
MotionAxis = Literal["x", "y", "z", "rx", "ry", "rz"]
AXES: tuple[MotionAxis, ...] = ("x", "y", "z", "rx", "ry", "rz")
TwistField = Literal["linear.x", "linear.y", "linear.z", "angular.x", "angular.y", "angular.z"]
Button = Annotated[int, Field(ge=0, le=63)]
Seconds = Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)]
Timeout = Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=0.5)]
# Of a person's motion, and of the leap that a leader that counts as matched may be away.
MetresPerSecond = Annotated[float, Field(gt=0, le=1.0, allow_inf_nan=False)]
RadPerSecond = Annotated[float, Field(gt=0, le=2.0, allow_inf_nan=False)]
NearMetres = Annotated[float, Field(gt=0, le=0.1, allow_inf_nan=False)]
NearRad = Annotated[float, Field(gt=0, le=0.5, allow_inf_nan=False)]
Level = Annotated[float, Field(gt=0, le=3.2, allow_inf_nan=False)]

TYPES = {"twist": (TWIST, TWIST_STAMPED), "joy": (JOY,), "leader": (JOINT_STATE,)}


class AxisSource(Strict):
    """Which number of the message moves an axis, and what of it is a full deflection."""

    field: TwistField | None = Field(None, description="Twist only: the component.")
    index: Annotated[int, Field(ge=0, le=63)] | None = Field(
        None, description="Joy only: the place in axes, from 0."
    )
    full_scale: Positive = Field(
        1.0, description="Its value at full deflection, in the message's unit (Joy: 1)."
    )
    invert: bool = Field(False, description="Whether the axis goes the other way.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.field is None) == (self.index is None):
            raise ValueError("names not exactly one source; give field (Twist) or index (Joy)")
        return self


class Speed(Strict):
    """What a full deflection does, and how fast a leader arm is followed at most.

    ``linear`` bounds the speed in whatever direction, and ``angular`` the turn about whatever
    axis: along a diagonal no more than along an axis.
    """

    linear: MetresPerSecond = Field(description="Of the tool or the base, m/s.")
    angular: RadPerSecond = Field(description="Of the tool or the base, rad/s.")
    joint: RadPerSecond = Field(description="Of every joint, where joints are commanded, rad/s.")


class Gripper(Strict):
    """Buttons that command the gripper; a press counts once."""

    toggle: Button | None = Field(None, description="Closes an open gripper, opens a closed one.")
    open: Button | None = Field(None, description="Opens the gripper.")
    close: Button | None = Field(None, description="Closes the gripper.")

    @model_validator(mode="after")
    def _some(self) -> Self:
        given = [b for b in (self.toggle, self.open, self.close) if b is not None]
        if not given or len(set(given)) != len(given):
            raise ValueError(
                "needs different buttons; give toggle, or open and close, or leave gripper out"
            )
        return self


class Engage(Strict):
    """What takes the robot over."""

    by: Literal["motion", "button", "hold"] = Field(
        description="motion: any deflection or gripper button does. button: a press does, and the"
        " next press gives back. hold: as long as the button is held."
    )
    button: Button | None = Field(None, description="For button and hold: its place, from 0.")

    @model_validator(mode="after")
    def _has_button(self) -> Self:
        if (self.by == "motion") != (self.button is None):
            raise ValueError("needs a button exactly where it is by button or hold; correct it")
        return self


class Blend(Strict):
    """The ramps of the person's own command, from nothing to all of it and back."""

    in_s: Seconds = Field(description="From taking over to the whole command, s.")
    out_s: Seconds = Field(description="From letting go to nothing, s.")


class StampRule(Strict):
    """How far a message's stamp may be from now; for messages that carry one."""

    max_age_s: Timeout = Field(description="Older is stale, s.")
    future_s: Seconds = Field(description="Further ahead is refused, s.")


class NoiseRule(Strict):
    """When a device counts as noisy: it goes from full one way to full the other too often.

    No hand reverses so often; a bad cable does. Of a leader arm, what counts is how far a joint
    goes between two messages.
    """

    level: Level = Field(
        description="What counts as full: share of the deflection; of a leader, rad a message."
    )
    reversals: Annotated[int, Field(ge=1, le=100)] = Field(
        description="More of them on one axis within the window are noise."
    )
    window_s: Timeout = Field(description="The window, s.")


class LossRule(Strict):
    """What follows when the device is lost while it is in command; the robot is held at once."""

    then: Literal["hold", "give_back", "abort"] = Field(
        description="hold: until a person acts. give_back: the policy goes on. abort: the episode"
        " is aborted."
    )
    after_s: Seconds = Field(description="How long the robot is held before that, s; not of hold.")


class LeaderJoint(Strict):
    """One joint of the leader arm: the robot's joint is at sign * leader + offset."""

    name: Component = Field(description="The leader's name of the joint.")
    sign: Literal[1, -1] = Field(1, description="-1 where it turns the other way.")
    offset: Finite = Field(0.0, description="rad, added after the sign.")


class LeaderGripper(Strict):
    """The leader's trigger: its positions where the robot's gripper is open and closed."""

    name: Component = Field(description="The leader's name of the joint.")
    open: Finite = Field(description="Its position where the gripper is open, rad.")
    closed: Finite = Field(description="Its position where the gripper is closed, rad.")

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if self.open == self.closed:
            raise ValueError("is open where it is closed; give two positions")
        return self


class Matching(Strict):
    """How near the leader must be to where the robot was sent, before it takes over."""

    joint: NearRad = Field(description="Of every joint, where joints are commanded, rad.")
    linear: NearMetres = Field(description="Of the tool's position, on each axis, m.")
    angular: NearRad = Field(description="Of the tool's rotation, on each axis, rad.")
    gripper: NearMetres = Field(
        description="Of the gripper's opening, where there is a trigger, m."
    )
    hold: bool = Field(
        description="Whether the robot is held while the leader is brought to it; if not, the"
        " policy goes on until they match."
    )


class Leader(Strict):
    """A leader arm, jointed as the robot is."""

    joints: Annotated[list[LeaderJoint], Field(min_length=1, max_length=64)] = Field(
        description="In the order of the robot's joints."
    )
    gripper: LeaderGripper | None = Field(None, description="Its trigger, where it has one.")
    matching: Matching = Field(description="How near it must be before it takes over.")

    @model_validator(mode="after")
    def _different_joints(self) -> Self:
        names = [joint.name for joint in self.joints]
        names += [] if self.gripper is None else [self.gripper.name]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"joint {twice} stands twice; give each of the robot's its own")
        return self


class DeviceSettings(Strict):
    """One device. Topics are relative to the robot's namespace."""

    intervention: Literal[1] = Field(description="Version of this format.")
    name: Name = Field(description="What it is called in parameters, messages and bags.")
    kind: Literal["twist", "joy", "leader"] = Field(
        description="twist: a velocity. joy: sticks and buttons. leader: an arm to be followed."
    )
    topic: str = Field(description="What it publishes.")
    type: MessageType = Field(description="The topic's type.")
    buttons_topic: str | None = Field(
        None, description="twist and leader: a sensor_msgs/msg/Joy with its buttons."
    )
    axes: dict[MotionAxis, AxisSource] = Field(
        {}, description="twist and joy: what moves along x, y, z and turns about x, y, z."
    )
    dead_zone: Share = Field(
        0.0, description="Share of the full deflection that does nothing; motion grows from there."
    )
    frame: Literal["base", "tool"] = Field(
        "base", description="Whose axes x, y and z are: the robot's base, or its tool."
    )
    speed: Speed = Field(description="What a full deflection does.")
    gripper: Gripper | None = Field(None, description="Its gripper buttons.")
    engage: Engage = Field(description="What takes the robot over.")
    release_delay_s: Annotated[float, Field(ge=0.1, le=10)] = Field(
        description="How long after the person has let go the robot is given back, s."
    )
    blend: Blend = Field(description="Ramps of the person's command.")
    silence_timeout_s: Timeout = Field(description="Without a message for so long it is lost, s.")
    repeats: bool = Field(
        description="Whether it goes on sending while nothing changes; if not, it may be silent"
        " at rest."
    )
    frozen_after_s: Timeout | None = Field(
        None,
        description="The same deflection to the last bit for so long is a frozen device, s; null:"
        " not judged, as of keys.",
    )
    stamp: StampRule = Field(description="How old its messages may be.")
    noise: NoiseRule = Field(description="When it counts as noisy.")
    on_loss: LossRule = Field(description="What follows when it is lost while in command.")
    leader: Leader | None = Field(None, description="leader: how its joints are the robot's.")

    @field_validator("topic", "buttons_topic")
    @classmethod
    def _relative(cls, value: str | None) -> str | None:
        return None if value is None else relative_topic(value)

    @model_validator(mode="after")
    def _fits_kind(self) -> Self:
        if self.type not in TYPES[self.kind]:
            raise ValueError(
                f"kind {self.kind} comes as {' or '.join(TYPES[self.kind])}, not as {self.type};"
                " correct the type"
            )
        if self.kind == "leader":
            if self.leader is None or self.axes:
                raise ValueError("a leader has joints, not axes; give leader and no axes")
            if self.engage.by == "motion":
                raise ValueError("a leader is engaged by a button; give engage by button or hold")
        elif self.leader is not None or not self.axes:
            raise ValueError(f"a {self.kind} has axes, not joints; give axes and no leader")
        used = "field" if self.kind == "twist" else "index"
        wrong = next((a for a, s in self.axes.items() if getattr(s, used) is None), None)
        if wrong is not None:
            raise ValueError(f"axis {wrong} of a {self.kind} is a {used}; name that")
        if self.kind == "joy" and self.buttons_topic is not None:
            raise ValueError("a joy has its buttons itself; leave buttons_topic out")
        pressed = self.engage.button is not None or self.gripper is not None
        if self.kind != "joy" and pressed and self.buttons_topic is None:
            raise ValueError(f"a {self.kind} has no buttons; give buttons_topic")
        taken = self.engage.button
        if self.gripper is not None and taken is not None:
            gripper = self.gripper
            if taken in (gripper.toggle, gripper.open, gripper.close):
                raise ValueError(f"button {taken} engages and moves the gripper; give two")
        return self

    @property
    def stamped(self) -> bool:
        """Whether its messages carry a stamp; others count from their arrival."""
        return self.type != TWIST


def load_device(name_or_path: str | Path) -> DeviceSettings:
    """A device by the name of a shipped file (``spacemouse``) or by path.

    Raises:
        InputError: see :func:`~vla_rl_nodes.contract.load.load_yaml`.
    """
    return load_yaml(named_file("intervention", name_or_path), DeviceSettings)
