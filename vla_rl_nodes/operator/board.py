"""The page's picture of the robot: filled by the node, read by the server, under one lock."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.operator import sections
from vla_rl_nodes.operator.alarms import RUNNING, alarms
from vla_rl_nodes.operator.reason_words import in_words
from vla_rl_nodes.operator.recent import Lately, Worst
from vla_rl_nodes.operator.run_clock import RunClock
from vla_rl_nodes.operator.said import Said
from vla_rl_nodes.operator.trace import Trace

SHOWN_S = 1.5  # a reason that comes and goes is shown at least so long
LATENESS_S = 2.0
MOST_REASONS = 8
MOST_VALUES = 64

TRACED = {
    "policy/command": "proposed", "intervention/command": "human", "safety/executed": "executed",
}  # fmt: skip
VECTORS = ("progress", "success", "observation/state")
EVENTS = (
    "episode/state", "episode/label", "safety/status", "policy/status", "policy/bundle",
    "intervention/status", "reset/status", "recorder/status", "replay_bridge/status",
    "retry/request", "reward/status",
)  # fmt: skip


def told_reasons(said: Said) -> str:
    """The reasons of a status that a person should read.

    While somebody has taken over, the policy's own commands are outranked at every tick; who is
    in command stands elsewhere.
    """
    reasons = said.values.get("reasons", "")
    if said.values.get("source") in ("intervention", "reset"):
        return ",".join(name for name in reasons.split(",") if name != "outranked")
    return reasons


class Board:
    """Takes what is said, and gives the whole of it as plain values for JSON.

    Args:
        axes: of the contract's action.
        policy_hz: control ticks a second.
    """

    def __init__(self, axes: Sequence[str], policy_hz: float) -> None:
        self._lock = threading.Lock()
        self._said: dict[str, Said] = {}
        self._vectors: dict[str, tuple[dict[str, float], float]] = {}
        self._trace = Trace(axes, policy_hz)
        self._reasons = Lately(SHOWN_S, MOST_REASONS)
        self._filter_late, self._policy_late = Worst(LATENESS_S), Worst(LATENESS_S)
        self._clock = RunClock()

    def hear(self, topic: str, said: Said) -> None:
        """An event."""
        with self._lock:
            self._said[topic] = said
            if topic == "safety/status":
                self._reasons.add(said.at_s, in_words(told_reasons(said)))
                self._filter_late.add(said.at_s, said.number("lateness_ms") or 0.0)
                self._trace.filtered(said)
            elif topic == "policy/status":
                self._policy_late.add(said.at_s, said.number("lateness_ms") or 0.0)
                self._trace.policy(said)
            elif topic == "episode/state":
                self._clock.hear(said)

    def vector(
        self, topic: str, stamp_ns: int, names: Sequence[str], values: Sequence[float], at_s: float
    ) -> None:
        """A named vector: an action of a tick, or something measured."""
        with self._lock:
            if topic in TRACED:
                self._trace.vector(TRACED[topic], stamp_ns, names, values)
            elif len(names) == len(values) <= MOST_VALUES and np.isfinite(values).all():
                known = {str(n)[:64]: round(float(v), 4) for n, v in zip(names, values)}  # noqa: B905
                self._vectors[topic] = known, at_s

    def plan(self, stamp_ns: int, names: Sequence[str], rows: NDArray[np.float64]) -> None:
        """A new chunk of the policy."""
        with self._lock:
            self._trace.planned(stamp_ns, names, rows)

    def snapshot(self, now_s: float, now_ns: int, unheard_e_stop: bool) -> dict[str, Any]:
        """Everything but the trace.

        Args:
            now_s: steady clock.
            now_ns: nodes' clock.
            unheard_e_stop: the page's own emergency stop was pressed long enough ago that the
                filter should say that it is latched.
        """
        with self._lock:
            said = self._said.get
            shown: dict[str, Any] = {
                "now_ms": now_ns / 1e6,
                "episode": sections.episode(
                    said("episode/state"), self._clock.left_s(now_ns)
                ),
                "outcome": sections.outcome(said("episode/label")),
                "safety": sections.safety(
                    said("safety/status"), self._reasons.names(now_s),
                    self._filter_late.value(now_s), now_s,
                ),
                "policy": sections.policy(
                    said("policy/status"), self._policy_late.value(now_s), now_s
                ),
                "intervention": sections.intervention(said("intervention/status")),
                "reset": sections.reset(said("reset/status")),
                "recorder": sections.recorder(said("recorder/status")),
                "learner": sections.learner(said("replay_bridge/status"), now_s),
                "bundle": sections.bundle(said("policy/bundle")),
                "retry": sections.retry(said("retry/request")),
                "measured": {topic: self._fresh(topic, now_s) for topic in VECTORS},
            }  # fmt: skip
        shown["alarms"] = alarms(shown, unheard_e_stop and not shown["safety"]["latched"])
        return shown

    def trace(self, number: int, now_ns: int) -> tuple[list[list[Any]], int]:
        """The control ticks after one; see :meth:`Trace.since`."""
        with self._lock:
            return self._trace.since(number, now_ns)

    def newest(self, topic: str) -> Said | None:
        """The last event of a topic."""
        with self._lock:
            return self._said.get(topic)

    @property
    def newest_plan(self) -> dict[str, Any] | None:
        """The newest chunk, as :class:`Trace` keeps it."""
        with self._lock:
            return self._trace.plan

    @property
    def running(self) -> bool:
        """Whether an episode runs."""
        with self._lock:
            state = self._said.get("episode/state")
            return state is not None and state.message == RUNNING

    def _fresh(self, topic: str, now_s: float) -> dict[str, float]:
        known = self._vectors.get(topic)
        if known is None or now_s - known[1] > sections.SLOW_SILENT_S:
            return {}
        return known[0]
