"""replay_bridge: closed episodes to the learner, and verified policies back."""

from __future__ import annotations

import sys
import time
from collections import deque
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.robot_link import LinkStatus, RobotLink
from vla_rl_nodes.link.robot_settings import RobotSettings, load_robot_settings
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.event import ERROR, OK, WARN, Event, from_message, to_message
from vla_rl_nodes.nodes.lean_node import LeanNode
from vla_rl_nodes.nodes.policy_offers import PolicyOffers
from vla_rl_nodes.nodes.qos import LATCHED
from vla_rl_nodes.nodes.spin import spin

_LOOK_S = 0.2


class ReplayBridge(LeanNode):
    """Runs the robot's side of the link on a thread of its own, with a low priority.

    The callbacks here only pass on what was heard: nothing of the graph waits for the link.
    """

    def __init__(self) -> None:
        super().__init__("replay_bridge")
        path = parameters.text(
            self, "settings", "", "File of the robot's side of the link; see config/link."
        )
        contract = parameters.text(
            self, "contract", "", "Contract name or path; empty: the one in the settings."
        )
        folder = parameters.text(
            self, "folder", "", "Folder of the recorder's bags; empty: the one in the settings."
        )
        status_s = parameters.number(
            self, "status_s", 1.0, 0.1, 60.0, "Seconds between two of replay_bridge/status."
        )
        if not path:
            raise InputError(
                "replay_bridge: parameter settings", "is empty",
                "give a file such as config/link/robot.yaml",
            )  # fmt: skip
        settings = load_robot_settings(Path(path).expanduser())
        self._settings = with_parameters(settings, contract, folder)
        self.failed = False
        self._complaints = Complaints(self.get_logger())
        self._fault = ""
        self._offered: deque[tuple[str, Path, bool]] = deque()
        self._link = RobotLink(self._settings, self._complaints, self._offer, self._failed)
        self._status = self.create_publisher(DiagnosticArray, "replay_bridge/status", LATCHED)
        self._offers = PolicyOffers(self, self._link.bundle_happened)
        self.create_subscription(DiagnosticArray, "recorder/status", self._recorded, LATCHED)
        self.create_subscription(DiagnosticArray, "policy/bundle", self._hear_policy, LATCHED)
        self.create_timer(_LOOK_S, self._look)
        self.create_timer(status_s, self._tell)
        self._link.start()
        self._tell()

    def close(self) -> None:
        """Breaks off what is in progress; the ledger knows where to go on."""
        self._link.close()

    def _recorded(self, message: DiagnosticArray) -> None:
        event = from_message(message, "recorder/status", self._complaints)
        if event is not None and event.message == "closed":
            self._link.wake()

    def _hear_policy(self, message: DiagnosticArray) -> None:
        event = from_message(message, "policy/bundle", self._complaints)
        if event is not None:
            self._offers.hear(event)

    def _offer(self, version: str, folder: Path, new: bool) -> None:
        """On the link's thread."""
        self._offered.append((version, folder, new))

    def _failed(self, line: str) -> None:
        """On the link's thread."""
        self._fault = line

    def _look(self) -> None:
        if self._fault:
            # A bridge that does nothing must not look alive.
            self.failed = True
            self.get_logger().fatal(self._fault)
            rclpy.try_shutdown(context=self.context)
            return
        while self._offered:
            version, folder, new = self._offered.popleft()
            if self._settings.bundles.take == "auto":
                self._offers.want(version, folder, new)
            elif new:
                self.get_logger().info(
                    f"bundle {version} is verified; to take it, set the policy node's parameter"
                    f" bundle to {folder}"
                )
                self._link.bundle_happened(version, "offered", "to a person", set())
        if self._settings.bundles.take == "auto":
            self._offers.look()

    def _tell(self) -> None:
        stamp = self.get_clock().now().nanoseconds
        self._status.publish(to_message(status_event(self._link.status, stamp)))


def with_parameters(settings: RobotSettings, contract: str, folder: str) -> RobotSettings:
    """The settings, with what the node's parameters say in their place."""
    bundles = settings.bundles
    return settings.model_copy(
        update={
            "bags": Path(folder).expanduser().absolute() if folder else settings.bags,
            "bundles": bundles.model_copy(update={"contract": contract or bundles.contract}),
        }
    )


def status_event(status: LinkStatus, stamp_ns: int) -> Event:
    """The event of ``replay_bridge/status``; ages are seconds, on the wall clock of the bags."""
    message = "full" if status.full else status.connection
    age_s = max(0.0, (time.time_ns() - status.oldest_ns) / 1e9) if status.oldest_ns else 0.0
    level = ERROR if status.full else WARN if status.connection == "down" or status.held else OK
    values = {
        "connection": status.connection,
        "full": "1" if status.full else "0",
        "queue": str(status.waiting),
        "queue_bytes": str(status.waiting_bytes),
        "held": str(status.held),
        "oldest_s": f"{age_s:.1f}",
        "bytes_per_s": f"{status.bytes_per_s:.0f}",
        "stored_here": str(status.stored),
        "stored_here_bytes": str(status.stored_bytes),
        "unfit": str(status.unfit),
        "last_error": status.last_error,
    }
    return Event("replay_bridge", message, values, "", level, stamp_ns)


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return spin(ReplayBridge, args)


if __name__ == "__main__":
    sys.exit(main())
