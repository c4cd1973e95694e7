"""Actors that fail at picking in the ways that fool a success detector."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.sim.actors import Actor, Decision, ExpertActor, Seen
from vla_rl_nodes.sim.expert import CLOSED, OPEN, Expert, ExpertSettings
from vla_rl_nodes.sim.rollout import Rollout

Vector = NDArray[np.float64]

_SHUT = 0.006  # metres: a gripper that is narrower holds nothing
_RISE = 0.010  # metres a tick


def _rng(seed: int, salt: int) -> np.random.Generator:
    return np.random.default_rng([seed, salt])


class StopsShort:
    """Picks the cube up and holds it below the height that counts: almost a success.

    Args:
        contract: of the task.
        target: the object.
        heights_m: range of the tool's height at which it stays; the cube hangs at the same.
    """

    def __init__(
        self, contract: Contract, target: str, heights_m: tuple[float, float] = (0.04, 0.095)
    ) -> None:
        self._contract, self._target, self._heights = contract, target, heights_m

    def start(self, seed: int) -> None:
        """Draws the height."""
        height = float(_rng(seed, 0x5705).uniform(*self._heights))
        expert = Expert(ExpertSettings(lift_to_m=height))
        self._expert = ExpertActor(self._contract, expert=expert, target=self._target)
        self._expert.start(seed)

    def decide(self, tick: int, seen: Seen) -> Decision:
        """The expert's, which has a lower goal."""
        return self._expert.decide(tick, seen)


class Misses:
    """Closes beside the cube and lifts the empty hand to where a success ends.

    Args:
        contract: of the task.
        target: the object.
    """

    def __init__(self, contract: Contract, target: str) -> None:
        self._expert = ExpertActor(contract, target=target)
        self._target = target

    def start(self, seed: int) -> None:
        """Draws by how much it misses, and in which direction."""
        rng = _rng(seed, 0x3155)
        angle, distance = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.05, 0.08)
        self._off = {f"{self._target}_x": distance * np.cos(angle),
                     f"{self._target}_y": distance * np.sin(angle)}  # fmt: skip
        self._closing = False
        self._expert.start(seed)

    def decide(self, tick: int, seen: Seen) -> Decision:
        """The expert's for a cube that is elsewhere; then straight up with closed fingers."""
        state = self._expert.state(seen)
        if self._closing:
            rise = min(max(0.35 * (0.17 - state.reference[2]), -_RISE), _RISE)
            rise *= state.width < _SHUT
            return Decision(np.array([0.0, 0.0, rise, 0.0, CLOSED]))
        wrong = {name: value + self._off.get(name, 0.0) for name, value in seen.privileged.items()}
        decision = self._expert.decide(tick, replace(seen, privileged=wrong))
        self._closing = bool(decision.action[4] == CLOSED)
        return decision


class Drops:
    """Picks the cube up and lets go of it on the way; then hovers with open fingers.

    Args:
        contract: of the task.
        target: the object.
    """

    def __init__(self, contract: Contract, target: str) -> None:
        self._expert = ExpertActor(contract, target=target)
        self._target = target

    def start(self, seed: int) -> None:
        """Draws the height at which it lets go."""
        self._height = float(_rng(seed, 0xD409).uniform(0.05, 0.12))
        self._dropped = False
        self._expert.start(seed)

    def decide(self, tick: int, seen: Seen) -> Decision:
        """The expert's, until the cube is high enough to be dropped."""
        self._dropped = self._dropped or seen.privileged[f"{self._target}_z"] > self._height
        if self._dropped:
            return Decision(np.array([0.0, 0.0, 0.0, 0.0, OPEN]))
        return self._expert.decide(tick, seen)


class StartsLate:
    """The disturbed expert, who waits until there is too little time left.

    Args:
        contract: of the task.
        target: the object.
    """

    def __init__(self, contract: Contract, target: str) -> None:
        self._expert = ExpertActor(contract, perturbed=True, target=target)

    def start(self, seed: int) -> None:
        """Draws how long it waits, in control ticks."""
        self._wait = int(_rng(seed, 0x1A7E).integers(60, 100))
        self._expert.start(seed)

    def decide(self, tick: int, seen: Seen) -> Decision:
        """To stay, and then the expert's."""
        if tick < self._wait:
            return Decision(np.array([0.0, 0.0, 0.0, 0.0, OPEN]))
        return self._expert.decide(tick, seen)


class Blinded:
    """Another actor whose cameras go dark in the middle of the episode and stay so.

    Args:
        actor: who acts.
        rollout: whose cameras go dark, for the actor and for the record.
    """

    def __init__(self, actor: Actor, rollout: Rollout) -> None:
        self._actor, self._rollout = actor, rollout

    def start(self, seed: int) -> None:
        """Draws when the lights go out, and turns them on."""
        self._from = int(_rng(seed, 0xB11D).integers(5, 30))
        self._rollout.renderer.blackout = False
        self._actor.start(seed)

    def decide(self, tick: int, seen: Seen) -> Decision | None:
        """The other's."""
        self._rollout.renderer.blackout = tick >= self._from
        return self._actor.decide(tick, seen)
