"""The services that the operator's page calls, awaited in the loop of its server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.task import Future
from std_srvs.srv import Trigger

from vla_rl_nodes.operator.answer import Answer
from vla_rl_nodes.operator.command_table import COMMANDS, Command
from vla_rl_nodes.operator.said import Said, shortened
from vla_rl_nodes.operator.slow_command import LOOK_S, SlowCommand

EPISODE_S = 2.0  # for its parameter


class OperatorServices:
    """Calls services from another thread than the executor's.

    Args:
        node: owns the clients; its executor takes the answers.
        newest: gives the last event of a topic; from any thread.
    """

    def __init__(self, node: Node, newest: Callable[[str], Said | None]) -> None:
        self._newest = newest
        self._clients = {
            name: node.create_client(Trigger, command.service)
            for name, command in COMMANDS.items()
        }
        self._parameters = AsyncParameterClient(node, "episode")

    async def call(self, name: str, limit_s: float | None) -> Answer:
        """Calls the service of a command; see ``RobotSide.call``."""
        command, client = COMMANDS[name], self._clients[name]
        if not client.service_is_ready():
            return Answer(
                False, f"{command.service}: nobody offers it; start the node {command.node}"
            )
        future = client.call_async(Trigger.Request())
        try:
            if limit_s is None:
                response = await self._slow(command, client, _Answered(future))
            else:
                response = await _Answered(future).within(limit_s)
        except TimeoutError as error:
            why = str(error) or f"no answer within {limit_s:g} s"
            return Answer(False, f"{command.service}: {why}; read the log of {command.node}")
        finally:
            client.remove_pending_request(future)
        said = shortened(response.message) or ("done" if response.success else "refused")
        return Answer(bool(response.success), said)

    async def _slow(self, command: Command, client: Any, answered: _Answered) -> Any:
        """Waits for as long as what was asked for goes on.

        Raises:
            TimeoutError: no answer will come.
        """
        watch = SlowCommand(time.monotonic())
        while True:
            with suppress(TimeoutError):
                return await answered.within(LOOK_S)
            lost = watch.lost(
                time.monotonic(), client.service_is_ready(), self._newest(command.status)
            )
            if lost:
                raise TimeoutError(lost)

    async def set_operator(self, name: str) -> Answer:
        """Sets the episode node's parameter ``operator``."""
        place = "episode: parameter operator"
        if not self._parameters.services_are_ready():
            return Answer(False, f"{place}: the node episode is not there")
        future = self._parameters.set_parameters([Parameter("operator", value=name)])
        try:
            result = (await _Answered(future).within(EPISODE_S)).results[0]
        except TimeoutError:
            return Answer(False, f"{place}: no answer within {EPISODE_S:g} s")
        if not result.successful:
            return Answer(False, f"{place}: {shortened(result.reason) or 'refused'}")
        return Answer(True, "")


class _Answered:
    """What a future of rclpy gives, which its executor completes in another thread."""

    def __init__(self, future: Future) -> None:
        self._future, self._done = future, asyncio.Event()
        self._loop = asyncio.get_running_loop()
        future.add_done_callback(self._tell)

    async def within(self, limit_s: float) -> Any:
        """Its result.

        Raises:
            TimeoutError: nothing in time.
        """
        async with asyncio.timeout(limit_s):
            await self._done.wait()
        return self._future.result()

    def _tell(self, _: Future) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._done.set)
