"""Whether the policy's actions are executed, as the safety filter tells it."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

# What the filter calls the policy, and the reasons for which it holds and takes no command.
POLICY = "policy"
HOLDING = "holding"
WITHHELD = frozenset({"paused", "deadman", "wrench"})


class Following(NamedTuple):
    """Who moves the arm, as far as the policy is concerned.

    Attributes:
        followed: whether the policy's actions are executed.
        hand_backs: how often they are again, after they were not. Counted, because whoever looks
            once a tick may miss that the arm changed hands twice.
    """

    followed: bool = True
    hand_backs: int = 0

    def turned(self, followed: bool) -> Following:
        """What follows when the policy is followed now, or is not."""
        return Following(followed, self.hand_backs + (followed and not self.followed))


FOLLOWED = Following()


def heard(before: Following, state: str, source: str, reasons: Collection[str]) -> Following:
    """What follows from a status of the safety filter.

    Args:
        before: what followed from the one before.
        state: of the filter.
        source: who is in command, empty where the filter takes nobody's commands.
        reasons: what it says of this tick.
    """
    withheld = state == HOLDING and not WITHHELD.isdisjoint(reasons)
    return before.turned(source == POLICY and not withheld)
