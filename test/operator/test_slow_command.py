"""A reset that nobody works on any more is not waited for."""

from __future__ import annotations

import pytest

from vla_rl_nodes.operator.said import Said
from vla_rl_nodes.operator.slow_command import BUSY, SILENT_S, SlowCommand


@pytest.mark.parametrize("phase", BUSY)
def test_it_is_waited_for_as_long_as_it_goes_on(phase: str) -> None:
    watch = SlowCommand(0.0)
    for second in range(600):
        assert watch.lost(second, True, Said(phase, at_s=second - 0.4)) == ""
    assert "gone" in watch.lost(600.0, False, Said(phase, at_s=599.9))


@pytest.mark.parametrize("said", [None, "idle", "done", "failed", "cancelled", "moving"])
def test_a_node_that_is_silent_or_was_started_anew_gives_no_answer(said: str | None) -> None:
    watch = SlowCommand(10.0)
    assert watch.lost(11.0, True, Said("moving", at_s=11.0)) == ""

    def status(now_s: float) -> Said | None:
        # What moved is silent now; what idles says so every second.
        return None if said is None else Said(said, at_s=11.0 if said == "moving" else now_s)

    assert watch.lost(11.0 + SILENT_S - 0.1, True, status(15.9)) == ""
    assert "nothing of it was heard" in watch.lost(11.0 + SILENT_S + 0.1, True, status(16.1))
