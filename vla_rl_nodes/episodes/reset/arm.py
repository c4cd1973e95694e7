"""The arm under the reset's command, one control tick at a time, always through the filter."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.episodes.reset.kit import Kit
from vla_rl_nodes.episodes.reset.planner import Plan, choose, straight_way
from vla_rl_nodes.episodes.reset.progress import Progress
from vla_rl_nodes.episodes.reset.seen import AttemptFailed, Halted, Orders, Phase, Seen, Steps
from vla_rl_nodes.episodes.reset.tool_actions import ToolActions, shares
from vla_rl_nodes.errors import InputError

Array = NDArray[np.float64]
T = TypeVar("T")

# Reasons of the filter that say that a plan is not what may be gone.
SHORTENED = frozenset(
    ("workspace", "joint_position", "ik_failed", "self_collision", "collision", "singularity",
     "action_bound", "body")
)  # fmt: skip
# Of these a late tick may cause a few; absolute commands make up for it.
SLOWED = frozenset(("joint_velocity", "joint_acceleration", "tool_speed", "unverified_stop"))
WAITING = frozenset(("paused", "deadman"))
SLOWED_MOST = 12  # ticks of one motion
RECENT_S = 0.5  # of commands that a lagging arm is compared with
STALLED_S = 0.3  # that a gripper may stand still on its way before it has closed on something
STILL_WIDTH = 5e-4  # m
TAKEN_OVER = "a person took over"
OPENING_S = 0.3  # that the filter may take to say where it has sent the gripper


class Arm:
    """What was commanded last, and the steps that command more; each is a generator of ticks.

    Every tick commands absolute joints and, with a gripper, its opening: an arm that waits is
    held by the same stream of commands.

    Args:
        kit: the robot and its planners.
        progress: told what is going on.
    """

    def __init__(self, kit: Kit, progress: Progress) -> None:
        self._kit, self._progress = kit, progress
        self.avoid: set[str] = set()  # plans that the filter or the arm did not follow
        self.q: Array | None = None
        self.width: float | None = None
        self._recent: deque[Array] = deque(maxlen=max(round(RECENT_S / kit.period_s), 2))
        self._slowed = 0
        self._seen: Seen | None = None
        self._waited_s = 0.0

    @property
    def seen(self) -> Seen:
        """The last tick's; there is one since :meth:`engage`."""
        assert self._seen is not None
        return self._seen

    @property
    def measured(self) -> Array:
        """Joints measured at the last tick [n], rad; every watched tick has seen them."""
        assert self.seen.joints is not None
        return self.seen.joints

    @property
    def time_s(self) -> float:
        """A steady clock that stands while the filter takes no commands for the time being, s."""
        return self.seen.time_s - self._waited_s

    def orders(self) -> Orders:
        """Stay where the last command led."""
        return Orders(True, self.q, self.width)

    def engage(self) -> Steps[None]:
        """Takes command: waits until the filter follows the reset, at rest, and holds there.

        A person who has the robot already has precedence, however long he has it.

        Raises:
            AttemptFailed: it does not; says what the filter is instead.
            Halted: it is stopped and refuses to be armed, or a person takes over just now.
        """
        self._progress.at(Phase.MOVING, "take command")
        seen = yield Orders(True)
        began = ours_since = seen.time_s
        first = True  # the person is there who was there before
        while True:
            said = seen.filter
            person = said is not None and said.persons
            first = first and person
            if said is not None and (said.latched or (person and not first)):
                raise Halted(stop_words(seen))
            if person:
                began = seen.time_s
            resting = self.rests(seen)
            if said is None or not said.ours:
                ours_since = seen.time_s
            elif resting and (
                seen.opening is not None or seen.time_s - ours_since > OPENING_S
                or self._kit.robot.gripper is None
            ):  # fmt: skip
                break
            if seen.time_s - began > self._kit.settings.handover_s:
                words = self._gripper_silent(seen) or stop_words(seen, resting)
                refused = said is not None and not said.ours and (
                    said.note or said.state not in ("disarmed", "armed", "holding")
                )  # fmt: skip
                raise Halted(words) if refused else AttemptFailed(words)
            seen = yield Orders(True)
        self.hold_at(seen)

    def rests(self, seen: Seen) -> bool:
        """Whether the arm is measured to be at rest, and the gripper is measured at all."""
        return (
            seen.joints is not None
            and seen.speed < self._kit.settings.rest_speed
            and not self._gripper_silent(seen)
        )

    def _gripper_silent(self, seen: Seen) -> str:
        # Without its opening nobody knows what to command: any other would let go or squeeze.
        silent = self._kit.robot.gripper is not None and seen.width is None
        return "the gripper's state is silent" if silent else ""

    def hold_at(self, seen: Seen) -> None:
        """From now on the commands are to stay where the arm is seen to be.

        The gripper stays where it was sent, which is not where it is: to be told its own opening
        would make it let go of what it presses on.
        """
        assert seen.joints is not None
        self._seen, self.q, self.width = seen, seen.joints.copy(), seen.width
        gripper = self._kit.robot.gripper
        if gripper is not None and seen.width is not None:
            sent = seen.width if seen.opening is None else seen.opening
            self.width = min(max(sent, 0.0), gripper.width_max)
        self._recent.clear()

    def wait(self, seconds: float) -> Steps[None]:
        """Holds for a time."""
        until = self.time_s + seconds
        while self.time_s < until:
            yield from self.tick()

    def planned(self, work: Callable[[], T]) -> Steps[T]:
        """Has something planned while the arm is held; gives what was found.

        Raises:
            AttemptFailed: as ``work`` does; so becomes its InputError.
        """
        phase, step = self._progress.phase, self._progress.step
        self._progress.at(Phase.PLANNING, step)
        pending = self._kit.submit(work)
        while not pending.done():
            yield from self.tick()
        self._progress.at(phase, step)
        try:
            return pending.result()
        except InputError as error:
            raise AttemptFailed(f"{error.place}: {error.problem}") from error

    def go(self, goal: Array, seed: int) -> Steps[None]:
        """Moves to joint positions [n] (rad) by the first plan that passes the check.

        Raises:
            AttemptFailed: there is none, or it was not followed.
        """
        kit, start, avoid = self._kit, self._commanded(), frozenset(self.avoid)

        def plan() -> Plan:
            timed = kit.timing.positions
            return choose(kit.planners, kit.check, timed, start, goal, seed, avoid)

        name, _, positions = yield from self.planned(plan)
        self._progress.plans.append(name)
        try:
            yield from self.follow(positions)
        except AttemptFailed as error:
            self.avoid.add(name)
            raise AttemptFailed(f"plan {name}: {error}") from error

    def straight(self, displacement: Array, tool_speed: float | None = None) -> Steps[None]:
        """Moves the tool straight by ``displacement`` [3], m, along the base's axes.

        Raises:
            AttemptFailed: it does not reach so far, or may not.
        """
        kit, start = self._kit, self._commanded()

        def plan() -> Array:
            way = straight_way(kit.robot, kit.kinematics, start, displacement)
            if way is None:
                raise AttemptFailed("the tool does not reach so far straight on")
            problem = kit.check.problem(way)
            if problem:
                raise AttemptFailed(f"the straight way is not free: {problem}")
            return kit.timing.positions(way, tool_speed)

        positions = yield from self.planned(plan)
        yield from self.follow(positions)

    def follow(self, positions: Array) -> Steps[None]:
        """Commands joint positions [m, n], one a tick, and waits until the arm rests there.

        Raises:
            AttemptFailed: the filter shortens the motion, or no longer hears the commands.
            Halted: it was stopped, a person took over, or the arm is held back.
        """
        self._slowed = 0
        for q in positions:
            self.q = q
            yield from self.tick()
        yield from self.settle()

    def settle(self) -> Steps[None]:
        """Waits until the arm rests where it was sent.

        Raises:
            AttemptFailed: it does not.
        """
        settings, began = self._kit.settings, self.time_s
        while True:
            away = np.abs(self.measured - self._commanded())
            if away.max() <= settings.joint_tolerance and self.seen.speed < settings.rest_speed:
                return
            if self.time_s - began > settings.settle_s:
                worst = int(np.argmax(away))
                name = self._kit.robot.joints[worst]
                raise AttemptFailed(f"{name} stays {away[worst]:.3f} rad from where it was sent")
            yield from self.tick()

    def grip(self, width: float) -> Steps[float]:
        """Sends the gripper to an opening; the opening, m, at which it came to rest.

        It comes to rest there, or on what it has closed on.
        """
        robot = self._kit.robot
        if robot.gripper is None or self.seen.width is None:
            return 0.0
        self.width = min(max(width, 0.0), robot.gripper.width_max)
        began = still_since = self.time_s
        last = self.seen.width
        while self.time_s - began < self._kit.settings.gripper_s:
            yield from self.tick()
            now = self.seen.width
            if now is None:
                raise AttemptFailed("the gripper's state is silent")
            if abs(now - last) > STILL_WIDTH:
                last, still_since = now, self.time_s
            there = abs(now - self.width) < self._kit.settings.width_tolerance
            if there or self.time_s - still_since > STALLED_S:
                return now
        return last

    def tool_move(self, displacement: Array, speed: float) -> Steps[None]:
        """As :meth:`straight`, but through the contract's own actions; from rest to rest."""
        kit = self._kit
        try:
            actions = ToolActions(kit.robot, kit.tool, kit.contract, self._commanded())
        except InputError as error:
            raise AttemptFailed(f"{error.place}: {error.problem}") from error
        distance = float(np.sqrt(displacement @ displacement))
        still = np.zeros(3)
        ways = [still] * 2 + [displacement * (share / max(distance, 1e-9))
                              for share in shares(distance, speed, kit.period_s)]  # fmt: skip
        for way in [*ways, *[still] * round(0.4 / kit.period_s)]:
            yield from self._watched(Orders(True, action=actions.action(way, self.width)))
        self.q = self.measured.copy()

    def tick(self) -> Steps[None]:
        """One tick of the present command, watched."""
        assert self.q is not None
        self._recent.append(self.q)
        yield from self._watched(self.orders())
        lag = min(float(np.abs(self.measured - q).max()) for q in self._recent)
        if lag > self._kit.settings.lag_max:
            raise Halted(f"the arm is {lag:.2f} rad behind what was commanded: what holds it?")

    def _watched(self, orders: Orders) -> Steps[None]:
        before = self.seen.time_s
        seen = yield orders
        began = seen.time_s
        while waits(seen):
            seen = yield orders  # it takes no commands for the time being, and holds
        if seen.time_s > began:
            self._waited_s += seen.time_s - before
        self._seen = seen
        said = seen.filter
        if seen.joints is None or said is None or said.halted:
            raise Halted(stop_words(seen))
        if not said.ours:
            raise AttemptFailed(stop_words(seen))
        shortened = said.reasons & SHORTENED
        if shortened:
            words = ", ".join(sorted(shortened))
            raise AttemptFailed(f"the filter shortened the motion: {words}")
        self._slowed += bool(said.reasons & SLOWED)
        if self._slowed > SLOWED_MOST:
            words = ", ".join(sorted(said.reasons & SLOWED))
            raise AttemptFailed(f"the filter slowed the motion: {words}")

    def _commanded(self) -> Array:
        assert self.q is not None
        return self.q.copy()


def waits(seen: Seen) -> bool:
    """Whether the filter follows us, but takes no commands for the time being."""
    said = seen.filter
    return said is not None and said.ours and bool(said.reasons & WAITING)


def stop_words(seen: Seen, resting: bool = True) -> str:
    """Why the filter does not follow us, in words; ``resting``: whether the arm does."""
    said = seen.filter
    if seen.joints is None:
        return "the joint states are silent"
    if said is None:
        return "the safety filter is silent"
    if said.persons:
        return TAKEN_OVER
    if said.ours and not resting:
        return "the arm does not come to rest"
    why = ", ".join(sorted(said.reasons | ({"e_stop"} if said.latched else set())))
    refused = said.note if said.state == "disarmed" or not why else ""
    note = "; ".join(part for part in (why, refused) if part)
    return f"the safety filter is {said.state}" + (f": {note}" if note else "")
