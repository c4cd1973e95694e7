"""Typed keys as axes and buttons."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.intervention.keys import AXIS_S, BUTTON_S, Keys
from vla_rl_nodes.intervention.settings import load_device


def test_a_tap_moves_for_a_moment() -> None:
    keys = Keys()
    keys.typed("wQ", 10.0)
    assert keys.state(10.0) == ([1.0, 0.0, 0.0, 0.0, 0.0, 1.0], [0, 0, 0, 0])
    assert keys.state(10.0 + AXIS_S) == ([0.0] * 6, [0, 0, 0, 0])


def test_the_opposite_key_takes_over_at_once() -> None:
    keys = Keys()
    keys.typed("r", 0.0)
    keys.typed("f", 0.1)
    assert keys.state(0.1)[0][2] == -1.0


def test_a_button_that_is_held_counts_once() -> None:
    """A terminal repeats a held key after about half a second, thirty times a second."""
    keys, seen = Keys(), []
    typed = {0.0, *(0.5 + i / 30 for i in range(30))}
    for step in range(250):
        now = step / 100
        if any(now - 0.01 < at <= now for at in typed):
            keys.typed(" ", now)
        seen.append(keys.state(now)[1][0])
    assert sum(b > a for a, b in zip([0, *seen], seen, strict=False)) == 1
    assert seen[-1] == 0 and BUTTON_S > 0.5


def test_the_device_waits_longer_than_a_terminal_before_it_repeats() -> None:
    keyboard = load_device("keyboard")
    assert keyboard.release_delay_s > BUTTON_S > 0.66  # the longest first pause in use
    assert {source.index for source in keyboard.axes.values()} == set(range(6))


@given(st.text(max_size=40), st.floats(0, 1e6))
def test_whatever_is_typed_stays_in_range(text: str, now_s: float) -> None:
    keys = Keys()
    keys.typed(text, now_s)
    axes, buttons = keys.state(now_s)
    assert len(axes) == 6 and all(value in (-1.0, 0.0, 1.0) for value in axes)
    assert len(buttons) == 4 and set(buttons) <= {0, 1}
