"""page.yaml: where the operator's page is served, to whom, and what it shows."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from vla_rl_nodes.contract.load import load_yaml
from vla_rl_nodes.contract.spec import Strict

_MOST_HOSTS = 16
HostName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]


def _home(value: object) -> object:
    return Path(value).expanduser() if isinstance(value, str) else value


FilePath = Annotated[Path, BeforeValidator(_home)]


class Listen(Strict):
    """Address; port 0 takes any free one."""

    host: Annotated[str, Field(min_length=1, max_length=253)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8420


class Tls(Strict):
    """PEM files of the page's own certificate, with its chain, and of its key."""

    certificate: FilePath
    key: FilePath


class Pictures(Strict):
    """How the cameras are shown.

    Attributes:
        show: the drivers' whole pictures, or what the policy sees of them.
        hz: pictures a second of each camera at the most.
        width_max: wider pictures are made smaller, pixels.
        quality: of JPEG.
    """

    show: Literal["source", "observation"] = "source"
    hz: Annotated[float, Field(ge=1, le=30)] = 10.0
    width_max: Annotated[int, Field(ge=64, le=1920)] = 640
    quality: Annotated[int, Field(ge=30, le=95)] = 80


class PageSettings(Strict):
    """Everything about the page that is not the robot's.

    Attributes:
        listen: with another address than this machine's own loopback a token is needed.
        token_file: file whose one line is the token; readable by its owner alone.
        session_h: hours after which a browser has to give the token again.
        tls: the page is served by HTTPS then.
        hosts: names, besides the address itself, under which browsers open the page.
        viewers_max: browsers that may look at the same time.
        answer_s: how long a service may take to answer; resets take as long as they need.
    """

    listen: Listen = Listen()
    token_file: FilePath | None = None
    session_h: Annotated[float, Field(gt=0, le=168)] = 12.0
    tls: Tls | None = None
    hosts: Annotated[tuple[HostName, ...], Field(max_length=_MOST_HOSTS)] = ()
    viewers_max: Annotated[int, Field(ge=1, le=64)] = 8
    pictures: Pictures = Pictures()
    answer_s: Annotated[float, Field(gt=0, le=60)] = 5.0

    @field_validator("hosts", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if self.token_file is None and not is_loopback(self.listen.host):
            raise ValueError(
                f"listen.host {self.listen.host} can be reached from other machines; name a"
                " token_file, or listen on 127.0.0.1"
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone; a name other than localhost is not
    taken to be."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load_page_settings(path: Path) -> PageSettings:
    """The settings in a file; relative paths in it count from its own folder.

    Raises:
        InputError: unreadable, or names the first wrong key.
    """
    settings = load_yaml(path, PageSettings)
    base = path.parent.absolute()
    token, tls = settings.token_file, settings.tls
    return settings.model_copy(
        update={
            "token_file": None if token is None else base / token,
            "tls": None
            if tls is None
            else Tls(certificate=base / tls.certificate, key=base / tls.key),
        }
    )
