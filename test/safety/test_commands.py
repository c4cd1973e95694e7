"""Base actions and residuals are paired by their control tick and handed out once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.safety.commands import Commands, Pair
from vla_rl_nodes.safety.inputs import Refusal
from vla_rl_nodes.safety.reasons import Reason

MS = 1_000_000
NOW = 10**15
BASE, RESIDUAL = [0.01, 0.02, 0.0, 0.1, 0.05], [0.001, -0.001, 0.0, 0.02, 0.01]


@pytest.fixture
def commands(new_rig: Any) -> Commands:
    made = Commands(new_rig.contract, new_rig.limits)
    made.reset(NOW)
    return made


@pytest.mark.parametrize("residual_first", [True, False])
def test_a_pair_is_taken_once_in_either_order(
    new_rig: Any, commands: Commands, residual_first: bool
) -> None:
    offers = [(commands.base, BASE), (commands.residual, RESIDUAL)]
    for offer, values in reversed(offers) if residual_first else offers:
        assert offer(NOW, NOW, new_rig.names, values) is None
    pair = commands.take(NOW)
    assert isinstance(pair, Pair) and pair.stamp_ns == NOW == commands.taken_ns
    np.testing.assert_array_equal(pair.base, BASE)
    np.testing.assert_array_equal(pair.residual, RESIDUAL)
    assert commands.take(NOW) is None


def test_only_the_newest_action_is_taken(new_rig: Any, commands: Commands) -> None:
    for i in range(3):
        stamp = NOW + 50 * i * MS
        assert commands.base(stamp, stamp, new_rig.names, [0.001 * i, 0, 0, 0, 0]) is None
    pair = commands.take(stamp)
    assert isinstance(pair, Pair) and pair.base[0] == 0.002
    assert commands.take(stamp) is None


def test_a_reset_forgets_what_was_stored_and_refuses_what_is_older(
    new_rig: Any, commands: Commands
) -> None:
    commands.base(NOW, NOW, new_rig.names, BASE)
    commands.reset(NOW + 5 * MS)
    assert commands.take(NOW + 5 * MS) is None and commands.taken_ns is None
    refusal = commands.base(NOW + 4 * MS, NOW + 6 * MS, new_rig.names, BASE)
    assert isinstance(refusal, Refusal) and refusal.reason is Reason.STALE_COMMAND
    assert commands.base(NOW + 5 * MS, NOW + 6 * MS, new_rig.names, BASE) is None
