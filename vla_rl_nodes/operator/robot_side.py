"""What the page's server needs of the robot; a node gives it, and tests do."""

from __future__ import annotations

from typing import Any, Protocol

from vla_rl_nodes.operator.answer import Answer
from vla_rl_nodes.operator.camera_pictures import Raw
from vla_rl_nodes.operator.jog import Sticks


class RobotSide(Protocol):
    """Everything but pictures and complaints is called in the server's own thread and must return
    at once; those two from any thread."""

    def about(self) -> dict[str, Any]:
        """What never changes: names of robot, task, cameras, action axes with their bounds."""

    def snapshot(self, unheard_e_stop: bool) -> dict[str, Any]:
        """What the page shows; see :meth:`vla_rl_nodes.operator.board.Board.snapshot`."""

    def trace(self, number: int) -> tuple[list[list[Any]], int]:
        """The control ticks after one; see :meth:`vla_rl_nodes.operator.trace.Trace.since`."""

    def plan(self) -> dict[str, Any] | None:
        """The newest chunk of the policy."""

    def picture(self, camera: int, known: int) -> Raw | None:
        """The newest picture of a camera; None where it is the one that is known.

        Args:
            camera: which one.
            known: number of a picture.

        Raises:
            InputError: it is too large to be shown.
        """

    def clock_ns(self) -> int:
        """The nodes' clock."""

    async def call(self, name: str, limit_s: float | None) -> Answer:
        """Calls the service of a command; see :mod:`vla_rl_nodes.operator.command_table`.

        Args:
            name: of the command.
            limit_s: how long it may take; None: as long as it needs.
        """

    async def set_operator(self, name: str) -> Answer:
        """Tells the episodes who is responsible."""

    def e_stop(self, pressed: bool) -> None:
        """Publishes the emergency stop."""

    def joy(self, sticks: Sticks) -> None:
        """Publishes what is held."""

    def log(self, line: str) -> None:
        """One line for the log."""

    def complain(self, line: str) -> None:
        """One line of which there may be many; the log gets the first of its kind."""
