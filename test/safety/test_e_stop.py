"""The emergency stop latches, and only an explicit reset unlatches it."""

from __future__ import annotations

import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.safety.e_stop import EStop
from vla_rl_nodes.safety.limits import load_limits
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Instant

MS = 1_000_000
LIMITS = load_limits("franka_pick")
HEARTBEAT = LIMITS.model_copy(update={"e_stop_timeout_s": 0.1})


def at(ms: int) -> Instant:
    return Instant(0, ms * MS)


def test_pressing_latches_until_it_is_released_and_reset() -> None:
    e_stop = EStop(LIMITS)
    e_stop.refuse_arming(at(0))
    assert e_stop.hear(True, at(1)) == (Reason.E_STOP, "the emergency stop is pressed")
    assert e_stop.hear(True, at(2)) is None and e_stop.latched
    with pytest.raises(InputError, match="still pressed: safety/e_stop; release it"):
        e_stop.reset(at(3), moving=False)
    assert e_stop.hear(False, at(4)) is None and e_stop.latched
    with pytest.raises(InputError, match="arm: the emergency stop is latched"):
        e_stop.refuse_arming(at(5))
    e_stop.reset(at(6), moving=False)
    assert not e_stop.latched
    e_stop.refuse_arming(at(7))


def test_a_missing_heartbeat_counts_as_pressed() -> None:
    e_stop = EStop(HEARTBEAT)
    with pytest.raises(InputError, match="heartbeat has not come"):
        e_stop.refuse_arming(at(50))
    e_stop.hear(False, at(60))
    e_stop.refuse_arming(at(160))
    with pytest.raises(InputError, match="heartbeat is 101 ms old"):
        e_stop.refuse_arming(at(161))
    assert e_stop.watch(at(160)) is None
    problem = e_stop.watch(at(161))
    assert problem is not None and problem.reason is Reason.E_STOP
    assert e_stop.watch(at(162)) is None and e_stop.latched
    with pytest.raises(InputError, match="102 ms old; check its publisher"):
        e_stop.reset(at(162), moving=False)
    e_stop.hear(False, at(170))
    assert e_stop.latched  # a heartbeat is no reset
    e_stop.reset(at(171), moving=False)
    assert not e_stop.latched


def test_a_heartbeat_asked_for_later_is_due_from_then() -> None:
    e_stop = EStop(LIMITS)
    assert e_stop.watch(at(10_000)) is None
    e_stop.set_limits(HEARTBEAT, at(10_000))
    assert e_stop.watch(at(10_100)) is None
    assert e_stop.watch(at(10_101)) is not None


def test_nobody_takes_back_what_another_button_says() -> None:
    e_stop = EStop(LIMITS)
    e_stop.hear(True, at(1))
    e_stop.hear(True, at(2), "operator/e_stop")
    e_stop.hear(False, at(3), "operator/e_stop")
    with pytest.raises(InputError, match="still pressed: safety/e_stop;"):
        e_stop.reset(at(4), moving=False)
    e_stop.hear(True, at(5), "operator/e_stop")
    e_stop.hear(False, at(6))
    with pytest.raises(InputError, match="still pressed: operator/e_stop;"):
        e_stop.reset(at(7), moving=False)
    e_stop.hear(False, at(8), "operator/e_stop")
    e_stop.reset(at(9), moving=False)
    assert not e_stop.latched


def test_another_button_is_no_heartbeat() -> None:
    e_stop = EStop(HEARTBEAT)
    e_stop.hear(False, at(10))
    e_stop.hear(False, at(150), "operator/e_stop")
    assert e_stop.watch(at(111)) is not None and e_stop.latched
    e_stop.hear(False, at(155), "operator/e_stop")
    with pytest.raises(InputError, match="heartbeat is 150 ms old"):
        e_stop.reset(at(160), moving=False)
