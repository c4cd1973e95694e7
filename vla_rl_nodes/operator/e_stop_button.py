"""The page's emergency stop: pressed at once by anybody, taken back in two steps by one."""

from __future__ import annotations

from vla_rl_nodes.operator.answer import Answer

QUICK_S = 0.02  # between the first repetitions: one lost message must not matter
QUICK = 5
SLOW_S = 0.5  # later ones, for a filter that was started meanwhile
EARLIEST_S = 0.5  # after the release: both steps must not be one slip of the finger
LATEST_S = 15.0


class EStopButton:
    """What the page says on the topic of the emergency stop, and when; times are passed in.

    The topic is the page's own: its release takes back what the page said, and no other button's
    word. It is no heartbeat either: while nothing is pressed nothing is said, and a page that is
    gone stops nothing.
    """

    def __init__(self) -> None:
        self.pressed = False
        self.pressed_s: float | None = None
        self._repeats = 0
        self._released: tuple[int, float] | None = None  # by whom, when

    def press(self, now_s: float) -> None:
        """Anybody has pressed it."""
        if not self.pressed:
            self.pressed_s = now_s
        self.pressed, self._repeats, self._released = True, QUICK, None

    def release(self, viewer: int, now_s: float) -> Answer:
        """The first step back: the button is out again, the filter stays latched."""
        self.pressed, self.pressed_s = False, None
        self._repeats, self._released = QUICK, (viewer, now_s)
        return Answer(True, f"released; now reset within {LATEST_S:g} s")

    def may_reset(self, viewer: int, now_s: float) -> Answer | None:
        """Why the second step is not taken now; None when it is, which uses the first step up."""
        if self.pressed:
            return Answer(False, "the emergency stop is pressed; release it first")
        if self._released is None or self._released[0] != viewer:
            return Answer(False, "release the emergency stop first")
        since = now_s - self._released[1]
        if since < EARLIEST_S:
            return Answer(False, "too quick after the release; look at the robot first")
        self._released = None
        if since > LATEST_S:
            return Answer(False, "too long after the release; release it again")
        return None

    def resettable(self, viewer: int, now_s: float) -> bool:
        """Whether the second step would be taken now."""
        if self.pressed or self._released is None or self._released[0] != viewer:
            return False
        return EARLIEST_S <= now_s - self._released[1] <= LATEST_S

    def wait_s(self) -> float | None:
        """How long until it is to be said again; None: not at all."""
        if self._repeats:
            self._repeats -= 1
            return QUICK_S
        return SLOW_S if self.pressed else None

    def should_be_heard(self, now_s: float) -> bool:
        """Whether it was pressed so long ago that the filter must have latched."""
        return self.pressed_s is not None and now_s - self.pressed_s > SLOW_S
