"""The number by which the page knows a latched emergency stop is the filter's."""

from __future__ import annotations

from vla_rl_nodes.operator.sections import E_STOP
from vla_rl_nodes.safety.status import Status


def test_e_stop() -> None:
    assert str(int(Status.E_STOP)) == E_STOP
