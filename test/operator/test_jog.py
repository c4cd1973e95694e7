"""Held keys as a joystick: rest is said for who let go, and nothing for who is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.intervention.settings import load_device
from vla_rl_nodes.operator.jog import (
    CONFIRMED_S,
    REST,
    SILENT_S,
    ZEROS,
    Jog,
    Sticks,
    sticks_for,
)

UP = (0.25, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_held_is_published_until_it_is_let_go() -> None:
    jog = Jog()
    assert jog.due(0.0, False) is None
    assert jog.hear(UP, False, 10.0, 0.0)
    sticks = jog.due(0.05, True)
    assert sticks is not None and sticks.axes == UP and sticks.held
    jog.hear(REST, False, 10.1, 0.1)
    sticks = jog.due(0.1, True)
    assert sticks is not None and sticks.axes == REST and not sticks.held


def test_at_rest_it_goes_on_while_somebody_is_in_control_and_then_ends() -> None:
    jog = Jog()
    assert all(jog.due(0.05 * k, True) is not None for k in range(10))
    ended = [jog.due(1.0 + 0.05 * k, False) for k in range(10)]
    assert [sticks is not None for sticks in ended] == [True] * ZEROS + [False] * (10 - ZEROS)
    assert all(sticks is None or sticks.axes == REST for sticks in ended)


def test_who_is_silent_has_not_let_go() -> None:
    jog = Jog()
    jog.hear(UP, True, 10.0, 0.0)
    before, after = jog.due(CONFIRMED_S - 0.01, True), jog.due(CONFIRMED_S + 0.01, True)
    assert before is not None and before.held and before.gripper
    assert after is None and jog.due(9.0, True) is None and jog.due(9.1, False) is None
    jog.hear(REST, False, 19.2, 9.2)  # a release that the browser sent
    assert jog.due(9.2, True) == Sticks()


def test_who_is_gone_has_not_let_go_either() -> None:
    jog = Jog()
    jog.due(0.0, True)
    jog.hear(UP, False, 10.0, 0.0)
    jog.lose()
    assert all(jog.due(0.05 * k, False) is None for k in range(40))
    jog.lose()  # once more, at rest
    assert jog.due(3.0, False) is None
    jog.begin(4.0)
    assert jog.due(4.0 + SILENT_S - 0.01, True) is None
    assert jog.due(4.0 + SILENT_S + 0.01, True) == Sticks()


def test_who_takes_over_from_held_keys_does_not_let_go_of_them() -> None:
    jog = Jog()
    jog.hear(UP, False, 10.0, 0.0)
    assert jog.due(0.0, True) is not None
    jog.begin(0.1)
    assert jog.due(0.11, True) is None
    assert jog.hear(UP, False, 99.0, 0.2)  # but may drive at once
    assert jog.due(0.2, True) == Sticks(UP, True)


def test_the_silence_after_a_loss_is_longer_than_the_device_may_be_silent() -> None:
    page = load_device("page")
    assert CONFIRMED_S < page.silence_timeout_s < SILENT_S - 0.2 and not page.repeats
    assert page.on_loss.then == "hold"


def test_what_was_kept_waiting_on_the_way_does_not_count() -> None:
    jog = Jog()
    for k in range(5):
        assert jog.hear(UP, False, 10.0 + 0.05 * k, 0.05 * k)
    # The network stalls for two seconds and then brings everything at once.
    assert jog.due(1.0, True) is None
    for k in range(5, 30):
        assert not jog.hear(UP, False, 10.0 + 0.05 * k, 2.3)
    assert jog.due(2.3, True) is None
    assert jog.hear(UP, False, 12.3, 2.31)  # what is new counts


def test_a_clock_that_drifts_does_not_stop_the_keys() -> None:
    jog = Jog()
    for second in range(0, 40_000, 10):
        assert jog.hear(UP, False, second * (1.0 - 1e-4), float(second))


@given(st.lists(st.tuples(st.floats(0.0, 0.2), st.booleans()), max_size=40))
def test_it_never_holds_longer_than_it_was_confirmed(steps: list[tuple[float, bool]]) -> None:
    jog, now, said = Jog(), 0.0, -1.0
    for wait, held in steps:
        now += wait
        if held:
            jog.hear(UP, False, now, now)
            said = now
        sticks = jog.due(now, True)
        if said >= 0.0 and now - said > CONFIRMED_S:
            assert sticks is None  # it was never let go
        else:
            assert sticks == (Sticks(UP, True) if said >= 0.0 else Sticks())


def test_which_sticks_move_an_action() -> None:
    assert sticks_for(["tool_x", "tool_y", "tool_z", "tool_yaw", "gripper_width"]) == [0, 1, 2, 5]
    assert sticks_for(["base_vx", "base_vy", "base_wz"]) == [0, 1, 5]
    assert sticks_for(["fr3_joint1", "fr3_joint2", "gripper_width"]) == [0, 1, 2, 3, 4, 5]
