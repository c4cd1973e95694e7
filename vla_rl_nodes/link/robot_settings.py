"""robot.yaml: how a robot speaks to its learner, and what it may delete and take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from vla_rl_nodes.contract.load import load_yaml
from vla_rl_nodes.link.fields import Bytes, Certificates, FilePath, Strict

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Take = Literal["never", "offer", "auto"]


class Upload(Strict):
    """In which order, how fast, and how patiently episodes are sent.

    Attributes:
        order: by the time of their end.
        bytes_per_s: cap on what is sent; 0 for none.
        part_bytes: most bytes of one request; the learner may ask for less.
        scan_s: between two looks at the bags.
        patience_s: how long the link may stand still before it counts as cut.
        retry_s: longest wait after failures of the link.
        refused_retry_s: until an episode that the learner refused is offered again.
    """

    order: Literal["oldest_first", "newest_first"] = "oldest_first"
    bytes_per_s: Bytes = 0
    part_bytes: Annotated[int, Field(ge=1 << 12, le=1 << 26)] = 1 << 22
    scan_s: Seconds = 5.0
    patience_s: Seconds = 20.0
    retry_s: Seconds = 60.0
    refused_retry_s: Seconds = 900.0


class Disk(Strict):
    """How much of the robot's disk the bags may take.

    Attributes:
        keep_bytes: stored episodes are kept up to this size, and then deleted, those that were
            stored first before the others; 0 deletes each as soon as it is stored.
        max_bytes: above this size of episodes that are not stored the bridge says ``full``.
            They are never deleted.
    """

    keep_bytes: Bytes = 10 << 30
    max_bytes: Bytes = 100 << 30


class Bundles(Strict):
    """Which policies may come back.

    Attributes:
        take: ``never``; ``offer`` to fetch, verify and announce them; ``auto`` to hand them to
            the policy node as well.
        contract: name or path of what this robot runs.
        trusted_keys: folder of public keys; the shipped ones where it is not given.
        bytes_max: of one bundle.
        keep: how many are kept beside those that the policy node holds.
        wait_s: how long the learner may hold a question for news.
    """

    take: Take = "never"
    contract: str = "franka_pick"
    trusted_keys: FilePath | None = None
    bytes_max: Annotated[int, Field(ge=1, le=1 << 32)] = 256 << 20
    keep: Annotated[int, Field(ge=1, le=1000)] = 10
    wait_s: Annotated[float, Field(ge=0.05, le=60)] = 30.0


class RobotSettings(Strict):
    """A robot's side of the link.

    Attributes:
        robot: its name, as in its certificate and in its episodes.
        learner: ``https://HOST[:PORT]``, the host as in the learner's certificate.
        certificates: of both.
        bags: folder of the recorder.
        state: folder for the ledger and the bundles; on a disk that survives a restart.
    """

    robot: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
    learner: str
    certificates: Certificates
    bags: FilePath
    state: FilePath
    upload: Upload = Upload()
    disk: Disk = Disk()
    bundles: Bundles = Bundles()

    @field_validator("learner")
    @classmethod
    def _an_address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            good = parts.port != 0
        except ValueError:
            good = False
        if (
            not good
            or parts.scheme != "https"
            or not parts.hostname
            or "@" in parts.netloc
            or parts.path not in ("", "/")
            or parts.query
            or parts.fragment
        ):
            raise ValueError("is no address of a learner; write https://HOST:PORT")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.state == self.bags or self.bags in self.state.parents:
            raise ValueError("state lies in the folder of the bags; choose another folder")
        return self

    @property
    def ledger(self) -> Path:
        """File of the ledger."""
        return self.state / "ledger.sqlite3"

    @property
    def versions(self) -> Path:
        """Folder of the bundles that passed every check, one folder each."""
        return self.state / "bundles"


def load_robot_settings(path: Path) -> RobotSettings:
    """The settings in a file; relative paths in it count from its own folder.

    Raises:
        InputError: unreadable, or names the first wrong key.
    """
    settings = load_yaml(path, RobotSettings)
    base = path.parent.absolute()
    files = settings.certificates
    keys = settings.bundles.trusted_keys
    return settings.model_copy(
        update={
            "bags": base / settings.bags,
            "state": base / settings.state,
            "certificates": Certificates(
                authority=base / files.authority,
                certificate=base / files.certificate,
                key=base / files.key,
            ),
            "bundles": settings.bundles.model_copy(
                update={"trusted_keys": None if keys is None else base / keys}
            ),
        }
    )
