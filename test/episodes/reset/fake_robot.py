"""A robot without physics, behind a filter that follows every command at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vla_rl_nodes.episodes.reset.kit import Kit
from vla_rl_nodes.episodes.reset.retreat import RetreatRun
from vla_rl_nodes.episodes.reset.run import ResetRun
from vla_rl_nodes.episodes.reset.seen import FilterSeen, NamedState, Orders, Phase, Seen

UPRIGHT = (1.0, 0.0, 0.0, 0.0)
DEEP = 0.015  # m between the tool point and what it grasps


class FakeRobot:
    """Its state may be changed from outside; ``meddle`` is called after every tick's orders.

    The gripper goes at 0.1 m/s and stops at the cube; a cube that it closes on goes along.
    """

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.now = 100.0
        self.q = kit.robot.home.copy()
        self.width = 0.08
        self.command = 0.08
        self.state, self.source = "disarmed", ""
        self.reasons: set[str] = set()
        self.cube: list[float] | None = [0.50, 0.0, 0.02, *UPRIGHT]
        self.holding = False
        self.orders: list[Orders] = []
        self.phases: list[str] = []
        self.silent = False
        self.sticks: int | None = None  # a joint that does not move
        self.arms = True
        self.note, self.latched = "", False
        self.tells_opening = True
        self.meddle: Callable[[FakeRobot], None] = lambda robot: None
        self._speed = 0.0

    def look(self) -> Seen:
        state = None
        if self.cube is not None:
            names = [f"cube_{part}" for part in ("x", "y", "z", "qw", "qx", "qy", "qz")]
            state = NamedState(self.now, dict(zip(names, self.cube, strict=True)))
        said = FilterSeen(
            self.state, self.source, frozenset(self.reasons), self.note, self.latched
        )
        opening = self.command if self.tells_opening else None
        joints = None if self.silent else self.q.copy()
        return Seen(self.now, joints, self._speed, self.width, said, state, opening)

    def obey(self, orders: Orders) -> None:
        self.orders.append(orders)
        if orders.active and self.state == "disarmed" and self.arms:
            self.state, self.source = "armed", "reset"
        if not orders.active:
            self.state, self.source, self.reasons = "disarmed", "", set()
        before = self.q.copy()
        if self.state == "armed" and orders.joints is not None:
            self.q = orders.joints.copy()
            if self.sticks is not None:
                self.q[self.sticks] = before[self.sticks]
            if orders.width is not None:
                self.command = orders.width
        self._speed = float(np.abs(self.q - before).max()) / self.kit.period_s
        self._grip()
        self.now += self.kit.period_s
        self.meddle(self)

    def _grip(self) -> None:
        step = 0.1 * self.kit.period_s
        self.width += min(max(self.command - self.width, -step), step)
        if self.cube is None:
            return
        tool = self.kit.tool.fk(self.q).position
        between = bool(np.abs(np.array(self.cube[:3]) - tool).max() < DEEP)
        if (between or self.holding) and self.width <= 0.04 and self.command < 0.04:
            self.width, self.holding = 0.04, True
        if self.width > 0.045 or self.command >= self.width:  # nothing presses any more
            self.holding = False
        if self.holding:
            self.cube[:3] = tool.tolist()
        elif self.cube[2] > 0.02:
            self.cube[2] = 0.02

    def run(self, run: ResetRun | RetreatRun, limit_s: float = 120.0, until: str = "") -> None:
        """Ticks until it is over, or in a phase."""
        end = self.now + limit_s
        while not run.over and self.now < end:
            self.obey(run.tick(self.look()))
            if isinstance(run, ResetRun):
                self.phases.append(run.progress.phase.value)
                if until and run.progress.phase is Phase(until):
                    return
        if run.over:
            self.obey(run.tick(self.look()))
