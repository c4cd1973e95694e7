"""One source is in command, by rank, and nothing falls back by itself."""

from __future__ import annotations

import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.safety.arbitration import Arbiter
from vla_rl_nodes.safety.commands import Pair
from vla_rl_nodes.safety.inputs import Refusal
from vla_rl_nodes.safety.limits import load_limits
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Instant, Source

MS = 1_000_000
NOW = 10**15
CONTRACT, LIMITS = load_contract("franka_pick"), load_limits("franka_pick")
VALUES = [0.01, 0.0, 0.0, 0.0, 0.05]


def at(ms: float, steady_ms: float | None = None) -> Instant:
    return Instant(NOW + round(ms * MS), round((ms if steady_ms is None else steady_ms) * MS))


@pytest.fixture
def arbiter() -> Arbiter:
    made = Arbiter(CONTRACT, LIMITS)
    made.begin(at(0))
    return made


def send(arbiter: Arbiter, source: Source, ms: float) -> Refusal | None:
    return arbiter.command(source, at(ms).ros_ns, at(ms), CONTRACT.action.names, VALUES)


def test_the_highest_engaged_source_is_in_command(arbiter: Arbiter) -> None:
    assert arbiter.in_command is Source.POLICY
    assert arbiter.engage(Source.RESET, True, at(1)) is Source.POLICY
    assert arbiter.in_command is Source.RESET
    assert arbiter.engage(Source.INTERVENTION, True, at(2)) is Source.RESET
    assert arbiter.engage(Source.INTERVENTION, True, at(3)) is None
    assert arbiter.engage(Source.RESET, False, at(4)) is None
    assert arbiter.in_command is Source.INTERVENTION
    assert arbiter.engage(Source.RESET, True, at(5)) is None
    assert arbiter.engage(Source.INTERVENTION, False, at(6)) is Source.INTERVENTION
    assert arbiter.in_command is Source.RESET
    arbiter.engage(Source.RESET, False, at(7))
    assert arbiter.in_command is Source.POLICY
    with pytest.raises(InputError, match="in command when no other is"):
        arbiter.engage(Source.POLICY, True, at(8))


@pytest.mark.parametrize("source", list(Source))
def test_only_the_source_in_command_is_heard(arbiter: Arbiter, source: Source) -> None:
    if source is not Source.POLICY:
        arbiter.engage(source, True, at(0))
    for other in Source:
        refusal = send(arbiter, other, 1)
        if other is source:
            assert refusal is None
        else:
            assert refusal is not None and refusal.reason is Reason.OUTRANKED
            assert f"{source} is in command" in refusal.message
    residual = arbiter.residual(at(1).ros_ns, at(1), CONTRACT.action.names, VALUES)
    assert (residual is None) == (source is Source.POLICY)
    assert isinstance(arbiter.take(at(1)), Pair) and arbiter.take(at(1)) is None


def test_a_change_of_source_forgets_what_was_sent_before(arbiter: Arbiter) -> None:
    send(arbiter, Source.POLICY, 1)
    arbiter.engage(Source.INTERVENTION, True, at(2))
    assert arbiter.take(at(2)) is None
    refusal = send(arbiter, Source.INTERVENTION, 1)
    assert refusal is not None and refusal.reason is Reason.STALE_COMMAND
    send(arbiter, Source.INTERVENTION, 3)
    arbiter.engage(Source.INTERVENTION, False, at(4))
    assert arbiter.take(at(4)) is None
    refusal = send(arbiter, Source.POLICY, 3)
    assert refusal is not None and "older than the arming, or than the change" in refusal.message
    assert send(arbiter, Source.POLICY, 5) is None
    assert isinstance(arbiter.take(at(5)), Pair)


def test_two_sources_do_not_add_up_within_half_a_period(arbiter: Arbiter) -> None:
    send(arbiter, Source.POLICY, 1)
    assert isinstance(arbiter.take(at(1)), Pair)
    arbiter.engage(Source.INTERVENTION, True, at(10))
    send(arbiter, Source.INTERVENTION, 11)
    refusal = arbiter.take(at(11))
    assert isinstance(refusal, Refusal) and refusal.reason is Reason.DUPLICATE
    send(arbiter, Source.INTERVENTION, 26)
    assert isinstance(arbiter.take(at(26)), Pair)


def test_the_age_counts_from_arming_from_a_command_and_from_a_change(arbiter: Arbiter) -> None:
    assert not arbiter.silent(at(2000)) and arbiter.silent(at(2001))
    assert not arbiter.late(at(120)) and arbiter.late(at(121))
    assert arbiter.silent(at(0, 2001))  # the node's clock stands still
    send(arbiter, Source.POLICY, 1000)
    arbiter.take(at(1010))
    assert arbiter.age_ns(at(1100)) == 100 * MS
    assert not arbiter.silent(at(1300)) and arbiter.silent(at(1301)) and arbiter.executed_any
    arbiter.engage(Source.INTERVENTION, True, at(1200))
    assert not arbiter.late(at(1320)) and arbiter.late(at(1321)) and not arbiter.executed_any
    # It has as long as after the arming; one that says nothing stays in command.
    assert not arbiter.silent(at(3200)) and arbiter.silent(at(3201))
    assert arbiter.in_command is Source.INTERVENTION
    send(arbiter, Source.INTERVENTION, 3300)
    arbiter.take(at(3300))
    assert not arbiter.silent(at(3600)) and arbiter.silent(at(3601))


def test_stricter_timeouts_hold_at_once(arbiter: Arbiter) -> None:
    stricter = {"command_timeout_s": 0.06, "stop_after_s": 0.1, "first_command_timeout_s": 0.5}
    arbiter.set_limits(LIMITS.model_copy(update=stricter))
    assert arbiter.late(at(61)) and arbiter.silent(at(501)) and not arbiter.silent(at(499))
    send(arbiter, Source.POLICY, 70)
    arbiter.take(at(70))
    assert arbiter.silent(at(171)) and not arbiter.silent(at(170))
