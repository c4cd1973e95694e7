"""One episode of several attempts in simulated time: episode machine, retry monitor, the reset's
retreat and the safety filter as in the graph, without ROS.
"""

from __future__ import annotations

from dataclasses import dataclass

from vla_rl_nodes.bench.people.reset_loop import LivingWorld
from vla_rl_nodes.bench.people.retries_signals import Signal, SimulatorState
from vla_rl_nodes.bench.people.retries_strategies import Strategies
from vla_rl_nodes.episodes.machine import Cause, EpisodeMachine, Watch
from vla_rl_nodes.episodes.machine import State as Episode
from vla_rl_nodes.episodes.reset.retreat import RetreatRun
from vla_rl_nodes.episodes.reset.seen import Orders
from vla_rl_nodes.episodes.reset.settings import ResetSettings
from vla_rl_nodes.episodes.retry import RetryMonitor, Stall
from vla_rl_nodes.episodes.retry_settings import RetrySettings
from vla_rl_nodes.safety.filter import Source, State
from vla_rl_nodes.sim.rollout import WARM_UP_NS, Rollout

SCRIPT = "franka_pick"
HELP = "help"  # an outcome of ours: nobody comes
_NEAR_STEPS = 1.0  # of the nearest that an attempt came, by the simulator's state
_NEXT_SEED = 10_000_000  # between the seeds of an episode's attempts


@dataclass(frozen=True)
class Told:
    """A stall that the monitor told.

    Attributes:
        strategy: under way.
        attempt: which it was, from 1.
        step: control tick of the episode.
        asked: what was asked for.
        cause: in words.
        after_s: since the task was as near to its end as it came in this attempt, by the
            simulator's state, s.
    """

    strategy: str
    attempt: int
    step: int
    asked: str
    cause: str
    after_s: float


@dataclass(frozen=True)
class Trial:
    """An episode.

    Attributes:
        seed: of its start and of the draws.
        strategies: by attempt.
        told: stalls; where nobody acts on them the first one alone.
        outcome: of the episode's machine, or ``help`` where a person was asked for.
        reason: of the outcome, in words.
        seconds: from the first control tick to the end, simulated, retreats included.
        retreats_s: of each retreat that was carried out.
        retreats_failed: why, of those that were not.
        bypasses: commands that were not the filter's.
    """

    seed: int
    strategies: tuple[str, ...]
    told: tuple[Told, ...]
    outcome: str
    reason: str
    seconds: float
    retreats_s: tuple[float, ...]
    retreats_failed: tuple[str, ...]
    bypasses: int

    @property
    def success(self) -> bool:
        """Whether the task was done within the cap."""
        return self.outcome == Episode.SUCCESS


class RetryWorld(LivingWorld):
    """The world at a seed's start, for one episode.

    Args:
        rollout: its world is replaced.
        seed: of the start and of all draws.
        strategies: what an attempt may follow.
        signal: what the monitor is told.
        settings: of the monitor.
        cap_s: of the whole episode.
    """

    def __init__(
        self,
        rollout: Rollout,
        seed: int,
        strategies: Strategies,
        signal: Signal,
        settings: RetrySettings,
        cap_s: float,
    ) -> None:
        super().__init__(rollout, seed, ResetSettings(), SCRIPT)
        self._strategies, self._signal, self._settings = strategies, signal, settings
        self._truth = SimulatorState(rollout.contract, rollout.scene)
        # Nothing falls silent here: there is one process and no message that could be lost.
        self._machine = EpisodeMachine(cap_s, Watch(alive=(), settle_s=0.0))
        self._monitor = RetryMonitor(settings)
        self._retreat: RetreatRun | None = None
        self._step = self._ticks = 0  # of the episode, and of this attempt
        self._near: list[tuple[int, float]] = []  # steps of this attempt, and the truth at each
        self._told: list[Told] = []
        self._names: list[str] = []
        self._retreats_s: list[float] = []
        self._failed: list[str] = []

    def trial(self, acts: bool) -> Trial:
        """The episode.

        Args:
            acts: whether anything is done about a stall.

        Raises:
            InputError: the filter refuses to be armed.
        """
        machine, period_ns = self._machine, self._contract.period_ns
        self._choose()
        self._forget()
        self._arm()
        self._advance_to(self._now + WARM_UP_NS)
        began_s = self.seconds
        machine.start(self._now)
        machine.reset_done(self._now, True)
        machine.run(self._now)
        self._begin()
        self._monitor.begin(-1)
        while machine.state is Episode.RUNNING and not machine.paused:
            if self._retreat is not None:
                self._retreating(self._retreat)
            else:
                self._acting(acts)
            self._advance_to(self._now + period_ns)
            self._step += 1
            if self._status.success:
                machine.end(Episode.SUCCESS, self._now, "predicate", Cause.TASK)
            if self._filter.state not in (State.ARMED, State.HOLDING):
                said = f"the safety filter is {self._filter.state.value}"
                machine.end(Episode.ABORTED, self._now, said)
            machine.tick(self._now)
        return Trial(
            self._seed, tuple(self._names), tuple(self._told),
            HELP if machine.help else machine.state.value, machine.help or machine.reason,
            self.seconds - began_s, tuple(self._retreats_s), tuple(self._failed),
            self.ledger.bypasses,
        )  # fmt: skip

    def _forget(self) -> None:
        """The task's rule begins anew, as the reward node's judges do at each attempt."""
        self._predicate.reset()
        self._status = self._predicate.observe(self.world.time_s, *self.world.named_state())

    def _choose(self) -> None:
        """The strategy of the coming attempt; its images must be there at its first tick."""
        self._choice = self._strategies.choice(self._seed, len(self._names) + 1)
        self._rollout.renderer.blackout = not (self._choice.looks or self._signal.looks)

    def _begin(self) -> None:
        self._ticks, self._near = 0, []
        self._choice.actor.start(self._seed + _NEXT_SEED * len(self._names))
        self._names.append(self._choice.name)

    def _acting(self, acts: bool) -> None:
        """One tick of the strategy, and the monitor's look at it."""
        seen = self._see()
        decision = self._choice.actor.decide(self._ticks, seen)
        self._ticks += 1
        if decision is not None:
            self._send(seen.stamp_ns, decision)
        if self._told and not acts:
            return
        where = self._seed, self._machine.attempt, seen, self._status.lifted_s
        self._near.append((self._step, self._truth.forecast(*where).steps))
        forecast = self._signal.forecast(*where)
        if forecast.confidence < self._settings.confidence_min:
            return
        stall = self._monitor.add(self._step, forecast.steps)
        if stall is not None:
            self._stalled(stall, acts)

    def _stalled(self, stall: Stall, acts: bool) -> None:
        """What the nodes of the monitor and of the episode do."""
        machine = self._machine
        asked = self._settings.action(machine.attempt - 1)
        nearest = min(steps for _, steps in self._near)
        failed = next(step for step, steps in self._near if steps <= nearest + _NEAR_STEPS)
        after_s = (stall.step - failed) / self._contract.policy_hz
        self._told.append(
            Told(self._choice.name, machine.attempt, stall.step, asked, stall.cause, after_s)
        )
        if not acts:
            return
        if asked == "retry":
            machine.retreat(self._now, stall.cause)
            self._retreat, self._retreat_from = RetreatRun(self.kit), self._now
            self._choose()
        elif asked == "help":
            machine.ask_help(self._now, stall.cause)
        else:
            machine.end(Episode.ABORTED, self._now, f"given up: {stall.cause}")

    def _retreating(self, run: RetreatRun) -> None:
        """One tick of the retreat; the policy goes on from where it ends."""
        machine = self._machine
        self._hand_over(run.tick(self.look()))
        machine.reset_heard(self._now, False)
        if not run.over:
            return
        self._retreat = None
        machine.retreated(self._now, run.done, run.reason)
        if not run.done:
            self._failed.append(run.reason)
            return
        self._retreats_s.append((self._now - self._retreat_from) / 1e9)
        self._forget()
        self._monitor.begin(self._step)
        self._begin()

    def _hand_over(self, orders: Orders) -> None:
        """The reset's messages in mid-episode: the filter stays armed when they end."""
        if orders.active != self._engaged:
            self._engaged = orders.active
            self._filter.engage(Source.RESET, orders.active, self._instant)
        if orders.action is not None:
            axes = self._contract.action.names
            self._filter.command(
                Source.RESET, self._now, self._instant, axes, orders.action.tolist()
            )
