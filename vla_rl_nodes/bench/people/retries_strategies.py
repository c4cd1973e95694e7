"""Ways of going about the picking task, drawn at each attempt: most of them work, some do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from vla_rl_nodes.bench.people.failing_actors import Drops, Misses, StopsShort
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.sim.actors import Actor, Decision, ExpertActor, Seen
from vla_rl_nodes.sim.expert import CLOSED, OPEN

GOOD = "good"
FAILING = ("beside", "above", "over", "short", "drops")
FAILING_SHARE = 0.3
_HIGHER_M = (0.05, 0.08)  # how far above the cube


class Choice(NamedTuple):
    """A strategy's name, who carries it out, and whether he looks through the cameras."""

    name: str
    actor: Actor
    looks: bool


def drawn(seed: int, attempt: int) -> str:
    """The strategy of an attempt, counted from 1: :data:`GOOD` or one of :data:`FAILING`.

    Each attempt is drawn for itself, with the same chances: a policy that samples its chunks
    does not know what has failed, and nothing in the graph tells it.
    """
    rng = np.random.default_rng([seed, attempt, 0x57A7])
    if rng.random() >= FAILING_SHARE:
        return GOOD
    return FAILING[int(rng.integers(len(FAILING)))]


class ClosesAbove(Misses):
    """Closes in the air above the cube and lifts the empty hand."""

    def start(self, seed: int) -> None:
        """Draws how far above."""
        super().start(seed)
        height = float(np.random.default_rng([seed, 0xAB0E]).uniform(*_HIGHER_M))
        self._off = {f"{self._target}_z": height}


class StopsOver:
    """Comes to a stop above the cube with open fingers, and stays there.

    Args:
        contract: of the task.
        target: the object.
    """

    def __init__(self, contract: Contract, target: str) -> None:
        self._expert = ExpertActor(contract, target=target)
        self._height = f"{target}_z"

    def start(self, seed: int) -> None:
        """Draws how far above."""
        self._above = float(np.random.default_rng([seed, 0x0FE2]).uniform(*_HIGHER_M))
        self._expert.start(seed)

    def decide(self, tick: int, seen: Seen) -> Decision:
        """The expert's for a cube that is higher up, which is never gripped."""
        wrong = {**seen.privileged, self._height: seen.privileged[self._height] + self._above}
        decision = self._expert.decide(tick, replace(seen, privileged=wrong))
        if decision.action[4] == CLOSED:
            return Decision(np.array([0.0, 0.0, 0.0, 0.0, OPEN]))
        return decision


class Strategies:
    """Who carries out the strategies.

    Args:
        contract: of the task.
        target: the object.
        good: the actor of the strategy that works.
        looks: whether he looks through the cameras; all others know where the cube is.
        choose: the strategy's name from an episode's seed and an attempt.
    """

    def __init__(
        self,
        contract: Contract,
        target: str,
        good: Actor,
        looks: bool,
        choose: Callable[[int, int], str] = drawn,
    ) -> None:
        self._choose, self._looks = choose, looks
        self._make: Mapping[str, Callable[[], Actor]] = {
            GOOD: lambda: good,
            "beside": lambda: Misses(contract, target),
            "above": lambda: ClosesAbove(contract, target),
            "over": lambda: StopsOver(contract, target),
            "short": lambda: StopsShort(contract, target),
            "drops": lambda: Drops(contract, target),
        }

    def choice(self, seed: int, attempt: int) -> Choice:
        """The strategy of an attempt."""
        name = self._choose(seed, attempt)
        return Choice(name, self._make[name](), self._looks and name == GOOD)
