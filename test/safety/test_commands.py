"""Base actions and residuals are paired by their control tick and handed out once."""

from __future__ import annotations

import numpy as np
import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.safety.commands import Commands, Pair
from vla_rl_nodes.safety.inputs import Refusal
from vla_rl_nodes.safety.limits import load_limits
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Instant

MS = 1_000_000
NOW = 10**15
NAMES = load_contract("franka_pick").action.names
BASE, RESIDUAL = [0.01, 0.02, 0.0, 0.1, 0.05], [0.001, -0.001, 0.0, 0.02, 0.01]


def at(ms: float = 0.0, steady_ms: float | None = None) -> Instant:
    return Instant(NOW + round(ms * MS), round((ms if steady_ms is None else steady_ms) * MS))


@pytest.fixture
def commands() -> Commands:
    made = Commands("command", NAMES, load_limits("franka_pick"))
    made.reset(at())
    return made


@pytest.mark.parametrize("residual_first", [True, False])
def test_a_pair_is_taken_once_in_either_order(commands: Commands, residual_first: bool) -> None:
    offers = [(commands.base, BASE), (commands.residual, RESIDUAL)]
    for offer, values in reversed(offers) if residual_first else offers:
        assert offer(NOW, at(), NAMES, values) is None
    pair = commands.take(at(), None)
    assert isinstance(pair, Pair) and pair.base.stamp_ns == NOW
    np.testing.assert_array_equal(pair.base.values, BASE)
    np.testing.assert_array_equal(pair.residual, RESIDUAL)
    assert commands.take(at(), None) is None


def test_only_the_newest_action_is_taken(commands: Commands) -> None:
    for i in range(3):
        stamp = NOW + 50 * i * MS
        assert commands.base(stamp, at(50 * i), NAMES, [0.001 * i, 0, 0, 0, 0]) is None
    pair = commands.take(at(100), None)
    assert isinstance(pair, Pair) and pair.base.values[0] == 0.002
    assert commands.take(at(100), None) is None


def test_a_residual_of_another_tick_or_without_a_base_is_not_handed_out(
    commands: Commands,
) -> None:
    commands.residual(NOW, at(), NAMES, RESIDUAL)
    assert commands.take(at(), None) is None
    commands.base(NOW + 50 * MS, at(50), NAMES, BASE)
    pair = commands.take(at(50), None)
    assert isinstance(pair, Pair) and pair.residual is None


def test_a_usual_residual_is_waited_for_on_the_steady_clock(commands: Commands) -> None:
    commands.base(NOW, at(), NAMES, BASE)
    commands.residual(NOW, at(), NAMES, RESIDUAL)
    assert isinstance(commands.take(at(), None), Pair)
    commands.base(NOW + 50 * MS, at(50), NAMES, BASE)
    assert commands.take(at(40, 59), None) is None
    pair = commands.take(at(40, 60), None)
    assert isinstance(pair, Pair) and pair.residual is None


@pytest.mark.parametrize("late", [(121, 0), (0, 121)])
def test_an_action_that_waited_too_long_on_either_clock_is_refused(
    commands: Commands, late: tuple[float, float]
) -> None:
    commands.base(NOW, at(), NAMES, BASE)
    refusal = commands.take(at(*late), None)
    assert isinstance(refusal, Refusal) and refusal.reason is Reason.STALE_COMMAND
    assert commands.take(at(), None) is None


def test_an_action_too_soon_after_the_last_is_refused(commands: Commands) -> None:
    commands.base(NOW, at(), NAMES, BASE)
    refusal = commands.take(at(), NOW + 1)
    assert isinstance(refusal, Refusal) and refusal.reason is Reason.DUPLICATE
    assert refusal.message == "command came within half a control period of the last one"
    commands.base(NOW + 2, at(), NAMES, BASE)
    assert isinstance(commands.take(at(), NOW + 2), Pair)


def test_a_reset_forgets_what_was_stored_and_refuses_what_is_older(commands: Commands) -> None:
    commands.base(NOW, at(), NAMES, BASE)
    commands.reset(at(5))
    assert commands.take(at(5), None) is None
    for offer in (commands.base, commands.residual):
        refusal = offer(NOW + 4 * MS, at(6), NAMES, BASE)
        assert isinstance(refusal, Refusal) and refusal.reason is Reason.STALE_COMMAND
        assert offer(NOW + 5 * MS, at(6), NAMES, BASE) is None


def test_stricter_timeouts_hold_at_once(commands: Commands) -> None:
    limits = load_limits("franka_pick")
    commands.base(NOW, at(), NAMES, BASE)
    commands.set_limits(limits.model_copy(update={"command_timeout_s": 0.06}))
    assert isinstance(commands.take(at(61), None), Refusal)
    assert isinstance(commands.base(NOW + MS, at(62), NAMES, BASE), Refusal)
