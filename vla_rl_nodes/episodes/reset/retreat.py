"""In mid-episode: opens the gripper and takes the tool back, in the contract's own actions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.episodes.reset.arm import waits
from vla_rl_nodes.episodes.reset.kit import Kit
from vla_rl_nodes.episodes.reset.seen import IDLE, AttemptFailed, Orders, Seen, Steps
from vla_rl_nodes.episodes.reset.tool_actions import ToolActions, shares
from vla_rl_nodes.errors import InputError

Array = NDArray[np.float64]

HANDOVER_S = 1.0  # that the filter may take to be ours
OPEN_S = 1.0  # that the gripper may take to open
ENOUGH = 0.5  # of the way: at the edge of its workspace the filter shortens it
REST_S = 0.3  # of standing still before command is given back
LEFT = 1e-4  # m of the way that are not worth another motion


class RetreatRun:
    """One retreat, advanced by one tick a control period until ``over``.

    The filter goes on from the motion that there is when the source changes, so a moving robot
    is taken over without a jump; the way back begins from nothing and ends in nothing. While the
    episode is paused, or the enabling switch not held, it waits; then what is left of the way
    begins from nothing again.

    Args:
        kit: the robot and its contract.
    """

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._steps: Steps[None] | None = None
        self._waited = False  # at the last action
        self.over = False
        self.reason = ""  # why it failed; empty where it did not

    @property
    def done(self) -> bool:
        """Whether it was carried out."""
        return self.over and not self.reason

    def cancel(self) -> bool:
        """Gives up; False when it is over already."""
        if self.over:
            return False
        self.over, self.reason = True, "cancelled"
        return True

    def give_up(self, reason: str) -> None:
        """Ends it as failed."""
        self.over, self.reason = True, reason

    def tick(self, seen: Seen) -> Orders:
        """Advances by one control period."""
        if self.over:
            return IDLE
        try:
            if self._steps is None:
                self._steps = self._retreat(seen)
                return next(self._steps)
            return self._steps.send(seen)
        except StopIteration:
            self.over = True
        except (AttemptFailed, InputError) as error:
            self.over, self.reason = True, " ".join(str(error).split())
        return IDLE

    def _retreat(self, seen: Seen) -> Steps[None]:
        kit, settings = self._kit, self._kit.settings
        began = seen.time_s
        while seen.filter is None or not seen.filter.ours:
            if seen.time_s - began > HANDOVER_S:
                state = "silent" if seen.filter is None else seen.filter.state
                raise AttemptFailed(f"the safety filter does not hand over: it is {state}")
            seen = yield Orders(True)
        if seen.joints is None:
            raise AttemptFailed("the joint states are silent")
        actions = ToolActions(kit.robot, kit.tool, kit.contract, seen.joints)
        outward = actions.outward
        before = kit.tool.fk(seen.joints).position
        wide = None if kit.robot.gripper is None else kit.robot.gripper.width_max
        still, began = np.zeros(3), seen.time_s
        while wide is not None and seen.width is not None and seen.time_s - began < OPEN_S:
            if seen.width > wide - settings.width_tolerance:
                break
            seen = yield from self._sent(actions, still, wide)
            began = seen.time_s if self._waited else began
        left = settings.retreat_m
        while left > LEFT:
            for share in shares(left, settings.retreat_speed, kit.period_s):
                seen = yield from self._sent(actions, share * outward, wide)
                if self._waited:
                    break
                left -= float(share)
            else:
                break
        for _ in range(max(round(REST_S / kit.period_s), 1)):
            seen = yield from self._sent(actions, still, wide)
        if seen.joints is None:
            raise AttemptFailed("the joint states are silent")
        way = float((kit.tool.fk(seen.joints).position - before) @ outward)
        if way < ENOUGH * settings.retreat_m:
            raise AttemptFailed(f"the tool went back by {way:.3f} m of {settings.retreat_m:.3f} m")

    def _sent(self, actions: ToolActions, displacement: Array, width: float | None) -> Steps[Seen]:
        seen = yield Orders(True, action=actions.action(displacement, width))
        self._waited = waits(seen)
        while waits(seen):  # without a command: none is left over when it goes on
            seen = yield Orders(True)
        if seen.filter is None or not seen.filter.ours:
            state = "silent" if seen.filter is None else seen.filter.state
            raise AttemptFailed(f"the safety filter took command away: it is {state}")
        return seen
