"""The plane's state: its plant and the observation that the contract promises."""

from __future__ import annotations

import numpy as np
import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.sim.plane.demonstrations import CHUNK_LENGTH, MAX_DELAY
from vla_rl_nodes.sim.plane.state import GREATEST_ACTION, LAG, NAMES, PERIOD_S, TASKS

from .episodes import state


def test_the_numbers_are_the_contracts() -> None:
    contract = load_contract("plane")
    (stream,) = contract.streams
    assert stream.names == NAMES
    assert contract.period_ns == round(PERIOD_S * 1e9)
    assert np.array_equal(contract.action.maximum, [GREATEST_ACTION] * 2)
    assert np.array_equal(contract.action.minimum, [-GREATEST_ACTION] * 2)
    assert (contract.action.chunk_length, contract.action.max_delay) == (CHUNK_LENGTH, MAX_DELAY)


def test_every_component_stands_under_its_name() -> None:
    seen = state(
        "two_ways",
        tool=[1, 2], reference=[3, 4], action=[5, 6], earlier=[7, 8], goal=[9, 10],
        velocity=[0.11, 0.12], obstacle=[13, 14], blocked=True,
    ).observation()  # fmt: skip
    assert seen.dtype == np.float32
    named = dict(zip(NAMES, seen[0].tolist(), strict=True))
    assert [named[f"{what}_{axis}"] for what in
            ("tool", "reference", "action", "earlier_action", "object", "obstacle")
            for axis in "xy"] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14]  # fmt: skip
    # Metres per tick inside, metres per second outside.
    assert named["object_velocity_x"] == pytest.approx(0.11 * 20)
    assert named["object_velocity_y"] == pytest.approx(0.12 * 20)
    assert named["obstacle_present"] == 1
    assert [named[f"task_{task}"] for task in TASKS] == [0, 0, 1]


def test_a_steady_tool_stays_behind_by_the_lag() -> None:
    now = state()
    step = np.array([[0.01, -0.004]])
    for _ in range(40):
        now = now.after(step)
    assert np.allclose(now.reference, 40 * step)
    assert np.allclose(now.reference - now.tool, LAG * step)
    assert np.array_equal(now.action, step)
    assert np.array_equal(now.earlier, step)


def test_a_tick_by_hand() -> None:
    now = state(tool=[0.0, 0.0], reference=[0.01, 0.0], action=[0.002, 0.0], velocity=[0.0, 0.003])
    later = now.after(np.array([[0.004, 0.001]]))
    assert np.allclose(later.tool, [[0.65 * 0.01 + 0.3 * 0.004, 0.3 * 0.001]])
    assert np.allclose(later.reference, [[0.014, 0.001]])
    assert np.array_equal(later.earlier, now.action)
    assert np.allclose(later.goal, [[0.3, 0.003]])
