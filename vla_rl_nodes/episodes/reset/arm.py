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
from vla_rl_nodes.episodes.reset.seen import AttemptFailed, Orders, Phase, Seen, Steps
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

    def orders(self) -> Orders:
        """Stay where the last command led."""
        return Orders(True, self.q, self.width)

    def engage(self) -> Steps[None]:
        """Takes command: waits until the filter follows the reset, at rest, and holds there.

        Raises:
            AttemptFailed: it does not; says what the filter is instead.
        """
        self._progress.at(Phase.MOVING, "take command")
        seen = yield Orders(True)
        began = seen.time_s
        while True:
            said = seen.filter
            if said is not None and said.source == "intervention":
                began = seen.time_s  # a person has precedence, however long it takes
            resting = self.rests(seen)
            if said is not None and said.ours and resting:
                break
            if seen.time_s - began > self._kit.settings.handover_s:
                raise AttemptFailed(self._gripper_silent(seen) or _not_ours(seen, resting))
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

        An opening between shut and wide is taken for a grasp and closed on: to be told its own
        opening would make the gripper let go of what it holds.
        """
        assert seen.joints is not None
        self._seen, self.q, self.width = seen, seen.joints.copy(), seen.width
        gripper = self._kit.robot.gripper
        if gripper is not None and seen.width is not None:
            tolerance = self._kit.settings.width_tolerance
            grasps = tolerance < seen.width < gripper.width_max - tolerance
            self.width = 0.0 if grasps else min(seen.width, gripper.width_max)
        self._recent.clear()

    def wait(self, seconds: float) -> Steps[None]:
        """Holds for a time."""
        until = self.seen.time_s + seconds
        while self.seen.time_s < until:
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
            AttemptFailed: the filter shortens the motion or stops it, or the arm lags behind.
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
        settings, began = self._kit.settings, self.seen.time_s
        while True:
            away = np.abs(self.measured - self._commanded())
            if away.max() <= settings.joint_tolerance and self.seen.speed < settings.rest_speed:
                return
            if self.seen.time_s - began > settings.settle_s:
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
        began = still_since = self.seen.time_s
        last = self.seen.width
        while self.seen.time_s - began < self._kit.settings.gripper_s:
            yield from self.tick()
            now = self.seen.width
            if now is None:
                raise AttemptFailed("the gripper's state is silent")
            if abs(now - last) > STILL_WIDTH:
                last, still_since = now, self.seen.time_s
            there = abs(now - self.width) < self._kit.settings.width_tolerance
            if there or self.seen.time_s - still_since > STALLED_S:
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
            raise AttemptFailed(f"the arm is {lag:.2f} rad behind what was commanded")

    def _watched(self, orders: Orders) -> Steps[None]:
        seen = yield orders
        while seen.filter is not None and seen.filter.ours and seen.filter.reasons & WAITING:
            seen = yield orders  # it takes no commands for the time being, and holds
        self._seen = seen
        if seen.joints is None:
            raise AttemptFailed("the joint states are silent")
        said = seen.filter
        if said is None:
            raise AttemptFailed("the safety filter is silent")
        if not said.ours:
            raise AttemptFailed(_not_ours(seen, True))
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


def _not_ours(seen: Seen, resting: bool) -> str:
    said = seen.filter
    if seen.joints is None:
        return "the joint states are silent"
    if said is None:
        return "the safety filter is silent"
    if said.source == "intervention":
        return "a person took over"
    if said.ours and not resting:
        return "the arm does not come to rest"
    why = ", ".join(sorted(said.reasons))
    note = "; ".join(part for part in (why, said.note) if part)
    return f"the safety filter is {said.state}" + (f": {note}" if note else "")
