"""The enabling switch counts as held only while it is heard to be."""

from __future__ import annotations

from vla_rl_nodes.safety.deadman import Deadman
from vla_rl_nodes.safety.limits import load_limits
from vla_rl_nodes.safety.state import Instant

MS = 1_000_000
LIMITS = load_limits("franka_pick").model_copy(update={"deadman_timeout_s": 0.1})


def at(ms: int) -> Instant:
    return Instant(0, ms * MS)


def test_it_is_released_until_heard_and_when_not_heard_again() -> None:
    deadman = Deadman(LIMITS)
    assert deadman.released(at(0))
    deadman.hear(True, at(5))
    assert not deadman.released(at(105)) and deadman.released(at(106))
    deadman.hear(True, at(106))
    deadman.hear(False, at(107))
    assert deadman.released(at(107))


def test_without_one_in_the_limits_it_is_not_asked_for() -> None:
    deadman = Deadman(LIMITS.model_copy(update={"deadman_timeout_s": None}))
    deadman.hear(False, at(0))
    assert not deadman.released(at(0))
    deadman.set_limits(LIMITS)
    assert deadman.released(at(0))
