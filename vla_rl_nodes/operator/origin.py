"""Where a request comes from: what other pages in the same browser must not do to this one.

A page elsewhere can make a browser send requests to this server, also to 127.0.0.1, and with a
name of its own that it lets point here (DNS rebinding). Such a request names that other host, or
that other origin.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

_HOST = re.compile(r"^(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9.-]{1,253}))(?::[0-9]{1,5})?$")


def host_refused(host: str | None, own_address: str, names: tuple[str, ...]) -> bool:
    """Whether the Host header is none of the page's own.

    An address cannot be rebound, a name can: of addresses the one that was connected to is good,
    of names localhost and those of the settings. The port is left to tunnels.

    Args:
        host: the header.
        own_address: of the connection, on this side.
        names: further ones that the page is opened under.
    """
    match = _HOST.match(host or "")
    if match is None:
        return True
    name = (match.group(1) or match.group(2)).lower()
    if name == "localhost" or name in names:
        return False
    try:
        return ipaddress.ip_address(name) != ipaddress.ip_address(own_address.partition("%")[0])
    except ValueError:
        return True


def origin_refused(headers: Mapping[str, str], scheme: str) -> bool:
    """Whether a request that acts, or that opens a WebSocket, comes from another page.

    Browsers name the origin of every such request. A program that names none is no browser and
    can do nothing in somebody else's name.

    Args:
        headers: of a request whose Host was found good.
        scheme: ``http`` or ``https``.
    """
    origin = headers.get("Origin")
    if origin is None:
        return headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none")
    return origin.lower() != f"{scheme}://{headers.get('Host', '')}".lower()
