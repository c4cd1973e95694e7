"""What the safety filter says to a person's side: where the robot was sent, who is in command."""

from __future__ import annotations

import threading
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import JointState

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.intervention.reference import TOPIC, Reference, ReferenceReader
from vla_rl_nodes.nodes.clocks import instant
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.event import from_message
from vla_rl_nodes.nodes.qos import STREAM
from vla_rl_nodes.safety.state import Instant, Source

WAITING = frozenset(("paused", "deadman"))  # its reasons to take no commands for a while
FRESH_NS = 500_000_000  # what it has said counts for so long; it says both 20 times a second


class FilterSays:
    """Follows ``safety/reference`` and ``safety/status``.

    Args:
        node: owns the subscriptions.
        reader: of the contract's reference.
        lock: held whenever what was heard is changed, and by whoever asks.
        turned: called under the lock with the filter's time when it turns to the person.
        others: called under the lock with the stamp of an executed action of somebody else.
        complaints: gets one line for each kind of bad message.
    """

    def __init__(
        self,
        node: Node,
        reader: ReferenceReader,
        lock: threading.Lock,
        turned: Callable[[int], None],
        others: Callable[[int], None],
        complaints: Complaints,
    ) -> None:
        self._node, self._reader, self._lock = node, reader, lock
        self._turned, self._others, self._complaints = turned, others, complaints
        self._reference: tuple[int, Reference] | None = None  # when it came, steady clock
        self._ours_ns: int | None = None  # when it last said that a person commands
        self._since_ns = 0  # what it said of earlier times does not count
        self._waits = False
        node.create_subscription(JointState, TOPIC, self._hear_reference, STREAM)
        node.create_subscription(DiagnosticArray, "safety/status", self._hear_status, STREAM)

    def ask_anew(self, now: Instant) -> None:
        """A person takes over now: only what the filter says from here on tells that it knows."""
        self._ours_ns, self._since_ns = None, now.ros_ns

    def listens(self, now: Instant) -> bool:
        """Whether it takes a person's commands, for all that it has said."""
        return self._ours_ns is not None and now.steady_ns - self._ours_ns < FRESH_NS

    @property
    def waits(self) -> bool:
        """Whether it said last that it takes no commands for the time being."""
        return self._waits

    def reference(self, now: Instant) -> Reference | None:
        """Where the robot was sent; None while it commands nothing."""
        if self._reference is None or now.steady_ns - self._reference[0] > FRESH_NS:
            return None
        return self._reference[1]

    def _hear_reference(self, message: JointState) -> None:
        try:
            reference = self._reader.read(message)
        except InputError as error:
            self._complaints.say(error)
            return
        with self._lock:
            self._reference = (instant(self._node).steady_ns, reference)

    def _hear_status(self, message: DiagnosticArray) -> None:
        event = from_message(message, "safety/status", self._complaints)
        if event is None:
            return
        executed = event.values.get("command_stamp", "")
        reasons = event.values.get("reasons", "").split(",")
        with self._lock:
            self._waits = not WAITING.isdisjoint(reasons)
            if event.values.get("source") != Source.INTERVENTION:
                self._ours_ns = None
                if executed.isdecimal():
                    self._others(int(executed))
            elif event.stamp_ns >= self._since_ns:
                if self._ours_ns is None:
                    self._turned(event.stamp_ns)
                self._ours_ns = instant(self._node).steady_ns
