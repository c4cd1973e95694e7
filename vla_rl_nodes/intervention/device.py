"""One device: whether it wants the robot, what it asks of it, and whether it can be trusted."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.intervention.reading import Reader, Reading
from vla_rl_nodes.intervention.settings import AXES, DeviceSettings
from vla_rl_nodes.intervention.watch import Watch
from vla_rl_nodes.safety.state import Instant

Array = NDArray[np.float64]
Press = Literal["toggle", "open", "close"]


class Device:
    """Takes a device's messages and says what they amount to.

    A device that was lost, or refused, or that is already pushed when it is first heard, must be
    let go before it can take the robot over: what it said before does not count.

    Args:
        settings: its description.

    Attributes:
        name: of the device.
        reading: the newest good message; None before the first.
        problem: why it cannot be trusted now; empty when it can.
        wants: whether it asks to be in command.
    """

    def __init__(self, settings: DeviceSettings) -> None:
        self.settings = settings
        self.name = settings.name
        self.reading: Reading | None = None
        self.problem = "nothing was heard of it"
        self.wants = False
        self.reader = Reader(settings)
        self._watch = Watch(settings)
        self._buttons: tuple[bool, ...] = ()
        self._buttons_ns = 0  # when they came, steady clock
        self._rested = False  # whether it has been let go since it last had to be
        self._presses: list[Press] = []

    @property
    def is_leader(self) -> bool:
        """Whether it is an arm that is followed."""
        return self.settings.kind == "leader"

    @property
    def buttons(self) -> tuple[bool, ...]:
        """Which are pressed."""
        return self._buttons

    @property
    def centred(self) -> bool:
        """Whether nothing is pushed, as far as is known."""
        return not self._pushed

    @property
    def motion(self) -> Array:
        """The deflection now [6] in -1..1; nothing of a leader, or of one not to be trusted."""
        if self.reading is None or self.problem or self.is_leader or not self._rested:
            return np.zeros(len(AXES))
        return self.reading.motion

    def hear(self, message: Any, now: Instant) -> str:
        """Takes a message of its topic; what is wrong with it, or nothing."""
        try:
            reading = self.reader.read(message, now)
        except InputError as error:
            return self.refuse(error, now)
        if self._watch.hear(reading):
            self.reading = reading
            if reading.buttons is not None:
                self._press(reading.buttons, now)
            self.look(now)
        return ""

    def hear_buttons(self, message: Any, now: Instant) -> str:
        """Takes a Joy message of its buttons' topic; what is wrong with it, or nothing."""
        try:
            pressed = self.reader.buttons(message)
            self.reader.stamp(message, now)
        except InputError as error:
            return self.refuse(error, now)
        self._press(pressed, now)
        self.look(now)
        return ""

    def refuse(self, problem: object, now: Instant) -> str:
        """Takes that something of it could not be used, and returns what it is."""
        text = str(problem).removeprefix(f"{self.name}: ")
        self._watch.refuse(text.partition(";")[0])
        self.look(now)
        return text

    def look(self, now: Instant) -> None:
        """Follows the time: a device that should have spoken and did not is lost."""
        moving = self._pushed if not self.is_leader else self.wants
        problem = self._watch.problem(now, self._at_rest, moving)
        self.problem = problem or self._forgotten_button(now)
        if self.problem:
            self.must_rest()
        elif self._at_rest:
            self._rested = True
        engage = self.settings.engage.by
        if not self._rested:
            self.wants = False
        elif engage == "motion":
            self.wants = bool(self.motion.any()) or bool(self._presses)
        elif engage == "hold":
            self.wants = self._pressed(self.settings.engage.button)

    def must_rest(self) -> None:
        """It must be let go before it can want anything again."""
        self.wants = self._rested = False
        self._presses.clear()

    def take_presses(self) -> list[Press]:
        """The gripper's buttons that were pressed since, each press once."""
        presses, self._presses = self._presses, []
        return presses

    @property
    def _at_rest(self) -> bool:
        """Whether nothing is pushed and no engaging button is down.

        A leader is never at rest in itself: somebody may hold it, and its place always counts.
        """
        if self._pressed(self.settings.engage.button):
            return False
        if self.is_leader:
            return not self.wants
        return not self._pushed

    @property
    def _pushed(self) -> bool:
        """Whether sticks or cap are deflected."""
        return self.reading is not None and bool(self.reading.motion.any())

    def _pressed(self, button: int | None) -> bool:
        return button is not None and button < len(self._buttons) and self._buttons[button]

    def _press(self, pressed: tuple[bool, ...], now: Instant) -> None:
        before, self._buttons, self._buttons_ns = self._buttons, pressed, now.steady_ns

        def new(button: int | None) -> bool:
            # What is down in the very first message was pressed before anybody listened.
            down = button is not None and pressed[button]
            return down and len(before) > (button or 0) and not before[button or 0]

        engage = self.settings.engage
        if engage.by == "button" and new(engage.button) and self._rested:
            self.wants = not self.wants
        gripper = self.settings.gripper
        if gripper is not None and self._rested:
            used: dict[Press, int | None] = {
                "toggle": gripper.toggle, "open": gripper.open, "close": gripper.close,
            }  # fmt: skip
            self._presses += [press for press, button in used.items() if new(button)]

    def _forgotten_button(self, now: Instant) -> str:
        """A button that is held on a topic of its own must go on saying so."""
        if self.settings.buttons_topic is None or self.settings.engage.by != "hold":
            return ""
        silent_s = (now.steady_ns - self._buttons_ns) / 1e9
        if self._pressed(self.settings.engage.button) and (
            silent_s > self.settings.silence_timeout_s
        ):
            return f"its buttons are silent for {silent_s:.1f} s"
        return ""
