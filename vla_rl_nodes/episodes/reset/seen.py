"""What a reset sees at a tick, what it orders, and how it gives up."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from enum import StrEnum
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
T = TypeVar("T")

TAKING = ("armed", "holding")  # states in which the filter follows commands
SOURCE = "reset"  # what the filter calls us
PERSON = "intervention"
# What stops a robot only when something is wrong with it, or about it.
GRAVE = frozenset(
    ("e_stop", "wrench", "tracking_error", "clock_jump", "future_stamp", "stale_state",
     "tick_overrun", "body")
)  # fmt: skip


class Phase(StrEnum):
    """What ``reset/status`` says."""

    IDLE = "idle"
    PLANNING = "planning"
    MOVING = "moving"
    VERIFYING = "verifying"
    ASKING = "asking"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = (Phase.DONE, Phase.FAILED, Phase.CANCELLED)


class FilterSeen(NamedTuple):
    """The safety filter as it said last.

    Attributes:
        state: armed, holding, stopping, ...
        source: who is in command; empty when nobody's commands are taken.
        reasons: names of all since the last tick, see ``safety.reasons``.
        note: why it was not armed, where that is known.
        latched: whether the emergency stop is latched.
    """

    state: str
    source: str
    reasons: frozenset[str] = frozenset()
    note: str = ""
    latched: bool = False

    @property
    def ours(self) -> bool:
        """Whether it follows the reset's commands."""
        return self.state in TAKING and self.source == SOURCE

    @property
    def persons(self) -> bool:
        """Whether a person has taken over, and the robot may still move."""
        return self.source == PERSON and self.state in (*TAKING, "stopping")

    @property
    def halted(self) -> bool:
        """Whether a robot that followed us was taken over, or stopped by something that a person
        has to look at: by anything but commands of ours that came late."""
        if self.ours:  # held, it gives way to a force: armed, one message of it was late
            return self.state == "holding" and "wrench" in self.reasons
        late = "stale_command" in self.reasons and self.state != "faulted"
        return self.persons or self.latched or not late or bool(self.reasons & GRAVE)


class NamedState(NamedTuple):
    """Everything that a simulator says of its world: when it was heard (s), values by name."""

    time_s: float
    values: Mapping[str, float]


class Seen(NamedTuple):
    """Everything that a tick looks at; what has been silent for too long is None.

    Attributes:
        time_s: a steady clock, s.
        joints: measured [n], rad.
        speed: of the fastest joint, rad/s.
        width: the gripper's measured opening, m; None without one.
        filter: the safety filter.
        state: the simulator's ``sim/state``; None where there is none.
        opening: to which the gripper was sent last, m; None where nobody knows.
    """

    time_s: float
    joints: Array | None
    speed: float
    width: float | None
    filter: FilterSeen | None
    state: NamedState | None = None
    opening: float | None = None

    def pose(self, name: str) -> Array | None:
        """Pose [7] of an object in the base frame: x y z in m, unit quaternion w x y z; None
        where nobody sees it."""
        if self.state is None:
            return None
        values = self.state.values
        parts = [f"{name}_{part}" for part in ("x", "y", "z", "qw", "qx", "qy", "qz")]
        if any(part not in values for part in parts):
            return None
        return np.array([values[part] for part in parts])


class Orders(NamedTuple):
    """What a tick sends.

    Attributes:
        active: whether the reset is in command, or wants to be.
        joints: absolute [n], rad, together with ``width`` (m) where there is a gripper.
        action: in the contract's axes; never together with ``joints``.
    """

    active: bool
    joints: Array | None = None
    width: float | None = None
    action: Array | None = None


IDLE = Orders(active=False)
Steps = Generator[Orders, Seen, T]


class Refused(Exception):  # noqa: N818
    """This mode cannot be carried out here, by a person neither; says why."""


class AttemptFailed(Exception):  # noqa: N818
    """This attempt is over; another plan or another seed may do better. Says why."""


class Halted(Exception):  # noqa: N818
    """The robot was stopped, or taken over: it moves again only when a person has said so."""


class NeedsPerson(Exception):  # noqa: N818
    """No further attempt helps; says why."""
