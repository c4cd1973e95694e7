"""A held object stays held over disarming; fingers that were moved are left alone."""

from __future__ import annotations

from vla_rl_nodes.safety.grip_memory import GripMemory


def test_without_a_memory_the_fingers_stay_where_they_are() -> None:
    memory = GripMemory()
    memory.follow(None, 0.04)
    memory.follow(0.0, None)
    assert memory.opening(0.04) == 0.04


def test_what_is_held_stays_held() -> None:
    memory = GripMemory()
    memory.follow(0.0, 0.0401)
    assert memory.opening(0.0395) == 0.0


def test_fingers_that_somebody_has_moved_are_not_closed() -> None:
    memory = GripMemory()
    memory.follow(0.0, 0.04)
    assert memory.opening(0.08) == 0.08
    assert memory.opening(0.01) == 0.01


def test_fingers_are_never_opened() -> None:
    memory = GripMemory()
    memory.follow(0.08, 0.05)
    assert memory.opening(0.05) == 0.05
