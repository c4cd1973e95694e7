"""The simulator as the reset node uses it: parameters of sim_robot, then its ``sim/reset``."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable
from typing import Any

from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.task import Future
from std_srvs.srv import Trigger

from vla_rl_nodes.episodes.reset.sources import RecordedStart

SIMULATOR = "sim_robot"


class Answer:
    """A result that callbacks of the executor's thread give: empty, or why it was not done."""

    def __init__(self) -> None:
        self._given = threading.Event()
        self._words = ""

    def give(self, words: str) -> None:
        """The result, once."""
        if not self._given.is_set():
            self._words = words
            self._given.set()

    def done(self) -> bool:
        """Whether it is there."""
        return self._given.is_set()

    def result(self) -> str:
        """It."""
        return self._words


class SimulatorClient:
    """Sets ``seed`` or ``start_state`` of the simulated robot, then calls ``sim/reset``.

    Args:
        node: owns the clients.
        names: the names of ``sim/state`` in their order; empty where none was heard.
    """

    def __init__(self, node: Node, names: Callable[[], tuple[str, ...]]) -> None:
        self._names = names
        self._reset = node.create_client(Trigger, "sim/reset")
        self._set = node.create_client(SetParameters, f"{SIMULATOR}/set_parameters")

    @property
    def present(self) -> bool:
        """Whether a simulated robot offers its services."""
        return bool(self._reset.service_is_ready() and self._set.service_is_ready())

    def reset(self, seed: int) -> Answer:
        """See :class:`~vla_rl_nodes.episodes.reset.sources.Simulator`."""
        return self._put([Parameter("seed", value=seed)])

    def restore(self, start: RecordedStart) -> Answer:
        """See :class:`~vla_rl_nodes.episodes.reset.sources.Simulator`."""
        names = self._names()
        missing = [name for name in names if name not in start.state]
        if not names or missing or len(names) != len(start.state):
            answer = Answer()
            answer.give(
                "sim/state is silent" if not names
                else "the recorded start is of another robot or scene"
            )  # fmt: skip
            return answer
        values = array("d", [start.state[name] for name in names])
        return self._put([Parameter("start_state", value=values)])

    def _put(self, parameters: list[Any]) -> Answer:
        answer = Answer()
        request = SetParameters.Request(
            parameters=[parameter.to_parameter_msg() for parameter in parameters]
        )

        def were_set(future: Future) -> None:
            results = [] if future.result() is None else future.result().results
            refused = [result.reason for result in results if not result.successful]
            if not results or refused:
                answer.give(refused[0] if refused else "it gave no answer")
                return
            self._reset.call_async(Trigger.Request()).add_done_callback(was_reset)

        def was_reset(future: Future) -> None:
            result = future.result()
            if result is None or not result.success:
                answer.give("it gave no answer" if result is None else result.message)
                return
            answer.give("")

        self._set.call_async(request).add_done_callback(were_set)
        return answer
