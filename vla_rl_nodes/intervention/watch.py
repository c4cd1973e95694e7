"""Says what is wrong with a device: silent, frozen, noisy, or sending what cannot be used."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.intervention.reading import Reading
from vla_rl_nodes.intervention.settings import DeviceSettings
from vla_rl_nodes.safety.state import Instant

Array = NDArray[np.float64]


class Watch:
    """Watches one device's messages; a problem stays until good messages have cleared it.

    Args:
        settings: the device's timeouts and its rule of noise.
    """

    def __init__(self, settings: DeviceSettings) -> None:
        self._settings = settings
        self._stamp_ns: int | None = None
        self._came_ns = 0  # the last message with a new stamp, steady clock
        self._repeated = False  # whether messages came since, with no new stamp
        self._raw: tuple[float, ...] = ()
        self._changed_ns = 0
        self._signal: Array | None = None
        self._side: Array | None = None  # of each axis: the way it last went in full
        self._reversals: list[deque[int]] = []
        self._refused = ""

    def refuse(self, problem: str) -> None:
        """Takes a message that could not be used."""
        self._refused = problem

    def hear(self, reading: Reading) -> bool:
        """Takes a good message; False when it is not newer than the last one."""
        if self._stamp_ns is not None and reading.stamp_ns <= self._stamp_ns:
            self._repeated = True
            return False
        now_ns = reading.arrival.steady_ns
        if reading.raw != self._raw:
            self._raw, self._changed_ns = reading.raw, now_ns
        self._count_reversals(np.array(reading.raw), now_ns)
        self._stamp_ns, self._came_ns = reading.stamp_ns, now_ns
        self._repeated, self._refused = False, ""
        return True

    def problem(self, now: Instant, at_rest: bool, moving: bool) -> str:
        """What is wrong now, in a few words; empty when nothing is.

        Args:
            now: on both clocks.
            at_rest: whether the device last said that nothing is pushed or held.
            moving: whether what it last said moves the robot, or would.
        """
        settings = self._settings
        if self._refused:
            return self._refused
        if self._stamp_ns is None:
            return "nothing was heard of it"
        silent_s = (now.steady_ns - self._came_ns) / 1e9
        if silent_s > settings.silence_timeout_s and (settings.repeats or not at_rest):
            if self._repeated:
                return f"frozen: its stamp stands still for {silent_s:.1f} s"
            return f"silent for {silent_s:.1f} s"
        still_s = (now.steady_ns - self._changed_ns) / 1e9
        frozen_s = settings.frozen_after_s
        if frozen_s is not None and moving and still_s > frozen_s:
            return f"frozen: the same values for {still_s:.1f} s"
        worst = self._worst(now.steady_ns)
        if worst > settings.noise.reversals:
            return f"noisy: {worst} reversals in {settings.noise.window_s:g} s"
        return ""

    def _count_reversals(self, raw: Array, now_ns: int) -> None:
        """Notes each axis that has gone from full one way to full the other."""
        before, self._signal = self._signal, raw
        if self._side is None or before is None:
            self._side = np.zeros(len(raw))
            self._reversals = [deque(maxlen=256) for _ in raw]
            before = raw
        value = raw - before if self._settings.kind == "leader" else raw
        side = np.where(np.abs(value) >= self._settings.noise.level, np.sign(value), 0.0)
        for axis in np.flatnonzero(side * self._side < 0.0):
            self._reversals[axis].append(now_ns)
        self._side = np.where(side != 0.0, side, self._side)

    def _worst(self, now_ns: int) -> int:
        oldest_ns = now_ns - round(self._settings.noise.window_s * 1e9)
        for times in self._reversals:
            while times and times[0] < oldest_ns:
                times.popleft()
        return max((len(times) for times in self._reversals), default=0)
