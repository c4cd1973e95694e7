"""When the person's action goes out: at each tick of the policy, or, without it, by itself."""

from __future__ import annotations

from vla_rl_nodes.safety.state import Instant


class Ticks:
    """Chooses the stamps of commands: they rise strictly and keep half a period apart.

    A command has the stamp of the policy's tick that it replaces, which joins the two in a bag.
    Where the policy has not ticked for one and a half periods, commands go out by themselves.

    Args:
        period_ns: the control period.
    """

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._policy_ns: int | None = None  # when the policy's last tick came, steady clock
        self._own_ns: int | None = None  # when the last own one was due, steady clock
        self._last_ns: int | None = None  # stamp of the last command
        self._since_ns = 0

    def begin(self, since_ns: int) -> None:
        """The filter listens to the person from here on; older stamps it refuses."""
        self._since_ns = since_ns

    def policy(self, stamp_ns: int, now: Instant) -> bool:
        """The policy has ticked; whether the person's action may have its stamp."""
        self._policy_ns, self._own_ns = now.steady_ns, None
        if not self._free(stamp_ns) or stamp_ns > now.ros_ns:
            return False
        self._last_ns = stamp_ns
        return True

    def own(self, now: Instant) -> int | None:
        """A stamp for a command without the policy, when one is due."""
        steady_ns = now.steady_ns
        silent = (
            self._policy_ns is None or 2 * (steady_ns - self._policy_ns) >= 3 * self._period_ns
        )
        due = self._own_ns is None or steady_ns - self._own_ns >= self._period_ns
        if not silent or not due or not self._free(now.ros_ns):
            return None
        # On a grid, so that a tick that looks late does not slow them all.
        on_time = self._own_ns is not None and steady_ns - self._own_ns < 2 * self._period_ns
        self._own_ns = (self._own_ns or 0) + self._period_ns if on_time else steady_ns
        self._last_ns = now.ros_ns
        return now.ros_ns

    def _free(self, stamp_ns: int) -> bool:
        if stamp_ns < self._since_ns:
            return False
        return self._last_ns is None or 2 * (stamp_ns - self._last_ns) >= self._period_ns
