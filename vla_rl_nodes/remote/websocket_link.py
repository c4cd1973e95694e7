"""Messages over a websocket: a request is one binary frame, and so is its answer (openpi)."""

from __future__ import annotations

from contextlib import ExitStack

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    PayloadTooBig,
    WebSocketException,
)
from websockets.sync.client import ClientConnection, connect

from vla_rl_nodes.closable import Closable
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote.address import Address
from vla_rl_nodes.remote.deadline import Deadline
from vla_rl_nodes.remote.link import late, oversized, plain, refused, unreachable

_CLOSE_S = 0.2
_TOO_BIG = 1009  # RFC 6455, 7.4.1


class WebsocketLink(Closable):
    """A websocket on which the server speaks first and then answers one request at a time.

    Args:
        address: where to.
        connect_s: for the connection and for what the server says first.
        largest: most bytes of a message.
    """

    def __init__(self, address: Address, connect_s: float, largest: int) -> None:
        self._address = address
        self._connect_s = connect_s
        self._largest = largest
        self._stack = ExitStack()
        self._socket: ClientConnection | None = None

    def open(self) -> bytes:
        """Connects and returns the server's first message, its metadata.

        Raises:
            InputError: see :class:`~vla_rl_nodes.remote.link.Link`.
        """
        self.close()
        place = self._address.url
        try:
            self._socket = self._stack.enter_context(
                connect(
                    self._target(),
                    ssl=self._address.tls,
                    additional_headers=dict(self._address.headers),
                    # No proxy from the environment; no compression, whose size is no bound;
                    # no pings, which a server does not answer while it computes.
                    proxy=None,
                    compression=None,
                    ping_interval=None,
                    open_timeout=self._connect_s,
                    close_timeout=_CLOSE_S,
                    max_size=self._largest,
                )
            )
        except TimeoutError as error:
            raise late(place, self._connect_s) from error
        except InvalidHandshake as error:
            raise InputError(
                place, f"opens no websocket ({plain(str(error))})", "check address and key"
            ) from error
        except (OSError, EOFError, WebSocketException) as error:
            raise unreachable(place, error) from error
        return self._receive(None, self._connect_s)

    def exchange(self, request: bytes, seconds: float) -> bytes:
        """Sends one binary frame and returns the next one."""
        return self._receive(request, seconds)

    def close(self) -> None:
        """Ends the connection."""
        self._socket = None
        self._stack.close()

    def _target(self) -> str:
        host = f"[{self._address.host}]" if ":" in self._address.host else self._address.host
        scheme = "ws" if self._address.tls is None else "wss"
        return f"{scheme}://{host}:{self._address.port}{self._address.path}"

    def _receive(self, request: bytes | None, seconds: float) -> bytes:
        place, connection = self._address.url, self._socket
        if connection is None:
            raise InputError(place, "is not connected", "open the connection first")
        with Deadline(connection.socket, seconds) as deadline:
            try:
                if request is not None:
                    connection.send(request)
                answer = connection.recv()
            except (OSError, WebSocketException) as error:
                self.close()
                if deadline.expired:
                    raise late(place, seconds) from error
                if isinstance(error, PayloadTooBig) or _closed_for_size(error):
                    raise oversized(place, self._largest) from error
                raise unreachable(place, error) from error
        if isinstance(answer, str):
            # openpi sends a text, the traceback, where it cannot answer, and then closes.
            self.close()
            raise refused(place, answer)
        return answer


def _closed_for_size(error: Exception) -> bool:
    return (
        isinstance(error, ConnectionClosed)
        and error.sent is not None
        and error.sent.code == _TOO_BIG
    )
