"""A reset whose node dies is not waited for, also where another one takes its place."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import rclpy
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import Trigger

from vla_rl_nodes.nodes import operator_services
from vla_rl_nodes.nodes.operator_services import OperatorServices
from vla_rl_nodes.operator import slow_command
from vla_rl_nodes.operator.answer import Answer
from vla_rl_nodes.operator.said import Said

pytestmark = pytest.mark.graph

SILENT_S = 1.5


class Bed:
    """A page's clients, and a reset node that answers when it is told to."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.asked = 0
        self.busy = False
        self.ended = threading.Event()
        self.services = OperatorServices(node, self.newest)
        self.offer()

    def newest(self, topic: str) -> Said | None:
        assert topic == "reset/status"
        return Said("moving" if self.busy else "idle", at_s=time.monotonic())

    def offer(self) -> None:
        self.server = self.node.create_service(
            Trigger, "reset/request", self._serve, callback_group=ReentrantCallbackGroup()
        )

    def _serve(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.asked += 1
        self.ended.wait(60.0)
        response.success, response.message = True, "mode=start"
        return response

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20.0):
            while not condition():
                await asyncio.sleep(0.01)

    async def reset(self) -> asyncio.Task[Answer]:
        """A reset that was asked for."""
        await self.until(self.services._clients["reset"].service_is_ready)
        before = self.asked
        call = asyncio.create_task(self.services.call("reset", None))
        await self.until(lambda: self.asked > before)
        return call


@pytest.fixture
def bed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    monkeypatch.setattr(slow_command, "SILENT_S", SILENT_S)
    monkeypatch.setattr(operator_services, "LOOK_S", 0.2)
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("page", namespace="services_test", context=context)
    executor = MultiThreadedExecutor(4, context=context)
    executor.add_node(node)
    spinning = threading.Thread(target=executor.spin, daemon=True)
    made = Bed(node)
    spinning.start()
    yield made
    made.ended.set()
    executor.shutdown()
    spinning.join(10.0)
    node.destroy_node()
    rclpy.try_shutdown(context=context)


def test_it_takes_as_long_as_it_goes_on(bed: Bed) -> None:
    async def scenario() -> None:
        bed.busy = True
        call = await bed.reset()
        done, _ = await asyncio.wait([call], timeout=2.0 * SILENT_S)
        assert not done
        bed.ended.set()
        assert await asyncio.wait_for(call, 10.0) == Answer(True, "mode=start")

    asyncio.run(scenario())


def test_its_node_is_gone(bed: Bed) -> None:
    async def scenario() -> None:
        bed.busy = True
        call = await bed.reset()
        bed.node.destroy_service(bed.server)
        answer = await asyncio.wait_for(call, 20.0)
        assert answer == Answer(False, "reset/request: its node is gone; read the log of reset")

    asyncio.run(scenario())


def test_another_node_has_taken_its_place(bed: Bed) -> None:
    async def scenario() -> None:
        call = await bed.reset()  # it idles: it knows nothing of this
        answer = await asyncio.wait_for(call, 20.0)
        assert not answer.ok and "nothing of it was heard for" in answer.text
        again = await bed.reset()  # and can be asked anew
        bed.ended.set()
        assert (await asyncio.wait_for(again, 10.0)).ok

    asyncio.run(scenario())
