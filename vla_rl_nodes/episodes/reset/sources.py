"""Where a reset gets from what is not the robot's own: states, demonstrations, a simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from vla_rl_nodes.episodes.reset.demonstration import Demonstration
from vla_rl_nodes.episodes.reset.kit import Pending
from vla_rl_nodes.episodes.reset.stored import StoredStates


class RecordedStart(NamedTuple):
    """The simulator's state in which a recorded episode began.

    Attributes:
        episode_id: of that episode.
        state: by name, as in ``sim/state``; SI units.
        sha256: the start's hash, see ``replay.start_state``.
    """

    episode_id: str
    state: Mapping[str, float]
    sha256: str


class Simulator(Protocol):
    """Puts a simulated world to a start. Results are empty, or say why it was not done."""

    def reset(self, seed: int) -> Pending[str]:
        """To the start that the seed stands for."""

    def restore(self, start: RecordedStart) -> Pending[str]:
        """To a recorded start."""


class Demonstrations(Protocol):
    """Recorded demonstrations."""

    def choose(self, seed: int) -> Demonstration:
        """One of them, drawn from the seed; may take long.

        Raises:
            InputError: there is none, or it cannot be read.
        """


class Recordings(Protocol):
    """Recorded episodes of a simulator."""

    def start(self) -> RecordedStart:
        """The start to restore; may take long.

        Raises:
            InputError: none is named, or it cannot be read, or it holds no simulator's state.
        """


@dataclass(frozen=True)
class Sources:
    """What the modes draw on; None where there is none.

    Attributes:
        simulator: None on hardware.
        recordings: of recorded starts.
        demonstrations: to go along.
        stored: states to go back to.
        return_to: name of the stored state; empty: drawn from the seed.
        demo_share: how much of a demonstration is gone at most, 0 to 1.
    """

    simulator: Simulator | None = None
    recordings: Recordings | None = None
    demonstrations: Demonstrations | None = None
    stored: StoredStates | None = None
    return_to: str = ""
    demo_share: float = 0.8
