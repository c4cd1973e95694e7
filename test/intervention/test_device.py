"""One device: what it takes to engage it, presses that count once, and whether it is trusted."""

from __future__ import annotations

import pytest

from vla_rl_nodes.intervention.device import Device
from vla_rl_nodes.safety.state import Instant

from .said import START_NS, changed, joy, twist


def at(milliseconds: int) -> Instant:
    return Instant(START_NS + milliseconds * 1_000_000, 7_000_000_000 + milliseconds * 1_000_000)


class Pad:
    """A gamepad whose messages come every 50 ms."""

    def __init__(self, **changes: object) -> None:
        self.device = Device(changed("gamepad", **changes))
        self.now = 0
        self.axes = [0.0] * 8
        self.pressed: tuple[int, ...] = ()

    def say(self, count: int = 1) -> Device:
        for _ in range(count):
            self.now += 50
            now = at(self.now)
            assert self.device.hear(joy(now.ros_ns, self.axes, self.pressed), now) == ""
        return self.device


def test_a_button_takes_over_and_gives_back_at_each_press() -> None:
    pad = Pad(engage={"by": "button", "button": 4})
    wanted = []
    for pressed in ((), (4,), (4,), (), (4,), (), (4,), ()):
        pad.pressed = pressed
        wanted.append(pad.say().wants)
    assert wanted == [False, True, True, True, False, False, True, True]


def test_a_button_that_is_down_at_first_does_not_count() -> None:
    pad = Pad(engage={"by": "button", "button": 4})
    pad.pressed = (4,)
    assert not pad.say(3).wants
    pad.pressed = ()
    pad.say()
    pad.pressed = (4,)
    assert pad.say().wants


def test_the_first_message_may_not_hold_either() -> None:
    pad = Pad()
    pad.pressed = (4,)
    assert not pad.say(3).wants
    pad.pressed = ()
    pad.say()
    pad.pressed = (4,)
    assert pad.say().wants
    assert not (pad.device.look(at(pad.now + 1000)) or pad.device.wants)
    assert "silent for 1.0 s" in pad.device.problem


def test_each_press_counts_once() -> None:
    pad = Pad(gripper={"toggle": 0, "open": 1, "close": 2})
    pad.say()
    for pressed in ((0,), (0,), (), (0, 2), (1, 2)):
        pad.pressed = pressed
        pad.say()
    assert pad.device.take_presses() == ["toggle", "toggle", "close", "open"]
    assert pad.device.take_presses() == []


def test_it_is_not_trusted_before_it_is_heard() -> None:
    device = Device(changed("gamepad"))
    device.look(at(0))
    assert device.problem == "nothing was heard of it" and not device.motion.any()


def test_a_bad_message_is_told_and_counts_as_a_loss_until_a_good_one() -> None:
    pad = Pad()
    pad.pressed = ()
    pad.say()
    pad.pressed = (4,)
    pad.axes[1] = 1.0
    assert pad.say().motion[0] == 1.0
    wrong = pad.device.hear(joy(at(pad.now).ros_ns, [float("nan")] * 8), at(pad.now))
    assert wrong == "axis x is not finite; check the device"
    assert pad.device.problem == "axis x is not finite"
    assert not pad.device.wants and not pad.device.motion.any()
    assert not pad.say(2).wants and pad.device.problem == ""  # held all the time
    assert not pad.device.motion.any()
    pad.pressed = ()
    pad.axes[1] = 0.0
    pad.say()
    pad.pressed = (4,)
    assert pad.say().wants


def test_a_button_on_a_topic_of_its_own_must_go_on_saying_that_it_is_held() -> None:
    device = Device(changed("spacemouse", engage={"by": "hold", "button": 2}))
    rest = twist([0.0] * 6)
    for ms, pressed in ((0, ()), (50, (2,))):
        device.hear(rest, at(ms))
        device.hear_buttons(joy(at(ms).ros_ns, (), pressed), at(ms))
    assert device.wants
    for ms in range(100, 500, 50):
        device.hear(rest, at(ms))
    assert not device.wants and "buttons are silent" in device.problem


@pytest.mark.parametrize(("repeats", "problem"), [(True, "silent"), (False, "")])
def test_silence_at_rest_is_right_for_a_device_that_does_not_repeat(
    repeats: bool, problem: str
) -> None:
    pad = Pad(repeats=repeats)
    pad.say()
    pad.device.look(at(pad.now + 2000))
    assert problem in pad.device.problem and bool(pad.device.problem) is bool(problem)


def test_sticks_at_rest_are_not_frozen_but_pushed_ones_are() -> None:
    pad = Pad(frozen_after_s=1.0)
    pad.say()
    pad.pressed = (4,)
    assert pad.say(60).problem == "" and pad.device.wants
    pad.axes[0] = 0.7
    assert pad.say(19).problem == ""
    assert "the same values for" in pad.say(4).problem


def test_an_old_message_that_comes_late_changes_nothing() -> None:
    pad = Pad()
    pad.say(2)
    late = joy(at(pad.now - 60).ros_ns, [1.0] * 8, (4,))
    assert pad.device.hear(late, at(pad.now + 1)) == ""
    assert not pad.device.wants and pad.device.problem == ""
