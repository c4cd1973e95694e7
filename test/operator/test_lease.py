"""Several look, one is in control."""

from __future__ import annotations

from vla_rl_nodes.operator.lease import Lease


def test_one_at_a_time() -> None:
    lease = Lease()
    assert "nobody" in str(lease.refusal(1))
    assert lease.take(1, "op1", False).ok and lease.refusal(1) is None
    refused = lease.take(2, "op2", False)
    assert not refused.ok and "op1" in refused.text and lease.holder == 1
    assert "op1" in str(lease.refusal(2))


def test_it_can_be_taken_over_and_is_told() -> None:
    lease = Lease()
    lease.take(1, "op1", False)
    taken = lease.take(2, "op2", True)
    assert taken.ok and "op1" in taken.text and lease.name == "op2"
    assert lease.refusal(1) is not None and not lease.give(1)
    assert lease.give(2) and lease.holder is None


def test_taking_again_is_no_harm() -> None:
    lease = Lease()
    lease.take(1, "op1", False)
    assert lease.take(1, "anne", False).ok and lease.name == "anne"
