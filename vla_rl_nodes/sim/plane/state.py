"""What the plane's episodes consist of at one tick, B of them side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.sim.expert import Plant

Array = NDArray[np.float64]

PERIOD_S = 0.05
GREATEST_ACTION = 0.02  # metres per tick and axis, as in the contract
TASKS = ("kick", "moving", "two_ways")
# Components of the contract's stream `state`, in order.
NAMES = (
    "tool_x", "tool_y", "reference_x", "reference_y", "action_x", "action_y",
    "earlier_action_x", "earlier_action_y", "object_x", "object_y",
    "object_velocity_x", "object_velocity_y", "obstacle_x", "obstacle_y", "obstacle_present",
    "task_kick", "task_moving", "task_two_ways",
)  # fmt: skip
# The tool answers to its reference as the simulated arm's does.
PLANT = Plant()
# How far a tool that moves steadily stays behind its reference, in actions.
LAG = (1.0 - PLANT.lead) / PLANT.follow


@dataclass(frozen=True)
class PlaneState:
    """All that an episode's next tick depends on; metres, [B, 2] where not said otherwise.

    Attributes:
        tool: where the tool is.
        reference: where it has been sent: the sum of all actions.
        action: the last executed action, metres per tick.
        earlier: the one before.
        goal: the object that the tool shall reach.
        velocity: of the object, metres per tick.
        obstacle: centre of the obstacle, 0 where there is none.
        blocked: whether there is an obstacle, bool [B].
        task: index into :data:`TASKS`, int64 [B].
    """

    tool: Array
    reference: Array
    action: Array
    earlier: Array
    goal: Array
    velocity: Array
    obstacle: Array
    blocked: NDArray[np.bool_]
    task: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.tool)

    def after(self, action: Array) -> PlaneState:
        """The state [B] one tick later when nothing unforeseen happens.

        Args:
            action: [B, 2], metres per tick; must be inside the contract's bounds.
        """
        gap = self.reference - self.tool
        return replace(
            self,
            tool=self.tool + PLANT.follow * gap + PLANT.lead * action,
            reference=self.reference + action,
            action=action,
            earlier=self.action,
            goal=self.goal + self.velocity,
        )

    def rows(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> PlaneState:
        """Some of the episodes."""
        return PlaneState(**{name: value[which] for name, value in vars(self).items()})

    def observation(self) -> NDArray[np.float32]:
        """The contract's stream ``state``, float32 [B, 18]; components as in :data:`NAMES`."""
        parts = [
            self.tool,
            self.reference,
            self.action,
            self.earlier,
            self.goal,
            self.velocity / PERIOD_S,
            self.obstacle,
            self.blocked[:, None],
            self.task[:, None] == np.arange(len(TASKS)),
        ]
        return np.concatenate(parts, axis=1).astype(np.float32)
