"""Where a policy is served: which addresses are accepted, and what may be said to them."""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote.spec import ApiKey, Server

_ENCRYPTED = {"http": False, "https": True, "ws": False, "wss": True}
_PORTS = {False: 80, True: 443}


@dataclass(frozen=True)
class Address:
    """A checked address.

    Attributes:
        url: as it was given.
        host: name or number, without brackets.
        port: TCP port.
        path: with its leading slash.
        tls: the context for an encrypted connection, or None.
        headers: what goes with every request; the key of the server is among them, so it is
            never printed.
    """

    url: str
    host: str
    port: int
    path: str
    tls: ssl.SSLContext | None = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


def check_address(place: object, server: Server, schemes: tuple[str, str], path: str) -> Address:
    """The address of a server, once everything about it is acceptable.

    Args:
        place: of the YAML file, for the error.
        server: what the file says.
        schemes: plain and encrypted scheme of the protocol, such as http and https.
        path: where the protocol is served if the URL names no path.

    Raises:
        InputError: another scheme; a user, password, query or fragment in the URL; an
            unencrypted connection to another machine that was not allowed, or one that would
            carry the key; a key or certificate that is missing.
    """
    place = f"{place}: server.url"
    try:
        parts = urlsplit(server.url)
        port = parts.port
    except ValueError as error:
        raise InputError(place, "is no URL", "give such as ws://127.0.0.1:8000") from error
    if parts.scheme not in schemes:
        raise InputError(
            place, f"is not {' or '.join(schemes)}", "give the scheme of the protocol"
        )
    if not parts.hostname or any(ord(c) <= 32 or ord(c) > 126 for c in server.url):
        raise InputError(place, "names no host in plain letters", "give host and port")
    if parts.username is not None or parts.password is not None:
        raise InputError(place, "holds a user or a password", "name the key's variable instead")
    if parts.query or parts.fragment:
        raise InputError(place, "holds a query or a fragment", "end it with the path")
    encrypted = _ENCRYPTED[parts.scheme]
    if not encrypted and not is_loopback(parts.hostname):
        if not server.allow_unencrypted:
            raise InputError(
                place,
                f"would send camera images to {parts.hostname} and take actions from it in clear",
                f"use {schemes[1]} or an SSH tunnel, or set allow_unencrypted on a closed network",
            )
        if server.api_key is not None:
            raise InputError(place, "would send the key in clear", f"use {schemes[1]}")
    return Address(
        server.url,
        parts.hostname,
        _PORTS[encrypted] if port is None else port,
        parts.path if parts.path not in ("", "/") else path,
        _tls_context(place, server.ca_file) if encrypted else None,
        {} if server.api_key is None else {"Authorization": _authorization(server.api_key)},
    )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its very name or number, whatever a resolver says."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tls_context(place: object, ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(
            cafile=None if ca_file is None else str(Path(ca_file).expanduser())
        )
    except (OSError, ssl.SSLError) as error:
        raise InputError(place, f"{ca_file} is no certificate", "check ca_file") from error


def _authorization(key: ApiKey) -> str:
    value = os.environ.get(key.environment, "")
    # Anything else could end the header and begin another one.
    if not value or not all(33 <= ord(c) <= 126 for c in value):
        raise InputError(
            key.environment, "holds no key in plain letters", "export it before the start"
        )
    return f"{key.scheme} {value}"
