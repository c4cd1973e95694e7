"""The quality-of-service profiles of the graph."""

from __future__ import annotations

from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
)


def _profile(depth: int, reliable: bool, latched: bool = False) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


# The last event stays readable for a node that starts later.
LATCHED = _profile(1, reliable=True, latched=True)
# A reader of commands: only the newest counts, an old one must not queue up in front of it.
COMMAND = _profile(1, reliable=True)
# Their writer keeps more, else a slow second reader, such as the recorder, would miss some.
COMMAND_OFFERED = _profile(50, reliable=True)
# Drivers offer best effort or reliable; a best-effort reader matches both.
SENSOR = _profile(5, reliable=False)
# Streams and events between our own nodes.
STREAM = _profile(20, reliable=True)
# The recorder reads behind a busy disk, so it queues deeper.
RECORD = _profile(200, reliable=True)
RECORD_SENSOR = _profile(200, reliable=False)
RECORD_LATCHED = _profile(20, reliable=True, latched=True)
