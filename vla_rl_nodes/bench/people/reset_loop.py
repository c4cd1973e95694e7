"""Physics, safety filter and reset in one loop in simulated time, without ROS.

The world is put to a start once; from then on only the filter's output moves the robot, and what
the robot does moves the objects. Every command that reaches the controllers is compared with the
output of the filter's tick that it came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.episodes.reset.kit import Kit, at_once, make_kit
from vla_rl_nodes.episodes.reset.run import ResetRun
from vla_rl_nodes.episodes.reset.script import load_script
from vla_rl_nodes.episodes.reset.seen import FilterSeen, NamedState, Orders, Seen
from vla_rl_nodes.episodes.reset.settings import Mode, ResetRequest, ResetSettings
from vla_rl_nodes.episodes.reset.sources import Sources
from vla_rl_nodes.episodes.reset.totals import Totals
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.safety.filter import FilterOutput, Instant, SafetyFilter, Source, State
from vla_rl_nodes.safety.reasons import NONE, reason_names
from vla_rl_nodes.sim.actors import Actor
from vla_rl_nodes.sim.rollout import START_NS, WARM_UP_NS, Rollout, _Loop
from vla_rl_nodes.sim.world import World

Array = NDArray[np.float64]

LONGEST_S = 180.0  # of one reset, simulated
BREATH_NS = 300_000_000  # after an episode, before the reset takes over


class WatchedFilter(SafetyFilter):
    """The safety filter; keeps what its last tick gave, and the reasons since they were read."""

    output: FilterOutput | None = None
    _reasons = NONE

    def tick(self, now: Instant, skipped: int = 0) -> FilterOutput:
        """See :meth:`SafetyFilter.tick`."""
        self.output = output = super().tick(now, skipped)
        self._reasons |= output.reasons | output.cause
        if output.executed is not None:
            self._reasons |= output.executed.reasons
        return output

    def seen(self, note: str) -> FilterSeen:
        """What ``safety/status`` says since it was asked last."""
        output, reasons = self.output, self._reasons
        self._reasons = NONE
        # A new filter has not ticked, and an order between two ticks shows with the next one.
        source = "" if output is None or output.source is None else output.source.value
        return FilterSeen(self.state.value, source, frozenset(reason_names(reasons)), note)


@dataclass
class Ledger:
    """What reached the controllers.

    Attributes:
        commands: of trajectories and of openings.
        bypasses: of these that are not what the filter's last tick gave.
        leaps: how often the world was put somewhere since the count began.
    """

    commands: int = 0
    bypasses: int = 0
    leaps: int = 0


class GuardedWorld(World):
    """A world that compares every command with the filter's output, and counts leaps."""

    ledger: Ledger | None = None
    source: WatchedFilter | None = None
    sent: float | None = None  # m, to the gripper; None: nothing since it was put somewhere

    def _count(self, came_from_filter: bool) -> None:
        if self.ledger is not None:
            self.ledger.commands += 1
            self.ledger.bypasses += not came_from_filter

    def command_trajectory(self, times_s: Array, positions: Array, *rest: Any) -> None:
        """See :meth:`World.command_trajectory`."""
        output = None if self.source is None else self.source.output
        plan = None if output is None else output.plan
        # The first row is the knot that is under way, commanded by the tick before.
        self._count(plan is not None and np.array_equal(positions[1:], plan.q))
        super().command_trajectory(times_s, positions, *rest)

    def command_positions(self, positions: Array) -> None:
        """See :meth:`World.command_positions`; nobody uses it here."""
        self._count(False)
        super().command_positions(positions)

    def command_gripper(self, width: float) -> None:
        """See :meth:`World.command_gripper`."""
        output = None if self.source is None else self.source.output
        self._count(output is not None and output.gripper_width == width)
        self.sent = width
        super().command_gripper(width)

    def reset(self, seed: int) -> None:
        """See :meth:`World.reset`."""
        self._leap()
        super().reset(seed)

    def put(self, names: Any, values: Any) -> None:
        """See :meth:`World.put`."""
        self._leap()
        super().put(names, values)

    def place_object(self, name: str, position: Array, yaw: float) -> None:
        """See :meth:`World.place_object`."""
        self._leap()
        super().place_object(name, position, yaw)

    def restore(self, state: Any) -> None:
        """See :meth:`World.restore`."""
        self._leap()
        super().restore(state)

    def _leap(self) -> None:
        self.sent = None
        if self.ledger is not None:
            self.ledger.leaps += 1


class LivingWorld(_Loop):
    """One world that goes on: episodes and resets follow each other, nothing is put anywhere.

    Args:
        rollout: its world, filter settings and cameras; its world is replaced by a guarded one.
        seed: of the first start, and of the clocks' phases.
        settings: of the resets.
        script: name or path of the task's reset.
    """

    def __init__(self, rollout: Rollout, seed: int, settings: ResetSettings, script: str) -> None:
        world = GuardedWorld(rollout.robot, rollout.scene)
        rollout.world = world
        super().__init__(rollout, seed)
        self.world = world
        self._filter: WatchedFilter = WatchedFilter(
            rollout.robot, rollout.kinematics, rollout.contract, rollout.limits
        )
        self.ledger = Ledger()
        world.source, world.ledger = self._filter, self.ledger
        self._note = ""
        self._engaged = False
        self.kit: Kit = make_kit(
            rollout.robot, rollout.contract, rollout.limits, load_script(script), settings, at_once
        )
        self.totals = Totals(self.seconds)
        self._hear_joint_states()
        self._advance_to(self._now + WARM_UP_NS)

    @property
    def seconds(self) -> float:
        """Simulated time, s."""
        return (self._now - START_NS) / 1e9

    def put(self, state: Mapping[str, float]) -> None:
        """A start for what follows: the world as a named state says; not counted as a leap."""
        self.world.ledger = None
        self.world.put(list(state), list(state.values()))
        self.world.ledger = self.ledger
        self._knot, self._resting = None, False
        self._filter = self.world.source = WatchedFilter(
            self._rollout.robot, self._rollout.kinematics, self._contract, self._rollout.limits
        )
        self._measured = self._now, self.world.joint_positions
        self._predicate.reset()

    def helped(self, seed: int) -> None:
        """A person puts the world to a seed's start; counted as a leap."""
        self.world.reset(seed)
        self.put(dict(zip(self.world.names, self.world.named_state()[1].tolist(), strict=True)))
        self.let_time_pass(WARM_UP_NS / 1e9)

    def close_gripper(self) -> None:
        """Lets the gripper press on what is between its fingers, before anything is counted."""
        self.world.ledger = None
        self.world.command_gripper(0.0)
        self.world.ledger = self.ledger

    def let_time_pass(self, seconds: float) -> None:
        """The world goes on and nobody commands anything."""
        self._advance_to(self._now + round(seconds * 1e9))

    def look(self) -> Seen:
        """What a reset sees now."""
        world, names = self.world, self.world.names
        state = dict(zip(names, world.named_state()[1].tolist(), strict=True))
        return Seen(
            self.seconds, world.joint_positions, float(np.abs(world.joint_velocities).max()),
            world.gripper_width, self._filter.seen(self._note), NamedState(self.seconds, state),
            self._opening(),
        )  # fmt: skip

    def reset(self, mode: Mode, seed: int, sources: Sources | None = None) -> ResetRun:
        """A whole reset, until it has ended or asks a person; then it is cancelled."""
        run = ResetRun(self.kit, sources or Sources(), ResetRequest(mode, seed), self.totals)
        began = self.seconds
        # Nobody looks at the images of a reset.
        lit, self._rollout.renderer.blackout = self._rollout.renderer.blackout, True
        while not run.over:
            orders = run.tick(self.look())
            self._obey(orders)
            asking = run.progress.phase.value == "asking"
            if asking or self.seconds - began > LONGEST_S:
                reason = run.progress.reason if asking else "the reset did not end"
                run.cancel()
                self._obey(run.tick(self.look()))
                run.progress.reason = reason
                break
            self._advance_to(self._now + self._contract.period_ns)
        self._come_to_rest()
        self._rollout.renderer.blackout = lit
        return run

    def episode(self, actor: Actor, seed: int) -> bool:
        """One episode from where everything is; whether the task succeeded.

        Raises:
            InputError: the filter refuses to be armed.
        """
        self._predicate.reset()
        self._status = self._predicate.observe(self.world.time_s, *self.world.named_state())
        self._arm()
        actor.start(seed)
        self._advance_to(self._now + WARM_UP_NS)
        limit = round(self._contract.episode.time_limit_s * self._contract.policy_hz)
        for tick in range(limit):
            if self._status.success or self._filter.state not in (State.ARMED, State.HOLDING):
                break
            seen = self._see()
            decision = actor.decide(tick, seen)
            if decision is not None:
                self._send(seen.stamp_ns, decision)
            self._advance_to(self._now + self._contract.period_ns)
        self._come_to_rest()
        self._advance_to(self._now + BREATH_NS)
        return self._status.success

    def _arm(self, for_reset: bool = False) -> None:
        self._filter.arm(self._instant, self.world.joint_positions, self._opening(), for_reset)

    def _opening(self) -> float:
        """Where the gripper was sent, as the filter's node remembers it; m."""
        sent, measured = self.world.sent, self.world.gripper_width
        return measured if sent is None else min(sent, measured)

    def _come_to_rest(self) -> None:
        """Disarms, as the end of an episode does, and lets the stop be followed to its end."""
        self._filter.disarm()
        until = self._now + 2_000_000_000
        while self._filter.state is not State.DISARMED and self._now < until:
            self._advance_to(self._now + self._contract.period_ns)

    def _obey(self, orders: Orders) -> None:
        """What the safety filter's node does with a reset's messages."""
        if orders.active and not self._engaged:
            self._engaged = True
            self._filter.engage(Source.RESET, True, self._instant)
        if not orders.active:
            self._note = ""
            if self._engaged:
                self._engaged = False
                self._filter.engage(Source.RESET, False, self._instant)
                self._filter.disarm()
            return
        if self._filter.state in (State.DISARMED, State.STOPPED, State.FAULTED):
            self._take_over(orders)
            return
        names = self._filter.joint_names
        if orders.joints is not None:
            width = [] if orders.width is None else [orders.width]
            self._filter.joints(self._now, self._instant, names, [*orders.joints.tolist(), *width])
        elif orders.action is not None:
            axes = self._contract.action.names
            self._filter.command(
                Source.RESET, self._now, self._instant, axes, orders.action.tolist()
            )

    def _take_over(self, orders: Orders) -> None:
        """Arms for a reset, once: what has stopped one is not armed again."""
        if orders.joints is not None or orders.action is not None:
            return
        try:
            self._arm(for_reset=True)
            self._note = ""
        except InputError as error:
            self._note = error.problem
