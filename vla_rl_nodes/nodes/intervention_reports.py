"""What the intervention says about itself: who is in command, with what, and why."""

from __future__ import annotations

from collections.abc import Sequence

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import JointState

from vla_rl_nodes.intervention.device import Device
from vla_rl_nodes.intervention.edges import Edge, Edges
from vla_rl_nodes.intervention.reading import Reading
from vla_rl_nodes.intervention.session import Session, State
from vla_rl_nodes.nodes.event import ERROR, OK, WARN, Event, to_message
from vla_rl_nodes.nodes.qos import STREAM
from vla_rl_nodes.nodes.vector import vector_message
from vla_rl_nodes.safety.state import Instant

ALIVE_NS = 200_000_000  # intervention/status comes at least this often
LEVELS = {State.LOST: ERROR, State.MATCHING: WARN}


class InterventionReports:
    """Publishes ``intervention/status`` and ``intervention/device``.

    Args:
        node: owns the publishers.
        devices: all of them.
        session: whose state is told.
        edges: counts what is told.
    """

    def __init__(
        self, node: Node, devices: Sequence[Device], session: Session, edges: Edges
    ) -> None:
        self._devices, self._session, self._edges = devices, session, edges
        self._told: tuple[str, ...] = ()
        self._told_ns = 0
        self._used_ns: int | None = None
        self._latency_ms = ""
        self._status = node.create_publisher(DiagnosticArray, "intervention/status", STREAM)
        self._device = node.create_publisher(JointState, "intervention/device", STREAM)

    def used(self, now: Instant) -> None:
        """The owner's newest message is what is commanded now: publishes it, once."""
        owner = self._session.owner
        reading = None if owner is None else owner.reading
        if owner is None or reading is None or reading.stamp_ns == self._used_ns:
            return
        self._used_ns = reading.stamp_ns
        self._latency_ms = f"{(now.ros_ns - reading.stamp_ns) / 1e6:.3f}"
        buttons = {f"button_{i}": float(b) for i, b in enumerate(owner.buttons)}
        values = [*_as_used(owner, reading), *buttons.values()]
        names = [*owner.reader.names, *buttons]
        self._device.publish(vector_message(reading.stamp_ns, names, values, owner.name))

    def tell(self, now: Instant, episode_id: str, edge: Edge | None = None) -> None:
        """Publishes what is new, or due.

        Args:
            now: on both clocks.
            episode_id: of the running episode; empty when none runs.
            edge: a beginning or an end; the status then carries its tick's stamp.
        """
        session = self._session
        owner = session.owner
        told = (session.state.value, session.reason, "" if owner is None else owner.name,
                str(session.in_command), episode_id)  # fmt: skip
        due = now.steady_ns - self._told_ns >= ALIVE_NS
        if edge is None and told == self._told and not due:
            return
        self._told, self._told_ns = told, now.steady_ns
        far = [off for off in session.off if abs(off.error) > off.allowed]
        far.sort(key=lambda off: -abs(off.error) / off.allowed)
        values = {
            "device": "" if owner is None else owner.name,
            "reason": session.reason,
            "edge": "" if edge is None else edge.kind,
            "edges": str(self._edges.count),
            "in_command": "1" if session.in_command else "0",
            "matching_error": ", ".join(f"{off.name} {off.error:.3f}" for off in far),
            "latency_ms": self._latency_ms,
            "episode_id": episode_id if edge is None else edge.episode_id,
            "devices": ", ".join(f"{d.name}: {d.problem or 'ok'}" for d in self._devices),
        }
        level = LEVELS.get(session.state, OK)
        stamp = now.ros_ns if edge is None else edge.stamp_ns
        event = Event("intervention", session.state.value, values, values["device"], level, stamp)
        self._status.publish(to_message(event))


def _as_used(device: Device, reading: Reading) -> list[float]:
    motion = reading.motion if device.is_leader else device.motion
    opening = [] if reading.opening is None else [reading.opening]
    return [*(float(value) for value in motion), *opening]
