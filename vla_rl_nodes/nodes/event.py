"""Events as diagnostic_msgs/DiagnosticArray with one status: made, and read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from vla_rl_nodes.nodes.complaints import Complaints

OK = DiagnosticStatus.OK
WARN = DiagnosticStatus.WARN
ERROR = DiagnosticStatus.ERROR


@dataclass(frozen=True)
class Event:
    """One event: who says it, what, and its values as text."""

    name: str
    message: str
    values: Mapping[str, str] = field(default_factory=dict)
    hardware_id: str = ""
    level: bytes = OK
    stamp_ns: int = 0


def time_message(stamp_ns: int) -> Time:
    """Nanoseconds as builtin_interfaces/Time."""
    return Time(sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)


def to_message(event: Event) -> DiagnosticArray:
    """The event as a message; the header carries its stamp."""
    status = DiagnosticStatus(
        level=event.level,
        name=event.name,
        message=event.message,
        hardware_id=event.hardware_id,
        values=[KeyValue(key=k, value=v) for k, v in event.values.items()],
    )
    message = DiagnosticArray(status=[status])
    message.header.stamp = time_message(event.stamp_ns)
    return message


def from_message(message: DiagnosticArray, topic: str, complaints: Complaints) -> Event | None:
    """The event in a message; None, and a line in the log, when it is not exactly one status."""
    if len(message.status) != 1:
        complaints.say(
            f"{topic}: holds {len(message.status)} statuses, not one; check who sends it"
        )
        return None
    status = message.status[0]
    stamp = message.header.stamp
    return Event(
        name=status.name,
        message=status.message,
        values={kv.key: kv.value for kv in status.values},
        hardware_id=status.hardware_id,
        level=status.level,
        stamp_ns=stamp.sec * 1_000_000_000 + stamp.nanosec,
    )
