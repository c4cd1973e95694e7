"""intervention: a person takes the robot over with a device, and gives it back."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.intervention.edges import Edge, Edges
from vla_rl_nodes.intervention.make import load_devices, make_moves, named
from vla_rl_nodes.intervention.reference import ReferenceReader
from vla_rl_nodes.intervention.session import Session
from vla_rl_nodes.intervention.ticks import Ticks
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.nodes.clocks import instant
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.episode_state import EpisodeState
from vla_rl_nodes.nodes.event import from_message
from vla_rl_nodes.nodes.intervention_devices import DeviceTopics
from vla_rl_nodes.nodes.intervention_filter import FilterSays
from vla_rl_nodes.nodes.intervention_reports import InterventionReports
from vla_rl_nodes.nodes.lean_node import LeanNode
from vla_rl_nodes.nodes.qos import COMMAND_OFFERED, STREAM
from vla_rl_nodes.nodes.spin import end_after_failed_tick, spin
from vla_rl_nodes.nodes.tick import TickThread
from vla_rl_nodes.nodes.vector import vector_message
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.state import Instant

LOOKS = 5  # in a control period: how fine the node's own clock is
CHECK_S = 0.1


class Intervention(LeanNode):
    """Commands in the policy's place while a person has the robot.

    A device that engages is told to the filter at once. From the filter's answer on, every tick
    of the policy gets the person's action with the same stamp; without a policy the node ticks
    by itself. Only the filter arms: where it takes no commands, none are sent.
    """

    def __init__(self) -> None:
        super().__init__("intervention")
        contract = load_contract(
            parameters.text(self, "contract", "franka_pick", "Contract name or path.")
        )
        names = parameters.text(
            self, "devices", "spacemouse", "Devices, names or paths, between commas."
        )
        default = parameters.text(
            self, "default_device", "",
            "The device that intervention/take_over engages; empty: the first of devices.",
        )  # fmt: skip
        self.failed = False
        self._complaints = Complaints(self.get_logger())
        robot = load_robot(contract.robot)
        moves = make_moves(contract, robot)
        devices = load_devices(names, contract, robot)
        self._session = Session(contract, moves, devices, named(devices, default))
        self._ticks, self._edges = Ticks(contract.period_ns), Edges()
        self._axes, self._frame = contract.action.names, contract.action.frame
        self._period_ns = contract.period_ns
        self._lock = threading.Lock()
        self._active = self._abort_asked = False
        self._active_at = Instant(0, 0)  # when intervention/active last went out
        self._sent_ns = 0  # when a command last went out, steady clock
        self._command = self.create_publisher(JointState, "intervention/command", COMMAND_OFFERED)
        self._tells_active = self.create_publisher(Bool, "intervention/active", STREAM)
        self._reports = InterventionReports(self, devices, self._session, self._edges)
        self._episode = EpisodeState(self, self._complaints)
        self._abort = self.create_client(Trigger, "episode/abort")
        self._filter = FilterSays(
            self, ReferenceReader(contract, robot), self._lock, self._ticks.begin,
            self._others_act, self._complaints,
        )  # fmt: skip
        self.create_subscription(DiagnosticArray, "policy/status", self._hear_policy, STREAM)
        self._topics = DeviceTopics(self, devices, self._hear_device, self._complaints)
        for name, order in (("take_over", self._take_over), ("release", self._release)):
            self.create_service(Trigger, f"intervention/{name}", partial(self._serve, order))
        self.create_timer(CHECK_S, self._check)
        self._ticker = TickThread(
            contract.period_ns // LOOKS, self._tick, partial(end_after_failed_tick, self)
        )
        self._ticker.start()

    def close(self) -> None:
        """Stops ticking. Who is in command stays so: the filter stops the robot, and holds it."""
        self._ticker.stop()

    # --- what comes in

    def _hear_device(self, take: Callable[[Any, Instant], str], message: Any) -> str:
        with self._lock:
            now = instant(self)
            wrong = take(message, now)
            self._look(now)
        return wrong

    def _others_act(self, stamp_ns: int) -> None:
        self._told(instant(self), self._edges.others(stamp_ns))

    def _hear_policy(self, message: DiagnosticArray) -> None:
        event = from_message(message, "policy/status", self._complaints)
        if event is None:
            return
        with self._lock:
            now = instant(self)
            if not self._ticks.policy(event.stamp_ns, now) or not self._send(event.stamp_ns, now):
                return
            if event.values.get("episode_id") == self._episode.running_id:
                self._told(now, self._edges.commanded(event.stamp_ns))

    # --- what goes out

    def _tick(self, lateness_ns: int) -> None:
        with self._lock:
            now = instant(self)
            self._look(now)
            if self._active and self._filter.listens(now):
                stamp = self._ticks.own(now)
                if stamp is not None:
                    self._send(stamp, now)

    def _look(self, now: Instant) -> None:
        """Follows devices and episode, and says what has changed."""
        running_id = self._episode.running_id
        self._told(now, self._edges.episode(running_id))
        if running_id is None:
            self._session.episode_over()
        # What it said before it was told of this person does not count.
        listens = self._active and self._filter.listens(now)
        self._session.look(now, self._filter.reference(now), listens, self._filter.waits)
        if self._session.in_command:
            if not self._active:
                self._filter.ask_anew(now)
                self._reports.used(now)
            if not self._active or now.steady_ns - self._active_at.steady_ns >= self._period_ns:
                self._tell_active(True, now)
        # The filter must have taken the last command before it hears that there are no more.
        elif self._active and now.steady_ns - self._sent_ns >= self._period_ns // 2:
            self._tell_active(False, now)
        self._reports.tell(now, running_id or "")

    def _tell_active(self, active: bool, now: Instant) -> None:
        self._active, self._active_at = active, now
        self._tells_active.publish(Bool(data=active))

    def _told(self, now: Instant, edge: Edge | None) -> None:
        if edge is not None:
            self._reports.tell(now, edge.episode_id, edge)

    def _send(self, stamp_ns: int, now: Instant) -> bool:
        """Commands the tick ``stamp_ns``; whether there was anything to command."""
        if not self._active or not self._filter.listens(now):
            return False
        values = self._session.command(self._filter.reference(now))
        if values is None:
            return False
        self._command.publish(vector_message(stamp_ns, self._axes, values, self._frame))
        self._sent_ns = now.steady_ns
        self._reports.used(now)
        return True

    # --- orders

    def _serve(
        self, order: Callable[[Instant], str], request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        try:
            with self._lock:
                now = instant(self)
                response.message = order(now)
                self._look(now)
            response.success = True
        except InputError as error:
            response.success, response.message = False, str(error)
        self.get_logger().info(response.message)
        return response

    def _take_over(self, now: Instant) -> str:
        self._session.take_over(now)
        return "the robot is held for you; move it, then intervention/release"

    def _release(self, now: Instant) -> str:
        self._session.release()
        if not self._active:  # the filter may still wait for one that has died
            self._tell_active(False, now)
        return "given back"

    def _check(self) -> None:
        """What needs no hurry: the devices' types, and an abort that a lost device asks for."""
        self._topics.look()
        with self._lock:
            lost = self._session.owner if self._session.abort else None
            reason = self._session.reason
        if lost is None:
            self._abort_asked = False
        elif not self._abort_asked and self._abort.service_is_ready():
            self._abort_asked = True
            self.get_logger().error(f"{lost.name}: {reason}; aborts the episode")
            self._abort.call_async(Trigger.Request())


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return spin(Intervention, args, realtime_priority=10)


if __name__ == "__main__":
    sys.exit(main())
