"""One attempt of each mode, as a generator of ticks; it returns once the start is verified."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.episodes.reset.arm import Arm
from vla_rl_nodes.episodes.reset.demonstration import Demonstration, drawn_share, pieces_until
from vla_rl_nodes.episodes.reset.draw import Drawn, draw, perturbed
from vla_rl_nodes.episodes.reset.kit import Kit
from vla_rl_nodes.episodes.reset.progress import Progress
from vla_rl_nodes.episodes.reset.script_steps import carry_out
from vla_rl_nodes.episodes.reset.seen import (
    IDLE,
    AttemptFailed,
    NeedsPerson,
    Orders,
    Phase,
    Refused,
    Steps,
)
from vla_rl_nodes.episodes.reset.settings import PLANNED, SIMULATED, Mode, ResetRequest
from vla_rl_nodes.episodes.reset.simulated import Simulated
from vla_rl_nodes.episodes.reset.sources import Sources
from vla_rl_nodes.episodes.reset.verify import arm_problem, task_problem, unseen

Array = NDArray[np.float64]

FOREIGN = 97  # seeds of two attempts lie so far apart, that neither is the next episode's first


class Attempts:
    """The attempts of one reset.

    Args:
        kit: the robot, its planners and its script.
        sources: what the modes draw on.
        request: mode and seed.
        progress: told what is going on.
    """

    def __init__(
        self, kit: Kit, sources: Sources, request: ResetRequest, progress: Progress
    ) -> None:
        self._kit, self._sources, self._request = kit, sources, request
        self._progress = progress
        self._avoid: set[str] = set()  # plans that have failed
        self.trusted = False  # whether a person has put it right and nobody else can see it

    def refused(self) -> str:
        """Why this mode cannot be carried out here at all, in words; empty where it can."""
        mode, kit = self._request.mode, self._kit
        if mode in SIMULATED and self._sources.simulator is None:
            return f"mode {mode.value} needs a simulator: there is none, this may be hardware"
        if mode in (*PLANNED, Mode.HUMAN_GUIDED) and kit.plans:
            return f"mode {mode.value}: {kit.plans}"
        return ""

    def run(self) -> Steps[None]:
        """One attempt.

        Raises:
            AttemptFailed: another one may do better.
            NeedsPerson: none will.
            Refused: this mode cannot be carried out here at all.
        """
        mode = self._request.mode
        refused = self.refused()
        if refused and mode in SIMULATED:
            raise Refused(refused)
        if refused and not self.trusted:
            raise NeedsPerson(refused)
        if refused:
            yield from self._verified(IDLE, None, None, task=True)
        elif mode in SIMULATED:
            simulated = Simulated(self._kit, self._sources, self._request, self._progress)
            yield from simulated.run()
        elif mode in PLANNED:
            yield from self._planned()
        elif mode is Mode.HUMAN_GUIDED:
            yield from self._verified(IDLE, None, None)
        else:
            if not self.trusted:
                raise NeedsPerson("put the task to its start, then confirm")
            yield from self._verified(IDLE, None, None, task=True)

    def _planned(self) -> Steps[None]:
        kit, request = self._kit, self._request
        seed = request.seed + FOREIGN * (self._progress.attempt - 1)
        arm = Arm(kit, self._progress)
        arm.avoid = self._avoid
        yield from arm.engage()
        drawn = yield from arm.planned(lambda: self._drawn(request.seed))
        # An object's place that was of no use is not tried again.
        places = yield from arm.planned(lambda: self._drawn(seed).places)
        yield from carry_out(kit, arm, self._progress, places, seed)
        if request.mode is Mode.DEMO_REPLAY:
            goal, width = yield from self._along(arm, seed)
        else:
            goal, width = yield from self._goal(arm, drawn)
            self._progress.at(Phase.MOVING, "go to the start")
            yield from arm.go(goal, seed)
            if width is not None:
                yield from arm.grip(width)
        task = request.mode is not Mode.DEMO_REPLAY
        yield from self._verified(arm.orders(), goal, width, task)

    def _drawn(self, seed: int) -> Drawn:
        kit = self._kit
        if kit.script is None:
            return Drawn(kit.robot.home.copy(), {})
        return draw(kit.robot, kit.kinematics, kit.script, seed)

    def _goal(self, arm: Arm, drawn: Drawn) -> Steps[tuple[Array, float | None]]:
        """Where the arm shall be [n], rad, and the gripper's opening, m."""
        kit, sources, seed = self._kit, self._sources, self._request.seed
        joints, width = drawn.joints, None if kit.script is None else kit.script.gripper_m
        if self._request.mode is Mode.RETURN_AND_EXPLORE:
            if sources.stored is None:
                raise NeedsPerson("no file of stored states is given")
            name, state = sources.stored.choose(sources.return_to, seed)
            joints = state.positions(kit.robot)
            width = width if state.gripper_width is None else state.gripper_width
            self._progress.step = f"return to {name}"
        rad, metres = kit.settings.perturb_rad, kit.settings.perturb_m

        def moved() -> Array:
            return perturbed(kit.robot, kit.kinematics, joints, rad, metres, seed)

        goal = yield from arm.planned(moved)
        return goal, width

    def _along(self, arm: Arm, seed: int) -> Steps[tuple[Array, float | None]]:
        """Goes along a demonstration up to a point drawn from the seed; where that is."""
        kit, source = self._kit, self._sources.demonstrations
        if source is None:
            raise NeedsPerson("no folder of demonstrations is given")

        def chosen() -> Demonstration:
            return source.choose(self._request.seed)

        demonstration = yield from arm.planned(chosen)
        if demonstration.joints.shape[1:] != (len(kit.robot.joints),):
            raise NeedsPerson(f"the demonstration {demonstration.name} is of another robot")
        pieces = pieces_until(
            demonstration, drawn_share(self._sources.demo_share, self._request.seed)
        )
        self._progress.at(Phase.MOVING, f"replay {demonstration.name}")
        yield from arm.go(pieces[0].way[0], seed)
        if demonstration.widths is not None:
            yield from arm.grip(float(demonstration.widths[0]))
        for piece in pieces:

            def timed(way: Array = piece.way) -> Array:
                problem = kit.check.problem(way)
                if problem:
                    raise AttemptFailed(f"the demonstration's way is not free: {problem}")
                return kit.timing.positions(way)

            yield from arm.follow((yield from arm.planned(timed)))
            if piece.width is not None:
                yield from arm.grip(piece.width)
        return pieces[-1].way[-1], None

    def _verified(
        self, hold: Orders, goal: Array | None, width: float | None, task: bool = False
    ) -> Steps[None]:
        """Waits until all is as it should be.

        Raises:
            AttemptFailed: it does not become so; says what is wrong.
            NeedsPerson: nobody sees an object.
        """
        kit = self._kit
        self._progress.at(Phase.VERIFYING, "check the start")
        seen = yield hold
        began = seen.time_s
        while True:
            problem = arm_problem(kit, seen, goal, width)
            if task and not problem:
                problem = task_problem(kit, seen)
            if not problem:
                break
            if seen.time_s - began > kit.settings.check_s:
                raise AttemptFailed(problem)
            seen = yield hold
        hidden = unseen(kit, seen) if task and not self.trusted else ""
        if hidden:
            raise NeedsPerson(f"nobody sees the {hidden}: look whether it is in its place")
