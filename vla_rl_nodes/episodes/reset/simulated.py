"""The modes in which a simulator puts the world to a start: by its seed, or as recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from vla_rl_nodes.episodes.reset.kit import Kit, Pending
from vla_rl_nodes.episodes.reset.progress import Progress
from vla_rl_nodes.episodes.reset.seen import IDLE, AttemptFailed, NeedsPerson, Phase, Seen, Steps
from vla_rl_nodes.episodes.reset.settings import Mode, ResetRequest
from vla_rl_nodes.episodes.reset.sources import RecordedStart, Sources
from vla_rl_nodes.episodes.reset.verify import task_problem

T = TypeVar("T")

ANSWER_S = 10.0  # that a simulator may take to answer
SETTLED_S = 0.1  # after which the world shows the reset
SAME = 5e-3  # m, rad and quaternion parts by which a restored world may have moved on since


class Simulated:
    """A simulator's reset, as a generator of ticks; the arm is not commanded meanwhile.

    Args:
        kit: numbers, and the task's check.
        sources: the simulator, and recordings.
        request: mode and seed.
        progress: told what is going on.
    """

    def __init__(
        self, kit: Kit, sources: Sources, request: ResetRequest, progress: Progress
    ) -> None:
        self._kit, self._sources, self._request = kit, sources, request
        self._progress = progress

    def run(self) -> Steps[None]:
        """Resets and verifies through ``sim/state``.

        Raises:
            AttemptFailed: the simulator did not do it, or shows something else.
            NeedsPerson: there is no recording to restore.
        """
        simulator = self._sources.simulator
        assert simulator is not None  # else it was refused
        seen = yield from self._released()
        recorded: RecordedStart | None = None
        if self._request.mode is Mode.RECORDED_START:
            recordings = self._sources.recordings
            if recordings is None:
                raise NeedsPerson("no recorded episode is named")
            self._progress.at(Phase.PLANNING, "read the recorded start")
            recorded, seen = yield from _awaited(self._kit.submit(recordings.start), seen, np.inf)
        self._progress.at(Phase.MOVING, "ask the simulator")
        pending = (
            simulator.reset(self._request.seed)
            if recorded is None
            else simulator.restore(recorded)
        )
        wrong, seen = yield from _awaited(pending, seen, ANSWER_S)
        if wrong:
            raise AttemptFailed(f"the simulator refuses: {wrong}")
        yield from self._shown(seen, recorded)

    def _released(self) -> Steps[Seen]:
        """Waits until the filter commands nothing: the world must not leap under its motion."""
        seen = yield IDLE
        began = seen.time_s
        while seen.filter is not None and seen.filter.state in ("armed", "holding", "stopping"):
            if seen.time_s - began > self._kit.settings.handover_s:
                raise AttemptFailed(f"the safety filter is still {seen.filter.state}")
            seen = yield IDLE
        return seen

    def _shown(self, seen: Seen, recorded: RecordedStart | None) -> Steps[None]:
        self._progress.at(Phase.VERIFYING, "look at the simulator's state")
        began, settings = seen.time_s, self._kit.settings
        if recorded is not None:
            self._progress.start_sha256 = recorded.sha256
        while True:
            problem = "sim/state is silent"
            if seen.state is not None and seen.state.time_s >= began + SETTLED_S:
                problem = (
                    task_problem(self._kit, seen)
                    if recorded is None
                    else _differs(recorded.state, seen.state.values)
                )
                moves = seen.joints is None or seen.speed >= settings.rest_speed
                problem = problem or ("the arm moves" if moves else "")
            if not problem:
                return
            if seen.time_s - began > settings.check_s:
                raise AttemptFailed(problem)
            seen = yield IDLE


def _differs(wanted: Mapping[str, float], shown: Mapping[str, float]) -> str:
    missing = next((name for name in wanted if name not in shown), None)
    if missing is not None or len(wanted) != len(shown):
        return f"the recorded start is of another scene: {missing or 'fewer names'}"
    name = max(wanted, key=lambda key: abs(wanted[key] - shown[key]))
    gap = abs(wanted[name] - shown[name])
    return "" if gap <= SAME else f"{name} is {gap:.4f} from the recorded start"


def _awaited(pending: Pending[T], seen: Seen, limit_s: float) -> Steps[tuple[T, Seen]]:
    """A result that comes later, and the tick in which it was there."""
    began = seen.time_s
    while not pending.done():
        if seen.time_s - began > limit_s:
            raise AttemptFailed("the simulator does not answer")
        seen = yield IDLE
    return pending.result(), seen
