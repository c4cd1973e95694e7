"""The robot's state to every viewer, ten times a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from typing import Any

from vla_rl_nodes.operator.desk import Desk
from vla_rl_nodes.operator.robot_side import RobotSide
from vla_rl_nodes.operator.viewer import Viewer

HZ = 10.0


class StateFeed:
    """Makes one snapshot for all; a viewer that does not keep up is left out.

    Args:
        robot: whose state.
        desk: who is in control.
    """

    def __init__(self, robot: RobotSide, desk: Desk) -> None:
        self._robot, self._desk = robot, desk
        self.viewers: dict[int, Viewer] = {}

    async def run(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            if self.viewers:
                self._show(self.viewers.values())
            due = max(due + 1.0 / HZ, loop.time())
            await asyncio.sleep(due - loop.time())

    def _show(self, viewers: Collection[Viewer]) -> None:
        button, lease = self._desk.button, self._desk.lease
        now_s = time.monotonic()
        shared: dict[str, Any] = self._robot.snapshot(button.should_be_heard(now_s))
        shared["pressed"] = button.pressed
        plan = self._robot.plan()
        for viewer in viewers:
            if not viewer.stays():
                self._desk.gone(viewer.number)
                viewer.socket.session_over()
                continue
            if viewer.stuck:
                viewer.socket.drop()
                continue
            if not viewer.ready:
                viewer.skipped += 1
                continue
            rows, viewer.trace_number = self._robot.trace(viewer.trace_number)
            control = {
                "name": lease.name, "mine": lease.holder == viewer.number,
                "resettable": button.resettable(viewer.number, now_s),
                "viewers": len(viewers), "skipped": viewer.skipped,
            }  # fmt: skip
            state = {**shared, "control": control, "trace": rows}
            if plan is not None and plan["at_ms"] != viewer.plan_ms:
                viewer.plan_ms, state["plan"] = plan["at_ms"], plan
            viewer.show(state)
