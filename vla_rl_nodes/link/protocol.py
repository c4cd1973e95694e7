"""What robot and learner say to each other: messages, headers and names, the same on both sides.

HTTP/1.1 over mutual TLS 1.3; ``config/link/openapi.yaml`` describes the requests.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vla_rl_nodes.bags.manifest import Count, Sha256

PROTOCOL: Final = 1
ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
VERSION_PATTERN: Final = r"^[0-9a-f]{12}$"
ROBOT_ROLE: Final = "urn:vla-rl:robot:"  # and the robot's name
LEARNER_ROLE: Final = "urn:vla-rl:learner"
OFFSET_HEADER: Final = "Upload-Offset"
PART_HASH_HEADER: Final = "Content-SHA256"
PROBLEM_TYPE: Final = "application/problem+json"
LONGEST_WAIT_S: Final = 60.0
LARGEST_JSON: Final = 1 << 18  # bytes of a manifest or a report

Identifier = Annotated[str, Field(pattern=ID_PATTERN)]
Version = Annotated[str, Field(pattern=VERSION_PATTERN)]
BundleState = Literal["fetched", "refused", "offered", "shadow", "taken", "rolled_back"]
# SQLite's integers end there, and so do a robot's clock and files.
Whole = Annotated[int, Field(ge=0, le=(1 << 63) - 1)]


class Message(BaseModel):
    """A JSON body; nothing unknown in it, nothing converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def body(self) -> str:
        """The text that goes over the line: what was left out of the message stays out."""
        return self.model_dump_json(exclude_unset=True)


class ServerStatus(Message):
    """What the learner says of itself and of the robot that asks.

    Attributes:
        learner: its name.
        robot: the name in the robot's certificate.
        quota_bytes: of episodes that this robot may have stored.
        used_bytes: of that, stored or promised to episodes under way.
        free_bytes: on the learner's disk.
        contracts: SHA-256 of the contracts whose episodes it takes from this robot.
        part_bytes: the largest part that it takes in one request.
    """

    protocol: Literal[1]
    learner: Identifier
    robot: Identifier
    quota_bytes: Count
    used_bytes: Count
    free_bytes: Count
    contracts: list[Sha256]
    part_bytes: Annotated[int, Field(ge=1)]


class EpisodeState(Message):
    """How far an episode's upload is.

    Attributes:
        state: ``open`` while bytes or the final check are missing. An empty part at the end of
            a file whose bytes are all there asks for that check.
        offset: with ``open``: bytes that the learner has.
        sha256: with ``stored``: of the whole file.
        size: with ``stored``: bytes of the whole file.
    """

    state: Literal["open", "stored"]
    offset: Whole = 0
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    size: Whole = 0

    @model_validator(mode="after")
    def _complete(self) -> Self:
        wanted = {"state", "offset"} if self.state == "open" else {"state", "sha256", "size"}
        if self.model_fields_set != wanted or (self.state == "stored" and not self.sha256):
            raise ValueError("open goes with offset alone, stored with sha256 and size")
        return self


class BundleAnnouncement(Message):
    """The newest bundle that the learner offers to this robot.

    Attributes:
        sha256: of the zip; ``size`` are its bytes.
        published_ns: when its folder was written, nanoseconds since 1970.
    """

    version: Version
    sha256: Sha256
    size: Count
    published_ns: Count


class BundleReport(Message):
    """What became of a bundle on a robot, when, and why; ``stamp_ns`` since 1970."""

    state: BundleState
    reason: Annotated[str, Field(max_length=2000)]
    stamp_ns: Whole


class Problem(Message):
    """Why a request was refused (RFC 9457), and what to do about it, each in one line.

    Attributes:
        title: of the HTTP status.
        offset: where the learner stands, with a part that does not fit there.
    """

    title: str
    detail: str
    remedy: str
    status: Annotated[int, Field(ge=400, le=599)]
    offset: Whole | None = None
