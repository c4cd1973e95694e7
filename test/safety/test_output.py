"""The command of a tick is the first knot of its plan."""

from __future__ import annotations

import numpy as np

from vla_rl_nodes.safety.output import FilterOutput
from vla_rl_nodes.safety.reasons import NONE
from vla_rl_nodes.safety.state import State
from vla_rl_nodes.safety.status import Status
from vla_rl_nodes.safety.stop import Plan


def output(plan: Plan | None) -> FilterOutput:
    return FilterOutput(
        plan, None, None, State.ARMED, Status.NO_WARNING, NONE, NONE, (), None, None, None
    )


def test_the_command_is_the_plans_first_row() -> None:
    rows = np.arange(6.0).reshape(3, 2) + 1.0
    assert output(None).q_command is None
    np.testing.assert_array_equal(output(Plan(rows, rows, rows)).q_command, [1.0, 2.0])
