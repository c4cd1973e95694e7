"""A device in trouble: once an episode, in mid-help, and over after a while."""

from __future__ import annotations

import numpy as np
import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.sim.person import Deed, Hands
from vla_rl_nodes.sim.person_trouble import AFTER_S, LASTS_S, TROUBLES, Reading, Trouble

TICK_S = 1 / 60


def readings(kind: str, took_s: float = 1.0) -> list[tuple[float, Hands, Reading | None]]:
    trouble, found = Trouble(kind, 5), []
    rng = np.random.default_rng(0)
    for tick in range(400):
        now = tick * TICK_S
        hands = Hands(rng.uniform(-0.5, 0.5, 6), (0, 0))
        deeds = [Deed(now, "take_over", "e", "", now)] if abs(now - took_s) < TICK_S / 2 else []
        found.append((now, hands, trouble.reading(now, hands, deeds)))
    noted = [(round(d.at_s, 1), d.what, d.why) for d in trouble.deeds("e")]
    assert noted == [
        (round(took_s + AFTER_S, 1), "trouble", kind),
        (round(took_s + AFTER_S + LASTS_S, 1), "trouble_over", kind),
    ]
    return found


def test_a_device_that_is_well_says_what_it_reads() -> None:
    trouble, hands = Trouble("", 5), Hands(np.full(6, 0.3), (1, 0))
    reading = trouble.reading(0.0, hands, [Deed(0.0, "take_over", "e", "", 0.0)])
    assert reading is not None and reading.buttons == (1, 0)
    np.testing.assert_array_equal(reading.axes, hands.axes)


@pytest.mark.parametrize("kind", TROUBLES)
def test_trouble_comes_in_the_middle_of_help_and_goes(kind: str) -> None:
    bad = []
    for now, hands, reading in readings(kind):
        if 1.0 + AFTER_S + TICK_S < now < 1.0 + AFTER_S + LASTS_S - TICK_S:
            bad.append(reading)
        elif abs(now - 1.0 - AFTER_S) > 2 * TICK_S and abs(now - 3.5 - AFTER_S) > 2 * TICK_S:
            assert reading is not None
            np.testing.assert_array_equal(reading.axes, hands.axes)
    axes = np.array([r.axes for r in bad if r is not None])
    if kind == "unplugged":
        assert all(r is None for r in bad)
    elif kind == "frozen":
        assert (axes == axes[0]).all()
    elif kind == "nan":
        assert np.isnan(axes).all()
    else:
        assert (np.abs(axes) == 1.0).all() and (np.diff(axes, axis=0) != 0.0).any()


def test_an_unknown_trouble_is_refused() -> None:
    with pytest.raises(InputError, match="trouble 'wet'"):
        Trouble("wet", 0)
