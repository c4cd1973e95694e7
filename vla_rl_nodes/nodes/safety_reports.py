"""What the safety filter says about itself: its status, its diagnostics, its markers."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.node import Node
from visualization_msgs.msg import MarkerArray

from vla_rl_nodes.nodes.event import ERROR, OK, WARN, Event, to_message
from vla_rl_nodes.nodes.qos import STREAM
from vla_rl_nodes.nodes.safety_distances import Distances
from vla_rl_nodes.nodes.safety_markers import HZ, SafetyMarkers
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.output import FilterOutput
from vla_rl_nodes.safety.reasons import NONE, reason_names
from vla_rl_nodes.safety.state import Source, State
from vla_rl_nodes.safety.status import STATUS_MESSAGES, Status

Array = NDArray[np.float64]

LEVELS = {State.FAULTED: ERROR, State.STOPPED: WARN, State.STOPPING: WARN, State.HOLDING: WARN}
ALIVE_HZ = 20  # safety/status comes at least this often
TOOL = ("tool_x", "tool_y", "tool_z")
SHOWN = 8  # distances drawn


class SafetyReports:
    """Publishes ``safety/status`` from the tick, ``/diagnostics`` and ``safety/markers`` beside
    it.

    Args:
        node: owns the publishers.
        robot: names, tool frame.
        limits: what the markers show.
        alive_every: ticks between two statuses at most.
    """

    def __init__(self, node: Node, robot: Robot, limits: SafetyLimits, alive_every: int) -> None:
        self._node, self._robot = node, robot
        self._alive_every = alive_every
        self._lock = threading.Lock()
        self._output: FilterOutput | None = None
        self._position: Array | None = None
        self._target: Array | None = None
        self._reasons: Counter[str] = Counter()
        self._ticks = self._skipped = 0
        self._worst_late_ns = self._worst_for_diagnostics_ns = 0
        self._last: tuple[State, Source | None] | None = None
        # The tick's own kinematics are its thread's alone.
        self._kinematics = None if robot.tool_frame is None else Kinematics(robot)
        self._distances = Distances(robot, limits)
        self._makes = SafetyMarkers(limits, robot.base_frame)
        self._status = node.create_publisher(DiagnosticArray, "safety/status", STREAM)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", STREAM)
        self._markers = node.create_publisher(MarkerArray, "safety/markers", STREAM)
        node.create_timer(1.0, self._diagnose)
        node.create_timer(1.0 / HZ, self._mark)

    def tick(
        self,
        now_ns: int,
        output: FilterOutput,
        lateness_ns: int,
        skipped: int,
        position: Array | None,
        reference_names: tuple[str, ...],
        refused: str,
    ) -> None:
        """Takes one tick, and says what is new or due.

        Args:
            now_ns: the present time, node's clock.
            output: of the filter.
            lateness_ns: how long after the first deadline since the last tick this one began.
            skipped: deadlines that have passed without a tick, since the start.
            position: joints as measured last [n], rad; None before that.
            reference_names: what the output's reference consists of.
            refused: why the filter is not armed although it should be; empty: nothing refuses.
        """
        reasons = output.reasons | (NONE if output.executed is None else output.executed.reasons)
        where = [reference_names.index(name) for name in TOOL if name in reference_names]
        target = output.reference[where] if output.reference is not None and where else None
        with self._lock:
            self._output, self._position, self._target = output, position, target
            self._ticks, self._skipped = self._ticks + 1, skipped
            self._worst_for_diagnostics_ns = max(self._worst_for_diagnostics_ns, lateness_ns)
            if reasons:
                self._reasons.update(reason_names(reasons))
        self._worst_late_ns = max(self._worst_late_ns, lateness_ns)
        now = output.state, output.source
        if self.alive or output.executed is not None or now != self._last or reasons:
            self._say(now_ns, output, refused)
        self._last = now

    @property
    def alive(self) -> bool:
        """Whether this is a tick at which whatever comes seldom is told anyway."""
        return self._ticks % self._alive_every == 0

    def _say(self, now_ns: int, output: FilterOutput, refused: str) -> None:
        executed = output.executed
        reasons = output.reasons | (NONE if executed is None else executed.reasons)
        values = {
            "reasons": ",".join(reason_names(reasons | output.cause)),
            "status": str(int(output.status)),
            "status_text": STATUS_MESSAGES[output.status],
            "source": "" if output.source is None else output.source.value,
            "command_stamp": "" if executed is None else str(executed.stamp_ns),
            "lateness_ms": f"{self._worst_late_ns / 1e6:.3f}",
            "ticks": str(self._ticks),
            "skipped_ticks": str(self._skipped),
            "refused": refused,
        }
        self._worst_late_ns = 0
        stamp = now_ns if executed is None else executed.stamp_ns
        self._status.publish(
            to_message(
                Event("safety_filter", output.state.value, values, "", _level(output), stamp)
            )
        )

    def _snapshot(self) -> tuple[FilterOutput | None, Array | None]:
        with self._lock:
            return self._output, self._position

    def _diagnose(self) -> None:
        output, measured = self._snapshot()
        if output is None:
            return
        with self._lock:
            worst_ns, self._worst_for_diagnostics_ns = self._worst_for_diagnostics_ns, 0
            reasons, ticks, skipped = dict(self._reasons), self._ticks, self._skipped
        values = {
            "state": output.state.value,
            "cause": ",".join(reason_names(output.cause)),
            "source": "" if output.source is None else output.source.value,
            "ticks": str(ticks),
            "skipped ticks": str(skipped),
            "worst lateness [ms]": f"{worst_ns / 1e6:.3f}",
        }
        q = _joints(output, measured)
        for pair in [] if q is None else self._distances.closest(q, 1):
            values["closest pair"] = " - ".join(pair.names)
            values["its distance [m]"] = f"{pair.distance:.4f}"
            values["its margin [m]"] = f"{pair.margin:.4f}"
        values |= {f"ticks with {name}": str(n) for name, n in sorted(reasons.items())}
        name = f"{self._node.get_namespace().strip('/')}/safety_filter"
        stamp = self._node.get_clock().now().nanoseconds
        text = STATUS_MESSAGES[output.status]
        self._diagnostics.publish(
            to_message(Event(name, text, values, self._robot.name, _level(output), stamp))
        )

    def _mark(self) -> None:
        if not self._markers.get_subscription_count():
            return
        output, measured = self._snapshot()
        q = None if output is None else _joints(output, measured)
        close = [] if q is None else self._distances.closest(q, SHOWN)
        path = None
        if (
            output is not None
            and output.plan is not None
            and output.twist is None
            and self._kinematics is not None
        ):
            path = self._kinematics.tool_points(output.plan.q)
        stamp = self._node.get_clock().now().nanoseconds
        self._markers.publish(self._makes.make(stamp, close, path, self._target))


def _joints(output: FilterOutput, measured: Array | None) -> Array | None:
    """Where the joints are commanded to be, else where they were measured.

    A mobile base's plan is of its velocities, not of its joints.
    """
    commanded = None if output.twist is not None else output.q_command
    return measured if commanded is None else commanded


def _level(output: FilterOutput) -> Any:
    """How bad it is, as diagnostics count it."""
    return ERROR if output.status is Status.E_STOP else LEVELS.get(output.state, OK)
