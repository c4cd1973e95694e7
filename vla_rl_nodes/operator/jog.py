"""Keys that are held in a browser, as the axes of a joystick; who falls silent has not let go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vla_rl_nodes.operator.client_messages import AXES

HZ = 20.0
CONFIRMED_S = 0.25  # the browser says again and again what is held; without that nothing is known
SILENT_S = 0.8  # after a loss: longer than silence_timeout_s of config/intervention/page.yaml
ZEROS = 3  # said at the end, in case one is lost
DRIFT = 1e-3  # of the browser's clock against this one, more than any quartz has
REST = (0.0,) * AXES

# Which of the joystick's axes moves what: translations along x, y, z, then rotations about them.
_OF_ACTION = {
    "tool_x": 0, "tool_y": 1, "tool_z": 2, "tool_rx": 3, "tool_ry": 4, "tool_rz": 5,
    "tool_yaw": 5, "base_vx": 0, "base_vy": 1, "base_wz": 5,
}  # fmt: skip


def sticks_for(action: Sequence[str]) -> list[int]:
    """The joystick's axes that move something, for an action with these axes.

    Where joints are commanded all do: they move the tool, and the joints follow.
    """
    used = sorted({_OF_ACTION[name] for name in action if name in _OF_ACTION})
    return used or list(range(AXES))


@dataclass(frozen=True)
class Sticks:
    """Shares of full speed in [-1, 1] along and about x, y, z; whether any key is held at all,
    and whether the gripper's is."""

    axes: tuple[float, ...] = REST
    held: bool = False
    gripper: bool = False


class Jog:
    """What to publish at :data:`HZ`; times are passed in, in seconds.

    While somebody is in control and nothing is held, rest is published. Where keys are held and
    their owner falls silent, is gone, or is relieved, nothing is: zeros would say that they were
    let go, and the policy would go on. Who listens takes the joystick for lost, and holds the
    robot.
    """

    def __init__(self) -> None:
        self._sticks = Sticks()
        self._confirmed_s = -1e9
        self._zeros = 0
        self._silent_until_s = -math.inf
        self._quickest: tuple[float, float] | None = None  # (offset of the clocks, when)

    @property
    def held(self) -> bool:
        """Whether a key is."""
        return self._sticks.held

    def hear(self, axes: Sequence[float], gripper: bool, at_s: float, now_s: float) -> bool:
        """Takes what the browser says is held; whether that is new enough to count.

        Args:
            axes: shares of full speed [6].
            gripper: whether its key is held.
            at_s: when the browser said it, on its own clock.
            now_s: when it came.
        """
        held = gripper or any(axes)
        if self._late(at_s, now_s) and held:
            return False
        self._sticks = Sticks(tuple(axes), held, gripper)
        self._confirmed_s, self._silent_until_s = now_s, -math.inf
        return True

    def lose(self) -> None:
        """The browser is gone, or not in control any more."""
        if self._sticks.held:
            self._silent_until_s, self._zeros = math.inf, 0
        self._sticks = Sticks()
        self._quickest = None

    def begin(self, now_s: float) -> None:
        """Another browser is in control now; what the last one held is not let go by that."""
        self.lose()
        if self._silent_until_s > now_s:
            self._silent_until_s = now_s + SILENT_S

    def due(self, now_s: float, in_control: bool) -> Sticks | None:
        """What to publish now; None: nothing."""
        if self._sticks.held and (not in_control or now_s - self._confirmed_s > CONFIRMED_S):
            self._sticks = Sticks()
            self._silent_until_s, self._zeros = math.inf, 0
        if now_s < self._silent_until_s:
            return None
        if in_control:
            self._zeros = ZEROS
            return self._sticks
        if self._zeros:
            self._zeros -= 1
            return Sticks()
        return None

    def _late(self, at_s: float, now_s: float) -> bool:
        """Whether it was under way longer than the quickest one, by so much that it is over."""
        offset = now_s - at_s
        if self._quickest is not None:
            known, when = self._quickest
            known += DRIFT * (now_s - when)
            if offset > known:
                self._quickest = known, now_s
                return offset - known > CONFIRMED_S
        self._quickest = offset, now_s
        return False
