"""The page's emergency stop: at once by anybody, back in two steps by one."""

from __future__ import annotations

from vla_rl_nodes.operator.e_stop_button import QUICK, QUICK_S, SLOW_S, EStopButton


def waits(button: EStopButton, count: int) -> list[float | None]:
    return [button.wait_s() for _ in range(count)]


def test_pressed_it_is_said_quickly_and_then_for_as_long_as_it_is() -> None:
    button = EStopButton()
    assert button.wait_s() is None
    button.press(0.0)
    assert button.pressed
    assert waits(button, QUICK + 3) == [QUICK_S] * QUICK + [SLOW_S] * 3


def test_released_it_is_said_a_few_times_only() -> None:
    button = EStopButton()
    button.press(0.0)
    assert button.release(1, 1.0).ok and not button.pressed
    assert waits(button, QUICK + 2) == [QUICK_S] * QUICK + [None] * 2


def test_the_way_back_has_two_steps_by_one_viewer_in_time() -> None:
    button = EStopButton()
    assert button.may_reset(1, 0.0) is not None  # nobody has released it
    button.press(0.0)
    assert "release it first" in str(button.may_reset(1, 0.1))
    button.release(1, 1.0)
    open_at = [t for t in (1.1, 1.6, 15.9, 16.1) if button.resettable(1, t)]
    assert open_at == [1.6, 15.9] and not button.resettable(2, 1.6)
    assert button.may_reset(2, 3.0) is not None  # another viewer
    assert "too quick" in str(button.may_reset(1, 1.1))
    assert button.may_reset(1, 1.6) is None
    assert button.may_reset(1, 1.7) is not None  # the release is used up
    button.release(1, 2.0)
    assert "too long" in str(button.may_reset(1, 30.0))
    button.release(1, 31.0)
    button.press(31.2)
    assert button.may_reset(1, 32.0) is not None  # pressed again meanwhile


def test_it_says_when_the_filter_must_have_heard_it() -> None:
    button = EStopButton()
    assert not button.should_be_heard(9.0)
    button.press(10.0)
    button.press(10.4)
    assert not button.should_be_heard(10.4) and button.should_be_heard(10.6)
    button.release(1, 11.0)
    assert not button.should_be_heard(12.0)
