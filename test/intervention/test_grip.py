"""The gripper's opening: stays, toggles, opens, closes, follows a trigger."""

from __future__ import annotations

import numpy as np
import pytest

from vla_rl_nodes.intervention.grip import Grip

from .conftest import make

ARM = np.zeros(4)


def test_it_stays_where_it_is_until_a_button_is_pressed() -> None:
    grip = Grip(make("tool_delta").action)
    assert grip.joined(ARM, 0.031)[-1] == 0.031
    assert grip.joined(ARM, 0.030)[-1] == 0.031  # what it was is kept, not what it does
    grip.press(["toggle"])
    assert [grip.joined(ARM, 0.030)[-1] for _ in range(2)] == [0.08, 0.08]
    grip.press(["toggle"])
    assert grip.joined(ARM, 0.08)[-1] == 0.0
    grip.press(["open", "close"])
    assert grip.joined(ARM, 0.0)[-1] == 0.0
    grip.press(["toggle"])
    grip.forget()
    assert grip.joined(ARM, 0.02)[-1] == 0.02


def test_a_trigger_is_a_share_of_the_contracts_opening() -> None:
    grip = Grip(make("tool_delta").action)
    assert grip.off(0.5, 0.03) == pytest.approx(0.01)
    grip.follow(0.25)
    assert grip.joined(ARM, 0.08)[-1] == pytest.approx(0.02)


def test_it_is_inside_the_contracts_bounds() -> None:
    grip = Grip(make("tool_delta").action)
    assert grip.joined(ARM, 0.5)[-1] == 0.08
    assert Grip(make("tool_delta").action).joined(ARM, -1.0)[-1] == 0.0


def test_without_a_gripper_the_arm_is_all() -> None:
    grip = Grip(make("base_velocity").action)
    grip.press(["open"])
    assert grip.joined(np.zeros(3), None).tolist() == [0.0, 0.0, 0.0]
