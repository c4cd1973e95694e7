"""What a YAML file says of a served policy: where it is, what it wants, what it answers."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from vla_rl_nodes.contract.spec import Finite, Frame, Name, Pixels, Positive, Strict

Key = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_./-]{0,99}$")]
Text = Annotated[str, Field(min_length=1, max_length=500)]
Seconds = Annotated[float, Field(gt=0, le=600)]
Steps = Annotated[int, Field(ge=1, le=256)]
Bytes = Annotated[int, Field(ge=1024, le=64 << 20)]


class ApiKey(Strict):
    """Names the environment variable that holds the key; the key itself stands in no file."""

    environment: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]
    scheme: Literal["Bearer", "Api-Key"]


class Server(Strict):
    """Where the policy is served, and how long and how much we take from it."""

    url: Annotated[str, Field(min_length=1, max_length=500)]
    allow_unencrypted: bool = False
    ca_file: Text | None = None
    api_key: ApiKey | None = None
    connect_s: Seconds = 2.0
    first_answer_s: Seconds = 120.0  # a server compiles its network at the first request
    answer_s: Seconds = 1.0
    largest_answer: Bytes = 1 << 20


class ImageField(Strict):
    """One camera of the contract under the server's key, as uint8 [height, width, 3]."""

    stream: Name
    key: Key
    width: Pixels
    height: Pixels
    fit: Literal["pad", "stretch"]  # pad keeps the proportions on black


class Part(Strict):
    """One number of a vector: a stream's component times a scale plus an offset; or a constant."""

    stream: Name | None = None
    name: Name | None = None
    scale: Finite = 1.0
    offset: Finite = 0.0
    constant: Finite | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.stream is None) != (self.name is None) or (self.stream is None) == (
            self.constant is None
        ):
            raise ValueError("is neither a component nor a constant; give stream and name")
        return self


class VectorField(Strict):
    """A vector of numbers under the server's key."""

    key: Key
    dtype: Literal["float32", "float64"] = "float32"
    parts: Annotated[list[Part], Field(min_length=1, max_length=64)]


class ObservationMap(Strict):
    """Which of the contract's streams go to the server, and under which keys."""

    images: Annotated[list[ImageField], Field(min_length=1, max_length=8)]
    vectors: list[VectorField] = []
    instruction: Text | None = None  # the contract's task when left out

    @model_validator(mode="after")
    def _keys_differ(self) -> Self:
        keys = [image.key for image in self.images] + [vector.key for vector in self.vectors]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise ValueError(f"key '{twice}' stands twice; give each field its own")
        return self


class Straight(Strict):
    """An axis that goes to one of ours: value times scale, in our axis' unit afterwards."""

    name: Name
    to: Name
    unit: Literal["m", "rad", "1"]  # of the server's number; 1 is a share, which needs a scale
    scale: Finite = 1.0

    @model_validator(mode="after")
    def _scaled(self) -> Self:
        if self.scale == 0.0 or (self.unit == "1" and "scale" not in self.model_fields_set):
            raise ValueError(f"axis {self.name} has no scale; give what the number 1 stands for")
        return self


class Gripper(Strict):
    """A gripper axis: what the server's numbers for a closed and for an open gripper are."""

    name: Name
    gripper: Name
    closed: Finite
    open: Finite
    binary: bool  # whether only the nearer of the two is meant

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if self.closed == self.open:
            raise ValueError("closed and open are the same number; look up the convention")
        return self


class Turn(Strict):
    """One of the three components of a rotation, in the order in which they stand."""

    name: Name
    turn: Literal["x", "y", "z"]


class Unused(Strict):
    """An axis that ours lack: an answer that asks for more than ``within`` of it is refused."""

    name: Name
    within: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Rotation(Strict):
    """How the three turn axes make one rotation, of which ours keeps the part about z.

    ``rpy``: about the fixed x, then y, then z axis. ``rotation_vector``: axis times angle.
    """

    kind: Literal["rpy", "rotation_vector"]
    to: Name
    scale: Finite  # radians for the server's number 1
    largest_tilt: Annotated[float, Field(ge=0, lt=1.5)]  # rad a step that ours cannot follow


def _axis_kind(value: object) -> str:
    # The key that only one kind has tells which is meant, so that an error names that kind's keys.
    keys = value if isinstance(value, dict) else getattr(type(value), "model_fields", {})
    return next((key for key in ("gripper", "turn", "within") if key in keys), "to")


ServedAxis = Annotated[
    Annotated[Straight, Tag("to")]
    | Annotated[Gripper, Tag("gripper")]
    | Annotated[Turn, Tag("turn")]
    | Annotated[Unused, Tag("within")],
    Discriminator(_axis_kind),
]


class ActionMap(Strict):
    """The server's action axes in order, and what each becomes."""

    frame: Frame
    rate_hz: Annotated[int, Field(ge=1, le=1000)]
    steps: Steps
    outside: Literal["refuse", "clip"] = "refuse"
    axes: Annotated[list[ServedAxis], Field(min_length=1, max_length=64)]
    rotation: Rotation | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        names = [axis.name for axis in self.axes]
        if len(set(names)) != len(names):
            raise ValueError("an axis name stands twice; name each axis once")
        turns = sorted(axis.turn for axis in self.axes if isinstance(axis, Turn))
        if turns != (["x", "y", "z"] if self.rotation is not None else []):
            raise ValueError("rotation and turn axes do not fit; give all of x, y, z and rotation")
        return self


class Tokens(Strict):
    """The answer is action tokens, with the percentiles that they were scaled by."""

    kind: Literal["tokens"]
    vocabulary: Annotated[int, Field(ge=256, le=10_000_000)]
    low: list[Finite]
    high: list[Finite]
    scaled: list[bool]


class Coefficients(Strict):
    """The answer is FAST's rounded cosine coefficients."""

    kind: Literal["coefficients"]
    scale: Positive = 10.0


class OpenVla(Strict):
    """The server of OpenVLA's ``deploy.py``."""

    adapter: Literal["openvla"]
    unnorm_key: Key  # without it the server guesses whose statistics scale the action
    double_encoded: bool = False
    answer: Tokens | None = None


class OpenVlaOft(Strict):
    """The server of OpenVLA-OFT's ``deploy.py``; its own start names the statistics."""

    adapter: Literal["openvla_oft"]
    double_encoded: bool = False


class OpenPi(Strict):
    """The websocket server of openpi: π0, π0-FAST, π0.5."""

    adapter: Literal["openpi"]
    prefix: bool = False  # whether it takes prefix, delay and noise, which upstream's does not
    answer: Coefficients | None = None


class Octo(Strict):
    """Octo behind json-numpy over HTTP, with the names of its ``sample_actions``."""

    adapter: Literal["octo"]
    unnorm_key: Key
    window: Annotated[int, Field(ge=1, le=8)]
    goal_image: Text | None = None  # a PNG or JPEG file; the instruction is then not sent
    goal_key: Key = "image_primary"


Protocol = Annotated[OpenVla | OpenVlaOft | OpenPi | Octo, Field(discriminator="adapter")]


class RemotePolicy(Strict):
    """One served policy: ``config/remote/<name>.yaml``."""

    remote: Literal[1]
    name: Name
    protocol: Protocol
    server: Server
    observation: ObservationMap
    action: ActionMap
