"""What one tick of the filter hands to the controller and to whoever records it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Source, State
from vla_rl_nodes.safety.status import Status
from vla_rl_nodes.safety.stop import Plan

Array = NDArray[np.float64]


class Executed(NamedTuple):
    """The action accepted for one control tick: its stamp, values [axes], why they differ.

    With ``joints`` the values are the reset's: the arm's joints (rad), then the opening (m).
    """

    stamp_ns: int
    values: Array
    reasons: Reason
    joints: bool = False


@dataclass(frozen=True, eq=False)
class FilterOutput:
    """One tick's result.

    Attributes:
        plan: what to command now (row 0) and the verified stop after it, at the filter's period;
            None when disarmed, stopped or faulted: the controller keeps the last one, at rest.
        gripper_width: opening to command now, m; None with ``plan`` and without a gripper.
        twist: velocity of a mobile base along its x and y (m/s) and about z (rad/s) to command
            now [3]; None for robots that are commanded by their joints.
        state: the state after this tick.
        status: the same as one code, made like those of MoveIt Servo.
        reasons: what happened in this tick, inputs refused since the last one among it.
        cause: why the filter is stopping, stopped or faulted; empty otherwise.
        messages: one line for each thing that began in this tick.
        executed: the action accepted in this tick, if any.
        reference: the target's pose, see ``SafetyFilter.reference_names``; None when disarmed,
            and while a reset commands joints.
        source: whose commands are taken now; None when nobody's are.
    """

    plan: Plan | None
    gripper_width: float | None
    twist: Array | None
    state: State
    status: Status
    reasons: Reason
    cause: Reason
    messages: tuple[str, ...]
    executed: Executed | None
    reference: Array | None
    source: Source | None

    @property
    def q_command(self) -> Array | None:
        """Joint positions to command now [n], rad; None when there is no plan."""
        return None if self.plan is None else self.plan.q[0]
