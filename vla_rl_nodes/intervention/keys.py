"""The keys of a terminal as a joystick: which axes and buttons are down, by what was typed."""

from __future__ import annotations

# A terminal tells of a key that is held by repeating it, after a first pause of its own.
AXIS_S = 0.15  # how long a typed key moves: longer than the pause between two repetitions
BUTTON_S = 0.7  # how long a typed button is down: longer than the first pause, so it counts once

AXES: dict[str, tuple[int, float]] = {
    "w": (0, 1.0), "s": (0, -1.0),  # forward, back
    "a": (1, 1.0), "d": (1, -1.0),  # left, right
    "r": (2, 1.0), "f": (2, -1.0),  # up, down
    "u": (3, 1.0), "o": (3, -1.0),  # about x
    "i": (4, 1.0), "k": (4, -1.0),  # about y
    "q": (5, 1.0), "e": (5, -1.0),  # about z, left and right
}  # fmt: skip
BUTTONS: dict[str, int] = {" ": 0, "g": 1, "]": 2, "[": 3}
HELP = (
    "w s forward, back | a d left, right | r f up, down | q e turn left, right | u o i k tilt\n"
    "g gripper, ] opens it, [ closes it | space takes over or gives back, for leader arms\n"
    "A tap is a nudge; held keys go on once the terminal repeats them. Ctrl-C ends."
)


class Keys:
    """Turns typed characters into axes [6] in -1..1 and buttons [4].

    Times are seconds of a monotonic clock.
    """

    def __init__(self) -> None:
        self._axes = [(0.0, 0.0)] * 6  # value, and until when
        self._buttons = [0.0] * len(BUTTONS)

    def typed(self, text: str, now_s: float) -> None:
        """Takes what was typed; unknown keys do nothing, capitals are small letters."""
        for key in text.lower():
            if key in AXES:
                axis, value = AXES[key]
                self._axes[axis] = (value, now_s + AXIS_S)
            elif key in BUTTONS:
                self._buttons[BUTTONS[key]] = now_s + BUTTON_S

    def state(self, now_s: float) -> tuple[list[float], list[int]]:
        """What is down now."""
        axes = [value if now_s < until else 0.0 for value, until in self._axes]
        return axes, [int(now_s < until) for until in self._buttons]
