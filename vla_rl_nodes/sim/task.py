"""The picking task's predicate: the object has been held up long enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.sim.scene import Scene


@dataclass(frozen=True)
class TaskStatus:
    """What the predicate says at one time: reward 0 or 1, and for how long it has been lifted."""

    success: bool
    reward: float
    lifted_s: float


class LiftPredicate:
    """Success when an object is lifted for a time without a break.

    Pure: time and height come from outside, from the simulator or from its ``sim/state`` topic.
    Success is latched until :meth:`reset`, so that a lost message hides nothing.

    Args:
        height: name of the scalar in the named state that is the object's height, metres.
        resting_m: that height when the object rests, metres.
        lift_m: how far above it the object must be, metres.
        hold_s: for how long, seconds.
        greatest_gap_s: samples further apart than this do not show that the object stayed up.
    """

    def __init__(
        self,
        height: str,
        resting_m: float,
        lift_m: float = 0.10,
        hold_s: float = 0.5,
        greatest_gap_s: float = 0.1,
    ) -> None:
        self._height = height
        self._threshold = resting_m + lift_m
        self._hold, self._gap = hold_s, greatest_gap_s
        self.reset()

    def reset(self) -> None:
        """Forgets everything, for a new episode."""
        self._since: float | None = None
        self._last: float | None = None
        self._success = False

    def observe(
        self,
        time_s: float,
        names: Sequence[str],
        values: Sequence[float] | NDArray[np.float64],
    ) -> TaskStatus:
        """The verdict with one more sample of the named state.

        Args:
            time_s: the sample's time, seconds; not before the last one.
            names: of the state's scalars.
            values: of the state's scalars, in SI units.

        Raises:
            InputError: the height is missing or not finite, or time went back.
        """
        if self._height not in names:
            raise InputError("sim state", f"holds no '{self._height}'", "run the task's scene")
        height = float(values[list(names).index(self._height)])
        if not (np.isfinite(height) and np.isfinite(time_s)):
            raise InputError(self._height, "or its time is not finite", "reset the simulation")
        if self._last is not None and time_s < self._last:
            raise InputError("sim state", "time went back", "reset the predicate with the world")
        broken = self._last is not None and time_s - self._last > self._gap
        self._last = time_s
        if height < self._threshold:
            self._since = None
        elif self._since is None or broken:
            self._since = time_s
        lifted = 0.0 if self._since is None else time_s - self._since
        # A nanosecond of slack: 25 periods of 0.02 s add up to a little less than 0.5 s.
        self._success = self._success or (self._since is not None and lifted >= self._hold - 1e-9)
        return TaskStatus(self._success, 1.0 if self._success else 0.0, lifted)


def lift_predicate(scene: Scene) -> LiftPredicate:
    """The predicate of a scene's task, on the named state that the simulator publishes.

    Raises:
        InputError: the scene has no task.
    """
    task = scene.task
    if task is None:
        raise InputError(f"scene {scene.name}", "has no task", "name a scene with one")
    edge_m = next(thing.edge_m for thing in scene.objects if thing.name == task.object)
    resting_m = scene.support_m + edge_m / 2.0
    return LiftPredicate(f"{task.object}_z", resting_m, task.lift_m, task.hold_s)
