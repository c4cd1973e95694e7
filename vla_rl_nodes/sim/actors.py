"""Who acts in a rollout: the scripted expert, or a policy with a delay."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.observation import Observation
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.sim.expert import Expert, ExpertState, cube_yaw
from vla_rl_nodes.sim.perturbation import Perturbation

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """What there is to act on at a control tick.

    Args:
        stamp_ns: the tick's time.
        observation: by stream key, as the contract assembles it.
        privileged: the simulator's configuration by name (SI units), for the expert alone.
    """

    stamp_ns: int
    observation: Observation
    privileged: Mapping[str, float]


@dataclass(frozen=True)
class Decision:
    """What is done at a tick: the base action [A], perhaps a residual [A] and a chunk [H, A]."""

    action: Vector
    residual: Vector | None = None
    chunk: Vector | None = None


class Actor(Protocol):
    """Acts once per control tick of an episode."""

    def start(self, seed: int) -> None:
        """Called before the first tick of an episode."""

    def decide(self, tick: int, seen: Seen) -> Decision | None:
        """The decision at a tick that counts from 0; None commands nothing."""


class ExpertActor:
    """The scripted expert, undisturbed or with its perturbation as a residual.

    At every tick it gives its clean branch as chunk, whose first action is the base action.

    Args:
        contract: names the streams' components and the bounds of time.
        perturbed: whether to disturb it.
        expert: the expert to use.
        target: the object to pick up.
    """

    def __init__(
        self,
        contract: Contract,
        perturbed: bool = False,
        expert: Expert | None = None,
        target: str = "cube",
    ) -> None:
        self._contract = contract
        self._perturbed = perturbed
        self._target = target
        self.expert = expert or Expert()
        self._perturbation: Perturbation | None = None

    def start(self, seed: int) -> None:
        """Draws the episode's perturbation."""
        ticks = round(self._contract.episode.time_limit_s * self._contract.policy_hz)
        self._perturbation = Perturbation(seed, ticks) if self._perturbed else None

    def decide(self, tick: int, seen: Seen) -> Decision:
        """The clean branch from here, and the tick's residual."""
        chunk = self.expert.branch(self.state(seen), self._contract.action.chunk_length)
        residual = None
        if self._perturbation is not None:
            residual = self._perturbation.residual(tick, chunk[0])
        return Decision(chunk[0], residual, chunk)

    def state(self, seen: Seen) -> ExpertState:
        """The expert's state from the observed vectors and the simulator's object pose."""
        values: dict[str, dict[str, float]] = {}
        for stream in self._contract.streams:
            if stream.kind == "vector":
                numbers = seen.observation[stream.key].astype(np.float64)
                values[stream.key] = dict(zip(stream.names, numbers, strict=True))
        pose = ("tool_x", "tool_y", "tool_z", "tool_yaw")
        cube = [seen.privileged[f"{self._target}_{part}"] for part in ("x", "y", "z")]
        turn = [seen.privileged[f"{self._target}_{part}"] for part in ("qw", "qx", "qy", "qz")]
        return ExpertState(
            reference=np.array([values["reference"][name] for name in pose]),
            tool=np.array([values["state"][name] for name in pose]),
            width=values["state"]["gripper_width"],
            finger_speed=values["state"]["gripper_speed"],
            cube=np.array(cube),
            cube_yaw=cube_yaw(np.array(turn)),
        )


class PolicyActor:
    """A policy that gives one action [A] per observation, late by a number of ticks.

    At each tick it acts on the observation of ``delay`` ticks before, and does nothing until
    there is one: what inference time does to a policy without real-time chunking.

    Args:
        policy: observation and tick in, action out.
        delay: ticks from an observation to the action that it leads to.
    """

    def __init__(
        self, policy: Callable[[Observation, int], NDArray[np.floating]], delay: int = 0
    ) -> None:
        if delay < 0:
            raise ValueError("delay must not be negative")
        self._policy = policy
        self._pending: deque[Observation] = deque(maxlen=delay + 1)

    def start(self, seed: int) -> None:
        """Forgets the observations of the last episode."""
        self._pending.clear()

    def decide(self, tick: int, seen: Seen) -> Decision | None:
        """The action for the observation of ``delay`` ticks ago."""
        self._pending.append(seen.observation)
        if len(self._pending) < (self._pending.maxlen or 0):
            return None
        return Decision(np.asarray(self._policy(self._pending[0], tick), dtype=np.float64))
