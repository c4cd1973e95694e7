"""What viewers do: the one place where a browser's message becomes something of the robot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from vla_rl_nodes.operator.answer import Answer
from vla_rl_nodes.operator.client_messages import (
    Do,
    EStop,
    Give,
    Jog,
    Message,
    ReleaseEStop,
    Take,
)
from vla_rl_nodes.operator.command_table import COMMANDS, RESET_E_STOP
from vla_rl_nodes.operator.e_stop_button import EStopButton
from vla_rl_nodes.operator.jog import HZ
from vla_rl_nodes.operator.jog import Jog as Joystick
from vla_rl_nodes.operator.lease import Lease
from vla_rl_nodes.operator.robot_side import RobotSide

Reply = Callable[[int, str, Answer], None]


class Desk:
    """Control, buttons, joystick and emergency stop of one robot, for all viewers together.

    Everything runs in the server's loop. Nothing that takes long is waited for here: answers go
    out when they come.

    Args:
        robot: what is commanded.
        answer_s: how long a service may take to answer.
    """

    def __init__(self, robot: RobotSide, answer_s: float) -> None:
        self._robot, self._answer_s = robot, answer_s
        self.lease = Lease()
        self.button = EStopButton()
        self._joystick = Joystick()
        self._under_way: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._repeating: asyncio.Task[None] | None = None

    def handle(self, viewer: int, message: Message, reply: Reply) -> None:
        """Does what a viewer asks, and answers when it is done."""
        match message:
            case EStop():
                reply(message.n, "e_stop", self.press(f"viewer {viewer}"))
            case Jog():
                self._jog(viewer, message)
            case Take():
                self._take(viewer, message, reply)
            case Give():
                given = self.gone(viewer)
                text = "you are no longer in control" if given else "you were not in control"
                reply(message.n, "give", Answer(given, text))
            case ReleaseEStop():
                reply(message.n, "release_e_stop", self._release(viewer))
            case Do():
                self._do(viewer, message, reply)
            case _:
                pass  # what is only about the display

    def press(self, who: str) -> Answer:
        """The emergency stop, for anybody who may look: published before anything else is done.

        The log tells when it came, on the nodes' clock.
        """
        arrival_ns = self._robot.clock_ns()
        self._robot.e_stop(True)
        self.button.press(time.monotonic())
        self._repeat()
        self._robot.log(f"emergency stop from the page, by {who}, at {arrival_ns}")
        return Answer(True, "emergency stop sent")

    def gone(self, viewer: int) -> bool:
        """A viewer has left, or gives control up; whether it had it."""
        if not self.lease.give(viewer):
            return False
        self._joystick.lose()
        self._say_joy()
        return True

    async def run(self) -> None:
        """Says at a steady rate what is held, until it is cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self._say_joy()
            due = max(due + 1.0 / HZ, loop.time())
            await asyncio.sleep(due - loop.time())

    async def close(self) -> None:
        """Ends what is under way; the emergency stop stays as it is."""
        self._joystick.lose()
        self._say_joy()
        running = [*self._tasks, *([self._repeating] if self._repeating else [])]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _take(self, viewer: int, message: Take, reply: Reply) -> None:
        before = self.lease.holder
        answer = self.lease.take(viewer, message.name, message.over)
        if answer.ok and before != viewer:
            self._joystick.begin(time.monotonic())
            self._say_joy()
        if not answer.ok:
            reply(message.n, "take", answer)
            return

        async def tell() -> None:
            told = await self._robot.set_operator(message.name)
            text = answer.text if told.ok else f"{answer.text}; {told.text}"
            reply(message.n, "take", Answer(True, text))

        self._start(tell())

    def _release(self, viewer: int) -> Answer:
        refused = self.lease.refusal(viewer)
        if refused is not None:
            return refused
        answer = self.button.release(viewer, time.monotonic())
        self._robot.e_stop(False)
        self._repeat()
        return answer

    def _do(self, viewer: int, message: Do, reply: Reply) -> None:
        what = message.what
        command = COMMANDS.get(what)
        if command is None:
            reply(message.n, "", Answer(False, "there is no such command"))
            return
        refused = self.lease.refusal(viewer)
        if refused is None and what == RESET_E_STOP:
            refused = self.button.may_reset(viewer, time.monotonic())
        if refused is None and what in self._under_way:
            refused = Answer(False, f"{command.service} has not answered yet")
        if refused is not None:
            reply(message.n, what, refused)
            return
        self._under_way.add(what)

        async def call() -> None:
            try:
                limit_s = None if command.status else self._answer_s
                reply(message.n, what, await self._robot.call(what, limit_s))
            finally:
                self._under_way.discard(what)

        self._start(call())

    def _jog(self, viewer: int, message: Jog) -> None:
        if self.lease.holder != viewer:
            return  # the page shows who is in control
        held = self._joystick.held
        taken = self._joystick.hear(
            message.axes, message.gripper, message.at_ms / 1e3, time.monotonic()
        )
        if taken and held != self._joystick.held:
            self._say_joy()  # a press and a release do not wait for the next tick

    def _say_joy(self) -> None:
        sticks = self._joystick.due(time.monotonic(), self.lease.holder is not None)
        if sticks is not None:
            self._robot.joy(sticks)

    def _repeat(self) -> None:
        if self._repeating is None or self._repeating.done():
            self._repeating = asyncio.get_running_loop().create_task(self._say_e_stop())

    async def _say_e_stop(self) -> None:
        while (wait_s := self.button.wait_s()) is not None:
            await asyncio.sleep(wait_s)
            self._robot.e_stop(self.button.pressed)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
