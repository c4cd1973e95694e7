"""learner.yaml: who may speak to the learner, what it takes from them, and where it keeps it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from vla_rl_nodes.bags.manifest import Sha256
from vla_rl_nodes.contract.load import load_yaml
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.fields import Bytes, Certificates, FilePath, Strict
from vla_rl_nodes.link.protocol import Identifier

_MOST_CERTIFICATES = 8


class Listen(Strict):
    """Address; port 0 takes any free one."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8443


class Robot(Strict):
    """What one robot may do.

    Attributes:
        certificate_sha256: fingerprints of the certificates that it may show. Taking one out
            revokes it; while one is renewed both stand here.
        contracts: SHA-256 of the contracts whose episodes are taken, and whose policies are
            offered; with none, nothing is.
        quota_bytes: of episodes, stored and under way.
    """

    certificate_sha256: tuple[Sha256, ...]
    contracts: tuple[Sha256, ...] = ()
    quota_bytes: Bytes

    @field_validator("certificate_sha256", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        value = [value] if isinstance(value, str) else value
        if isinstance(value, list) and not 1 <= len(value) <= _MOST_CERTIFICATES:
            raise ValueError(f"needs 1 to {_MOST_CERTIFICATES} fingerprints; name its certificate")
        return tuple(value) if isinstance(value, list) else value

    @field_validator("contracts", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value


class LearnerSettings(Strict):
    """The learner's side of the link. What is not named here is not let in.

    Attributes:
        learner: its name, told to robots.
        folder: of the episodes and of the database.
        store: episode store that new episodes are appended to; without it they are only kept.
        bundles: folder of policy bundles; those that verify are offered.
        trusted_keys: folder of the public keys that may sign them; the shipped ones otherwise.
        contract_files: names or paths of the contracts that bundles may be for; the shipped
            ones where it is left out.
        part_bytes: of one request at the most.
        episode_bytes_max: of one episode.
        keep_free_bytes: of the disk, which episodes may not take.
        patience_s: how long a robot may keep a request or an answer waiting.
        unfinished_days: after which an upload that was not ended is forgotten.
        verify_s: how long the check of one episode may take.
    """

    learner: Identifier = "learner"
    listen: Listen = Listen()
    certificates: Certificates
    folder: FilePath
    store: FilePath | None = None
    bundles: FilePath | None = None
    trusted_keys: FilePath | None = None
    contract_files: list[str] | None = None
    part_bytes: Annotated[int, Field(ge=1 << 10, le=1 << 26)] = 1 << 22
    episode_bytes_max: Annotated[int, Field(ge=1, le=1 << 40)] = 8 << 30
    keep_free_bytes: Bytes = 1 << 30
    patience_s: Annotated[float, Field(gt=0, le=600)] = 20.0
    unfinished_days: Annotated[float, Field(gt=0, le=3650)] = 30.0
    verify_s: Annotated[float, Field(gt=0, le=86_400)] = 600.0
    robots: dict[Identifier, Robot] = {}

    @model_validator(mode="after")
    def _one_robot_each(self) -> Self:
        owners: dict[str, str] = {}
        for name, robot in self.robots.items():
            for fingerprint in robot.certificate_sha256:
                if owners.setdefault(fingerprint, name) != name:
                    raise ValueError(
                        f"robots '{owners[fingerprint]}' and '{name}' have one certificate;"
                        " give each its own"
                    )
        return self


def load_learner_settings(path: Path) -> LearnerSettings:
    """The settings in a file; relative paths in it count from its own folder.

    Raises:
        InputError: unreadable, or names the first wrong key.
    """
    settings = load_yaml(path, LearnerSettings)
    base = path.parent.absolute()

    def based(place: Path | None) -> Path | None:
        return None if place is None else base / place

    files = settings.certificates
    return settings.model_copy(
        update={
            "certificates": Certificates(
                authority=base / files.authority,
                certificate=base / files.certificate,
                key=base / files.key,
            ),
            "folder": base / settings.folder,
            "store": based(settings.store),
            "bundles": based(settings.bundles),
            "trusted_keys": based(settings.trusted_keys),
            "contract_files": None
            if settings.contract_files is None
            else [_contract(base, name) for name in settings.contract_files],
        }
    )


def _contract(base: Path, name: str) -> str:
    return str(base / name) if name.endswith((".yaml", ".yml")) else name


class SettingsFile:
    """learner.yaml while the learner runs: who may speak follows the file.

    Args:
        path: of the file.

    Attributes:
        current: the settings that hold now.

    Raises:
        InputError: unreadable, or names the first wrong key.
    """

    # What the listening socket and the open files depend on.
    _FIXED = ("listen", "certificates", "folder", "store", "bundles", "trusted_keys", "learner")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = self._mark()
        self.current = load_learner_settings(path)

    def reload(self, force: bool = False) -> str | None:
        """Reads the file again when it has changed; one line about that, None otherwise.

        A file with a mistake changes nothing: the settings that held go on to hold.
        """
        mark = self._mark()
        if mark == self._seen and not force:
            return None
        self._seen = mark
        try:
            new = load_learner_settings(self.path)
        except InputError as error:
            return f"settings not taken: {error}"
        fixed = [key for key in self._FIXED if getattr(new, key) != getattr(self.current, key)]
        kept = {key: getattr(self.current, key) for key in self._FIXED}
        self.current = new.model_copy(update=kept)
        late = f"; {', '.join(fixed)} from the next start on" if fixed else ""
        return f"settings taken: {len(new.robots)} robots{late}"

    def _mark(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns
