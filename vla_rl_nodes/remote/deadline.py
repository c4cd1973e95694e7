"""One deadline over everything that a request does on its socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType


class Deadline:
    """Breaks a connection when its time is up, wherever the request hangs.

    A timeout of the socket starts anew with each piece, so that a server that sends one byte a
    second would never run into it. Use it as a context manager around one request.

    Args:
        connection: what a read or a write may hang on.
        seconds: from entering the context.
    """

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection = connection
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True
        self.expired = False

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()

    def _expire(self) -> None:
        self.expired = True
        with contextlib.suppress(OSError):  # it has been closed already
            # The base class's method: a TLS socket's own one changes it under the reader's feet.
            socket.socket.shutdown(self._connection, socket.SHUT_RDWR)
