"""operator_page: one local web page that shows the robot and lets a person command it."""

from __future__ import annotations

import sys
import time
from typing import Any

import rclpy
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import Joy
from std_msgs.msg import Bool

from vla_rl_nodes.contract.load import load_contract, named_file
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.event import time_message
from vla_rl_nodes.nodes.lean_node import LeanNode
from vla_rl_nodes.nodes.operator_services import OperatorServices
from vla_rl_nodes.nodes.operator_topics import OperatorTopics
from vla_rl_nodes.nodes.qos import STREAM
from vla_rl_nodes.nodes.spin import spin
from vla_rl_nodes.operator.answer import Answer
from vla_rl_nodes.operator.board import Board
from vla_rl_nodes.operator.camera_pictures import Raw
from vla_rl_nodes.operator.jog import Sticks, sticks_for
from vla_rl_nodes.operator.page_server import PageServer
from vla_rl_nodes.operator.page_settings import load_page_settings
from vla_rl_nodes.operator.server_thread import ServerThread

FRAME = "operator_page"
_LOOK_S = 0.2


class OperatorPage(LeanNode):
    """Serves the page from a thread of its own; the executor's callbacks only store.

    While somebody is in control ``operator/joy`` comes 20 times a second: axes 0 to 5 are shares
    of full speed along and about x, y and z, button 0 is the gripper's key; it is silent where
    whoever holds a key is lost. The emergency stop is published in the server's thread, before
    anything else, on ``operator/e_stop``: this node cannot take back what another button said.
    """

    def __init__(self) -> None:
        super().__init__("operator_page")
        self._contract = load_contract(
            parameters.text(self, "contract", "franka_pick", "Contract name or path.")
        )
        settings = load_page_settings(
            named_file(
                "operator",
                parameters.text(
                    self, "settings", "page", "Settings of the page: name or path of their file."
                ),
            )
        )
        self.failed = False
        self._fault = ""
        self._complaints = Complaints(self.get_logger())
        self._board = Board(self._contract.action.names, self._contract.policy_hz)
        self._e_stop = self.create_publisher(Bool, "operator/e_stop", STREAM)
        self._joy = self.create_publisher(Joy, "operator/joy", STREAM)
        self._service_calls = OperatorServices(self, self._board.newest)
        self._topics = OperatorTopics(
            self, self._contract, self._board, settings.pictures, self._complaints
        )
        self._thread = ServerThread(PageServer(settings, self), self._server_failed)
        self.create_timer(_LOOK_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        address = self._thread.start()
        self.get_logger().info(f"the operator's page is at {address}")
        if settings.token_file is not None and settings.tls is None:
            self.get_logger().warning(
                "the page's token goes over the network in the clear; give tls in page.yaml"
            )

    def close(self) -> None:
        """Ends the server."""
        self._thread.close()

    def _server_failed(self, line: str) -> None:
        self._fault = line

    def _look(self) -> None:
        if self._fault:
            # A page that shows nothing must not look alive.
            self.failed = True
            self.get_logger().fatal(self._fault)
            rclpy.try_shutdown(context=self.context)

    # --- what the server needs of the robot, in the server's thread

    def about(self) -> dict[str, Any]:
        """See :class:`vla_rl_nodes.operator.robot_side.RobotSide`, as for all below."""
        contract = self._contract
        axes = [
            {
                "name": axis.name, "unit": axis.unit, "minimum": axis.minimum,
                "maximum": axis.maximum,
            }
            for axis in contract.action.axes
        ]  # fmt: skip
        return {
            "robot": contract.robot,
            "namespace": self.get_namespace().strip("/"),
            "contract": contract.name,
            "task": contract.task,
            "policy_hz": contract.policy_hz,
            "axes": axes,
            "sticks": sticks_for(contract.action.names),
            "gripper": contract.action.has_gripper,
            "cameras": [stream.key for stream in self._topics.cameras],
        }

    def snapshot(self, unheard_e_stop: bool) -> dict[str, Any]:
        """What the page shows."""
        return self._board.snapshot(time.monotonic(), self.clock_ns(), unheard_e_stop)

    def trace(self, number: int) -> tuple[list[list[Any]], int]:
        """The control ticks after one."""
        return self._board.trace(number, self.clock_ns())

    def plan(self) -> dict[str, Any] | None:
        """The newest chunk of the policy."""
        return self._board.newest_plan

    def picture(self, camera: int, known: int) -> Raw | None:
        """The newest picture of a camera."""
        return self._topics.picture(camera, known)

    def clock_ns(self) -> int:
        """Now."""
        return int(self.get_clock().now().nanoseconds)

    async def call(self, name: str, limit_s: float | None) -> Answer:
        """Calls the service of a command."""
        return await self._service_calls.call(name, limit_s)

    async def set_operator(self, name: str) -> Answer:
        """Tells the episodes who is responsible."""
        return await self._service_calls.set_operator(name)

    def e_stop(self, pressed: bool) -> None:
        """Publishes the emergency stop."""
        self._say(self._e_stop, Bool(data=pressed))

    def joy(self, sticks: Sticks) -> None:
        """Publishes what is held."""
        message = Joy(axes=list(sticks.axes), buttons=[int(sticks.gripper)])
        message.header.stamp = time_message(self.clock_ns())
        message.header.frame_id = FRAME
        self._say(self._joy, message)

    def log(self, line: str) -> None:
        """One line for the log."""
        self.get_logger().warning(line)

    def complain(self, line: str) -> None:
        """One line of which there may be many."""
        self._complaints.say(line, kind=line.partition(" from ")[0])

    def _say(self, publisher: Any, message: Any) -> None:
        """Publishes, as long as there is anything to publish with.

        On a signal rclpy ends its context before this node can end its server; what it raises
        then, RCLError, is no part of its public names.
        """
        try:
            publisher.publish(message)
        except Exception:
            if self.context.ok():
                raise


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return spin(OperatorPage, args)


if __name__ == "__main__":
    sys.exit(main())
