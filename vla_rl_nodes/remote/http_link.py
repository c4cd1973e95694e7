"""Messages over HTTP: a request is the body of a POST, and its answer the body that returns."""

from __future__ import annotations

import http.client
import select
import ssl

from vla_rl_nodes.closable import Closable
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote.address import Address
from vla_rl_nodes.remote.deadline import Deadline
from vla_rl_nodes.remote.link import late, oversized, refused, unreachable


class HttpLink(Closable):
    """A connection that is kept open between requests; nothing that redirects is followed.

    Args:
        address: where to.
        connect_s: for the connection.
        largest: most bytes of an answer.
    """

    def __init__(self, address: Address, connect_s: float, largest: int) -> None:
        self._address = address
        self._connect_s = connect_s
        self._largest = largest
        self._connection: http.client.HTTPConnection | None = None

    def open(self) -> None:
        """Connects; the server says nothing of itself.

        Raises:
            InputError: see :class:`~vla_rl_nodes.remote.link.Link`.
        """
        self.close()
        host, port, tls = self._address.host, self._address.port, self._address.tls
        connection = (
            http.client.HTTPConnection(host, port, timeout=self._connect_s)
            if tls is None
            else http.client.HTTPSConnection(host, port, timeout=self._connect_s, context=tls)
        )
        try:
            connection.connect()
        except TimeoutError as error:
            raise late(self._address.url, self._connect_s) from error
        except (OSError, ssl.SSLError, http.client.HTTPException) as error:
            raise unreachable(self._address.url, error) from error
        connection.sock.settimeout(None)  # from here on the deadline of each request rules
        self._connection = connection

    def exchange(self, request: bytes, seconds: float) -> bytes:
        """Posts JSON and returns the body of the answer."""
        place = self._address.url
        connection = self._kept()
        with Deadline(connection.sock, seconds) as deadline:
            try:
                headers = {"Content-Type": "application/json", **self._address.headers}
                connection.request("POST", self._address.path, request, headers)
                response = connection.getresponse()
                answer = response.read(self._largest + 1)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if deadline.expired:
                    raise late(place, seconds) from error
                raise unreachable(place, error) from error
        problem = (
            late(place, seconds) if deadline.expired
            else oversized(place, self._largest) if len(answer) > self._largest
            else _broken(place) if not response.isclosed()
            else _status(place, response.status) if response.status != http.HTTPStatus.OK
            else _compressed(place) if response.getheader("Content-Encoding") is not None
            else None
        )  # fmt: skip
        if problem is not None:
            self.close()
            raise problem
        return answer

    def _kept(self) -> http.client.HTTPConnection:
        """The connection, made anew where the server has ended it while nothing was asked."""
        kept = self._connection
        if kept is not None and kept.sock is not None:
            ended = select.poll()
            ended.register(kept.sock, select.POLLIN)
            if not ended.poll(0):
                return kept
        self.open()
        assert self._connection is not None
        return self._connection

    def close(self) -> None:
        """Ends the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def _broken(place: object) -> InputError:
    return InputError(
        place, "answered with a body that broke off or has no length", "read the server's log"
    )


def _status(place: object, status: int) -> InputError:
    kind = ", a redirect, which is not followed" if 300 <= status < 400 else ""
    return refused(place, f"HTTP status {status}{kind}")


def _compressed(place: object) -> InputError:
    return InputError(place, "answered with an encoded body", "switch compression off there")
