"""What the reset node says: its commands, whether it is in command, and its status."""

from __future__ import annotations

import threading
from typing import Any, Protocol

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.duration import Duration
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool

from vla_rl_nodes.episodes.reset.kit import Kit
from vla_rl_nodes.episodes.reset.retreat import RetreatRun
from vla_rl_nodes.episodes.reset.run import ResetRun
from vla_rl_nodes.episodes.reset.seen import Orders, Phase
from vla_rl_nodes.episodes.reset.settings import ResetRequest
from vla_rl_nodes.episodes.reset.totals import Totals
from vla_rl_nodes.nodes.event import OK, WARN, Event, to_message
from vla_rl_nodes.nodes.qos import COMMAND_OFFERED, LATCHED, STREAM
from vla_rl_nodes.nodes.vector import vector_message

BUSY_S = 0.4  # between two statuses at most while something is under way
IDLE_S = 1.0
HEARD_S = 0.5  # that the last word may take to be received
NOTHING = {
    "episode_id": "", "mode": "", "seed": "", "attempt": "0", "step": "", "reason": "",
    "seconds": "0.0", "plan": "", "start_sha256": "", "failed": "",
}  # fmt: skip


class Told(Protocol):
    """What the status is about: a reset, whose request may not be known yet, or a retreat."""

    retreats: bool
    episode_id: str
    request: ResetRequest | None
    began_s: float
    run: ResetRun | RetreatRun | None


class ResetOutputs:
    """Publishes ``reset/active``, ``reset/joints``, ``reset/command`` and ``reset/status``.

    Args:
        node: owns the publishers.
        kit: names of joints and axes.
        totals: part of the status.
    """

    def __init__(self, node: Node, kit: Kit, totals: Totals) -> None:
        self._node, self._kit, self._totals = node, kit, totals
        self._lock = threading.Lock()
        self._active_now = False
        self._closed = False
        robot = kit.robot
        self._names = (*robot.joints, *(["gripper_width"] if robot.gripper is not None else []))
        self._active = node.create_publisher(Bool, "reset/active", STREAM)
        self._joints = node.create_publisher(JointState, "reset/joints", COMMAND_OFFERED)
        self._command = node.create_publisher(JointState, "reset/command", COMMAND_OFFERED)
        self._status = node.create_publisher(DiagnosticArray, "reset/status", LATCHED)
        self._last: tuple[str, ...] = ()
        self._said_s = 0.0
        self._values = dict(NOTHING)
        self._message = Phase.IDLE.value

    def send(self, orders: Orders) -> None:
        """The orders of one tick, stamped now."""
        with self._lock:
            if self._closed:
                return
            if orders.active or self._active_now:
                self._active.publish(Bool(data=orders.active))
            self._active_now = orders.active
            if not orders.active:
                return
            stamp = int(self._node.get_clock().now().nanoseconds)
            if orders.joints is not None:
                values = orders.joints.tolist()
                if orders.width is not None:
                    values.append(orders.width)
                self._joints.publish(vector_message(stamp, self._names, values))
            elif orders.action is not None:
                axes = self._kit.contract.action.names
                self._command.publish(vector_message(stamp, axes, orders.action.tolist()))

    def give_back(self) -> None:
        """The last word: whoever was in command because of the reset is not any more."""
        # A signal may come while this thread itself is sending: then the lock is its own.
        if self._lock.acquire(timeout=0.2):
            self._closed = True
            self._lock.release()
        if self._active_now and self._node.context.ok():
            self._active_now = False
            self._active.publish(Bool(data=False))
            # Who ends at once takes along what nobody has received yet.
            self._active.wait_for_all_acked(Duration(seconds=HEARD_S))

    def say(self, job: Told | None, now_s: float) -> None:
        """The status, when it is new or due."""
        if job is not None:
            self._message, self._values = self._told(job, now_s)
        mark = (self._message, *(self._values.get(key, "") for key in ("step", "attempt")))
        due = now_s - self._said_s >= (IDLE_S if job is None else BUSY_S)
        if self._closed or not (due or mark != self._last):
            return
        self._last, self._said_s = mark, now_s
        totals = self._totals
        per_failure = totals.per_failure
        values = {
            **self._values,
            "resets": str(totals.resets),
            "failures": str(totals.failures),
            "asked": str(totals.asked),
            "attempts_total": str(totals.attempts),
            "resets_per_failure": "" if per_failure is None else f"{per_failure:.1f}",
            "unattended_s": f"{totals.unattended_s(now_s):.1f}",
        }
        bad = self._message in (Phase.ASKING.value, Phase.FAILED.value)
        level: Any = WARN if bad else OK
        stamp = int(self._node.get_clock().now().nanoseconds)
        event = Event("reset", self._message, values, self._kit.robot.name, level, stamp)
        self._status.publish(to_message(event))

    def _told(self, job: Told, now_s: float) -> tuple[str, dict[str, str]]:
        run, request = job.run, job.request
        values = NOTHING | {
            "episode_id": job.episode_id,
            "mode": "retreat" if job.retreats else "" if request is None else request.mode.value,
            "attempt": "1",
            "step": "wait for the episode" if request is None else "look for the simulator",
            "seconds": f"{max(now_s - job.began_s, 0.0):.1f}",
        }
        if run is None:
            return Phase.PLANNING.value, values
        if isinstance(run, RetreatRun):
            phase = Phase.MOVING if not run.over else Phase.DONE if run.done else Phase.FAILED
            return phase.value, values | {"step": "retreat", "reason": run.reason}
        progress = run.progress
        values |= {
            "seed": str(run.request.seed),
            "attempt": str(progress.attempt),
            "step": progress.step,
            "reason": progress.reason,
            "plan": progress.plans[-1] if progress.plans else "",
            "start_sha256": progress.start_sha256,
            "failed": "; ".join(progress.failed),
        }
        return progress.phase.value, values
