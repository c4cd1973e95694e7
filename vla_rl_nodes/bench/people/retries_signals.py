"""What the retry monitor is told: the control ticks that the task still takes, and how surely."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.episodes.reward.judge import Judge, Look
from vla_rl_nodes.sim.actors import ExpertActor, Seen
from vla_rl_nodes.sim.expert import Expert, ExpertSettings
from vla_rl_nodes.sim.person_sight import remaining_s
from vla_rl_nodes.sim.scene import Scene


class Forecast(NamedTuple):
    """Control ticks to go, 0 and more, and a confidence from 0 to 1."""

    steps: float
    confidence: float


class Signal(Protocol):
    """Gives one forecast a control tick.

    Attributes:
        source: what it is, for the figures.
        looks: whether it needs images.
    """

    source: str
    looks: bool

    def forecast(self, episode: int, attempt: int, seen: Seen, lifted_s: float) -> Forecast:
        """The forecast at a tick.

        Args:
            episode: number of it; a new attempt or episode begins afresh.
            attempt: 1, and one more for each retreat.
            seen: at the tick.
            lifted_s: for how long the task's rule has seen the object lifted, s.
        """


class SimulatorState:
    """From where arm and object really are: nobody knows this on a robot.

    The parts of the task that are left, each with the time that a careful hand takes for it, and
    the time that the object has to be held up.

    Args:
        contract: of the task.
        scene: with a task.
    """

    source = "the simulator's state"
    looks = False

    def __init__(self, contract: Contract, scene: Scene) -> None:
        assert scene.task is not None
        task = scene.task
        edge_m = next(thing.edge_m for thing in scene.objects if thing.name == task.object)
        held_m = scene.support_m + edge_m / 2.0 + task.lift_m
        self._state = ExpertActor(contract, target=task.object).state
        self._expert = Expert(ExpertSettings(lift_to_m=held_m))
        self._hold_s, self._hz = task.hold_s, contract.policy_hz

    def forecast(self, episode: int, attempt: int, seen: Seen, lifted_s: float) -> Forecast:
        """See :meth:`Signal.forecast`; it knows, so its confidence is 1."""
        left = remaining_s(self._expert, self._state(seen))
        hold = max(self._hold_s - lifted_s, 0.0)
        return Forecast(self._hz * (max(left, 0.0) + hold), 1.0)


class TrainedModel:
    """A model of steps to go that looks through the cameras, as the reward node runs it.

    Args:
        judge: the reward node's backend; it says the steps to go and how sure it is.
        task: the episodes' task text.
    """

    looks = True

    def __init__(self, judge: Judge, task: str) -> None:
        self.source = judge.source
        self._judge, self._task = judge, task

    def forecast(self, episode: int, attempt: int, seen: Seen, lifted_s: float) -> Forecast:
        """See :meth:`Signal.forecast`.

        Raises:
            InputError: the model fails.
        """
        verdict = self._judge.judge(
            Look(str(episode), seen.stamp_ns, self._task, seen.observation, attempt=attempt)
        )
        assert verdict.steps_to_go is not None and verdict.progress_confidence is not None
        return Forecast(verdict.steps_to_go, verdict.progress_confidence)
