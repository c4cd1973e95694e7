"""The services that the operator's page calls, awaited in the loop of its server."""

from __future__ import annotations

import asyncio
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.task import Future
from std_srvs.srv import Trigger

from vla_rl_nodes.operator.answer import Answer
from vla_rl_nodes.operator.command_table import COMMANDS
from vla_rl_nodes.operator.said import shortened

EPISODE_S = 2.0  # for its parameter


class OperatorServices:
    """Calls services from another thread than the executor's.

    Args:
        node: owns the clients; its executor takes the answers.
    """

    def __init__(self, node: Node) -> None:
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
            response = await _result(future, limit_s)
        except TimeoutError:
            return Answer(
                False,
                f"{command.service}: no answer within {limit_s:g} s; read the log of"
                f" {command.node}",
            )
        finally:
            client.remove_pending_request(future)
        said = shortened(response.message) or ("done" if response.success else "refused")
        return Answer(bool(response.success), said)

    async def set_operator(self, name: str) -> Answer:
        """Sets the episode node's parameter ``operator``."""
        place = "episode: parameter operator"
        if not self._parameters.services_are_ready():
            return Answer(False, f"{place}: the node episode is not there")
        future = self._parameters.set_parameters([Parameter("operator", value=name)])
        try:
            result = (await _result(future, EPISODE_S)).results[0]
        except TimeoutError:
            return Answer(False, f"{place}: no answer within {EPISODE_S:g} s")
        if not result.successful:
            return Answer(False, f"{place}: {shortened(result.reason) or 'refused'}")
        return Answer(True, "")


async def _result(future: Future, limit_s: float | None) -> Any:
    """What a future of rclpy gives, which its executor completes in another thread.

    Raises:
        TimeoutError: nothing in time.
    """
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def tell(_: Future) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(done.set)

    future.add_done_callback(tell)
    async with asyncio.timeout(limit_s):
        await done.wait()
    return future.result()
