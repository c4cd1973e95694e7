"""The words that the filter's parts share: instants, sources, states, problems."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from vla_rl_nodes.safety.reasons import Reason


class Instant(NamedTuple):
    """One moment on two clocks, ns.

    ``ros_ns`` is the node's clock, which stamps messages and may be set; ``steady_ns`` is a
    monotonic clock of this machine, which says how long ago something arrived.
    """

    ros_ns: int
    steady_ns: int


class Source(StrEnum):
    """Who commands, in order of precedence; the emergency stop stands above all of them."""

    INTERVENTION = "intervention"
    RESET = "reset"
    POLICY = "policy"


class Missed(StrEnum):
    """What the controller does by itself in ticks that the filter misses."""

    PLAN = "the stop was followed meanwhile"  # a trajectory: goes on along the last plan
    HOLD = "the last position was held meanwhile"  # a stream of positions
    COAST = "the last velocity went on meanwhile"  # a stream of velocities


class State(StrEnum):
    """What the filter is doing."""

    DISARMED = "disarmed"  # commands nothing
    ARMED = "armed"  # follows commands
    HOLDING = "holding"  # no recent command, or none is taken now: comes to rest, goes on later
    STOPPING = "stopping"  # follows the verified stop
    STOPPED = "stopped"  # at rest until armed again
    FAULTED = "faulted"  # at rest after a fault, until armed again


class Problem(NamedTuple):
    """What a watchdog found: one bit, and the beginning of a line for a person."""

    reason: Reason
    message: str

    @classmethod
    def of(cls, error: Exception) -> Problem:
        """A failure of the filter's own code, because of which no step could be verified."""
        said = " ".join(f"{type(error).__name__} in the filter: {error}".split())
        return cls(Reason.UNVERIFIED_STOP, said)
