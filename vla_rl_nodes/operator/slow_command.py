"""Whether what a slow service does still goes on: its answer is lost with a node that dies."""

from __future__ import annotations

from vla_rl_nodes.operator.said import Said

LOOK_S = 1.0
SILENT_S = 5.0  # a reset says what it does twice a second
BUSY = ("planning", "moving", "verifying", "asking")


class SlowCommand:
    """Follows one call that is waited for without a limit; times are passed in.

    A node that was started anew offers the service again, and says that it is idle: it does not
    know of the call.

    Args:
        asked_s: when it was called, steady clock.
    """

    def __init__(self, asked_s: float) -> None:
        self._busy_s = asked_s

    def lost(self, now_s: float, ready: bool, status: Said | None) -> str:
        """Why no answer will come, in a few words; empty while one may.

        Args:
            now_s: steady clock.
            ready: whether the service is offered now.
            status: the newest of the node's status.
        """
        if not ready:
            return "its node is gone"
        if status is not None and status.message in BUSY:
            self._busy_s = max(self._busy_s, status.at_s)
        if now_s - self._busy_s > SILENT_S:
            return f"nothing of it was heard for {SILENT_S:g} s"
        return ""
