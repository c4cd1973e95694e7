"""A policy's file in, its adapter and its link out."""

from __future__ import annotations

from vla_rl_nodes.remote.adapters.base import Adapter
from vla_rl_nodes.remote.adapters.octo import OctoAdapter
from vla_rl_nodes.remote.adapters.openpi import OpenPiAdapter
from vla_rl_nodes.remote.adapters.openvla import OpenVlaAdapter
from vla_rl_nodes.remote.adapters.openvla_oft import OpenVlaOftAdapter
from vla_rl_nodes.remote.address import check_address
from vla_rl_nodes.remote.http_link import HttpLink
from vla_rl_nodes.remote.link import Link
from vla_rl_nodes.remote.spec import Octo, OpenPi, OpenVla, OpenVlaOft, RemotePolicy
from vla_rl_nodes.remote.websocket_link import WebsocketLink


def make_adapter(place: object, policy: RemotePolicy) -> Adapter:
    """The adapter that the file names; a new one remembers nothing.

    Raises:
        InputError: the maps do not fit the protocol.
    """
    sent, action = policy.observation, policy.action
    shape = (action.steps, len(action.axes))
    match policy.protocol:
        case OpenVla() as spec:
            return OpenVlaAdapter(place, spec, sent, shape)
        case OpenVlaOft() as spec:
            return OpenVlaOftAdapter(place, spec, sent, shape)
        case OpenPi() as spec:
            return OpenPiAdapter(place, spec, sent, shape)
        case Octo() as spec:
            return OctoAdapter(place, spec, sent, shape, action.rate_hz)


def make_link(place: object, policy: RemotePolicy, adapter: Adapter) -> Link:
    """The link to the server, not opened yet.

    Raises:
        InputError: the address is not acceptable.
    """
    server = policy.server
    address = check_address(place, server, adapter.schemes, adapter.path)
    kind = WebsocketLink if "ws" in adapter.schemes else HttpLink
    return kind(address, server.connect_s, server.largest_answer)
