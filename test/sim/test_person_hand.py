"""The hand on the cap: what it means gets through, late, unsteady and in counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.intervention.settings import load_device
from vla_rl_nodes.sim.person_hand import AXES, Feel, Hand, HandSettings, feel_of

FEEL = Feel((0.1, 0.1, 0.1, 0.0, 0.0, 0.8), 0.08)
TICK_S = 1 / 60
STEADY = HandSettings(tremor=0.0, clumsy=0.0)
Speeds = st.lists(st.floats(-0.1, 0.1), min_size=AXES, max_size=AXES)


def pushed(hand: Hand, wanted: np.ndarray | None, seconds: float, begins: float = 0.0) -> list:
    return [hand.push(begins + i * TICK_S, wanted) for i in range(round(seconds / TICK_S))]


@given(Speeds)
def test_a_push_is_the_way_back_of_what_a_device_makes_of_it(speeds: list[float]) -> None:
    velocity = np.array(speeds)
    push = FEEL.deflection(velocity)
    beyond = np.maximum(np.abs(push) - FEEL.dead_zone, 0.0) / (1.0 - FEEL.dead_zone)
    made = np.sign(push) * beyond * np.array(FEEL.full_speed)
    moved = np.array(FEEL.full_speed) > 0.0
    np.testing.assert_allclose(made[moved], velocity[moved], atol=1e-12)
    assert (np.abs(push) <= 1.0).all() and not push[~moved].any()


def test_pressure_is_felt_and_moves_next_to_nothing() -> None:
    assert FEEL.dead_zone < FEEL.pressure() < FEEL.dead_zone + 0.05


def test_it_follows_with_a_lag_and_comes_to_rest() -> None:
    hand = Hand(np.random.default_rng(0), STEADY)
    way = np.array([0.5, 0.0, 0.0, 0.0, 0.0, -0.2])
    going = pushed(hand, way, 1.0)
    assert not going[0].any()
    assert 0.0 < going[2][0] < 0.4
    np.testing.assert_allclose(going[-1], way, atol=1 / 350)
    gone = pushed(hand, None, 0.3, 1.0)
    assert not gone[-1].any()


def test_it_trembles_in_whole_counts_while_it_pushes_only() -> None:
    hand = Hand(np.random.default_rng(1))
    held = np.array(pushed(hand, np.full(AXES, 0.5), 3.0)[60:])
    np.testing.assert_allclose(held * 350, np.round(held * 350), atol=1e-9)
    assert (held.std(axis=0) > 0.005).all() and (held.std(axis=0) < 0.1).all()
    assert not np.array(pushed(hand, None, 1.0, 3.0)[30:]).any()


def test_a_device_that_he_does_not_know_is_refused() -> None:
    device = load_device("spacemouse")
    assert feel_of(device).dead_zone == device.dead_zone
    with pytest.raises(InputError, match="along the base's axes"):
        feel_of(device.model_copy(update={"frame": "tool"}))
