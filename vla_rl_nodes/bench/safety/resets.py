"""Events of a reset that commands joints, and of an episode that is paused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety.rig import Rig
from vla_rl_nodes.safety.state import Source

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Joints:
    """The reset takes command, commands joints, and gives back in the middle of it all.

    Attributes:
        rows: [periods, joints] shares 0..1 of each joint's range.
        reach: share of the way from where the arm is commanded to be to the row that is asked
            for: 1 asks for leaps, little for what a planner would send.
        flaw: a value that is put into one of the rows, or None.
        rival: whether the policy goes on commanding meanwhile.
    """

    rows: Array
    reach: float
    flaw: float | None = None
    rival: bool = False

    def apply(self, rig: Rig) -> None:
        """Offers each row when its period begins; from a moving arm the first are refused."""
        robot = rig.subject.robot
        low, high = robot.position_min, robot.position_max
        rig.engage(Source.RESET, True)
        for index, row in enumerate(self.rows):
            while not rig.action_due:
                rig.step()
            state = rig.checker.state
            start = rig.q if state is None else state[0]
            asked = start + self.reach * (low + row * (high - low) - start)
            if self.flaw is not None and index == len(self.rows) // 2:
                asked[0] = self.flaw
            width = [] if robot.gripper is None else [float(row[0]) * robot.gripper.width_max]
            rig.offer_joints([*asked.tolist(), *width])
            if self.rival:
                rig.offer(Source.POLICY, [0.0] * len(rig.names))
            rig.step()
        rig.engage(Source.RESET, False)


@dataclass(frozen=True)
class Pause:
    """The episode is paused for some ticks."""

    ticks: int

    def apply(self, rig: Rig) -> None:
        """Pauses, runs, goes on."""
        rig.filter.pause(True)
        for _ in range(self.ticks):
            rig.step()
        rig.filter.pause(False)
