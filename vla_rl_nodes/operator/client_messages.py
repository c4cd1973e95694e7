"""What a browser may say: a few kinds of messages, checked before anything looks at them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from vla_rl_nodes.contract.spec import Strict
from vla_rl_nodes.errors import InputError

LARGEST = 2048  # bytes of one message
AXES = 6

Number = Annotated[int, Field(ge=0, le=1 << 31)]
Share = Annotated[float, Field(ge=-1.0, le=1.0, allow_inf_nan=False)]
PersonName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")]
CommandName = Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")]


class Seen(Strict):
    """The state with this number has been shown."""

    kind: Literal["seen"]
    number: Number


class Take(Strict):
    """The viewer wants control, under a name; ``over``: also from somebody else."""

    kind: Literal["take"]
    n: Number
    name: PersonName
    over: bool = False


class Give(Strict):
    """The viewer gives control up."""

    kind: Literal["give"]
    n: Number


class Do(Strict):
    """A button."""

    kind: Literal["do"]
    n: Number
    what: CommandName


class EStop(Strict):
    """The emergency stop."""

    kind: Literal["e_stop"]
    n: Number


class ReleaseEStop(Strict):
    """The first of two steps back from the emergency stop."""

    kind: Literal["release_e_stop"]
    n: Number


class Jog(Strict):
    """Keys that are held now: shares of full speed along and about x, y, z.

    Attributes:
        axes: all zero when no key is held any more.
        gripper: whether the gripper's key is held.
        at_ms: on the browser's own clock, to tell what was kept waiting on the way.
    """

    kind: Literal["jog"]
    axes: Annotated[list[Share], Field(min_length=AXES, max_length=AXES)]
    gripper: bool
    at_ms: Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]


Message = Seen | Take | Give | Do | EStop | ReleaseEStop | Jog
_ADAPTER: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])


def parse(text: str) -> Message:
    """A browser's message.

    Raises:
        InputError: it is none; nothing of it is repeated.
    """
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        raise InputError("message", "is none of this page's", "load the page again") from error
