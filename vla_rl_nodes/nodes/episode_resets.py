"""The reset as the episode node asks for it: one request at a time, answered when it is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

Answered = Callable[[bool, str], None]
LEFT_ALONE_NS = 5_000_000_000  # after which a request that was cancelled is not waited for
AGAIN_NS = 1_000_000_000  # after which a cancel that nobody has answered is sent again


class ResetCalls:
    """Calls ``reset/request`` and ``reset/retreat``, and ``reset/cancel`` where one is given up.

    A request goes out as soon as somebody offers the service, since discovery can lag behind the
    operator, and as soon as the one before it is over. A cancel is sent until it is answered, and
    nothing else before: it would meet the next request. Times are monotonic nanoseconds.

    Args:
        node: owns the clients.
    """

    def __init__(self, node: Node) -> None:
        self._clients = {
            what: node.create_client(Trigger, f"reset/{what}") for what in ("request", "retreat")
        }
        self._cancel = node.create_client(Trigger, "reset/cancel")
        self._wanted: tuple[str, Answered] | None = None
        self._answered: Answered | None = None
        self._asked: tuple[Any, Future] | None = None
        self._left_ns: int | None = None  # when what is still asked was given up
        self._cancels = False  # whether a cancel is owed
        self._cancelling: tuple[int, Future] | None = None  # when it was sent

    def ask(self, what: str, answered: Answered) -> None:
        """Wants ``request`` or ``retreat``; ``answered`` is given whether it succeeded, and what
        was said, unless it is given up before."""
        self._wanted = what, answered

    def give_up(self, now_ns: int) -> None:
        """Nobody waits for an answer any more; what goes on is told to stop."""
        self._wanted = self._answered = None
        if self._asked is None or self._left_ns is not None:
            return
        self._left_ns, self._cancels = now_ns, True
        self._send_cancel(now_ns)

    def tick(self, now_ns: int) -> None:
        """Sends what is wanted when it can be."""
        self._send_cancel(now_ns)
        if self._asked is not None:
            client, future = self._asked
            left_alone = self._left_ns is not None and now_ns - self._left_ns > LEFT_ALONE_NS
            if not left_alone:
                return
            client.remove_pending_request(future)
            self._asked = self._left_ns = None
        if self._wanted is None or self._cancels:
            return
        what, answered = self._wanted
        client = self._clients[what]
        if not client.service_is_ready():
            return
        self._wanted, self._answered = None, answered
        future = client.call_async(Trigger.Request())
        self._asked = client, future
        future.add_done_callback(self._done)

    def _send_cancel(self, now_ns: int) -> None:
        """Sends a cancel that is owed, and again where nobody answers."""
        if not self._cancels:
            return
        if self._cancelling is not None:
            sent_ns, future = self._cancelling
            if now_ns - sent_ns < AGAIN_NS:
                return
            self._cancel.remove_pending_request(future)
            self._cancelling = None
        if self._cancel.service_is_ready():
            future = self._cancel.call_async(Trigger.Request())
            self._cancelling = now_ns, future
            future.add_done_callback(self._cancelled)

    def _cancelled(self, future: Future) -> None:
        """Also where nothing was under way any more: there is nothing left to stop."""
        if self._cancelling is not None and self._cancelling[1] is future:
            self._cancels, self._cancelling = future.result() is None, None

    def _done(self, future: Future) -> None:
        if self._asked is None or self._asked[1] is not future:
            return  # given up long ago
        self._asked = self._left_ns = None
        if self._cancelling is None:
            self._cancels = False  # it is over, and no cancel is on its way
        answered, self._answered = self._answered, None
        if answered is None:
            return
        result = future.result()
        if result is None:
            answered(False, "no answer")
        else:
            answered(bool(result.success), str(result.message))
