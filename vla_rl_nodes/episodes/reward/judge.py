"""The one contract of every reward backend: a look at the robot in, a verdict out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.closable import Closable
from vla_rl_nodes.episodes.reward.verdict import Verdict


@dataclass(frozen=True)
class Look:
    """What a judge is shown.

    Attributes:
        episode_id: of the running episode.
        stamp_ns: capture time of the newest input, nanoseconds.
        task: the episode's task text.
        observation: stream key to uint8 image [H, W, 3] or float32 vector [n], chosen by the
            contract's alignment rule.
        names: of the simulator's named state, for judges of ``sim/state``.
        values: of that state, in SI units.
        attempt: 1, and one more for each retreat in the episode. A judge of single looks forgets
            everything when episode or attempt change.
        frames: for judges of whole episodes: camera key to uint8 [N, H, W, 3], evenly over the
            episode, the first and the newest among them.
    """

    episode_id: str
    stamp_ns: int
    task: str
    observation: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    names: Sequence[str] = ()
    values: Sequence[float] | NDArray[np.float64] = ()
    attempt: int = 1
    frames: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def whose(self) -> tuple[str, int]:
        """Episode and attempt."""
        return self.episode_id, self.attempt


class Judge(Closable):
    """A backend that judges looks, one at a time and in one thread.

    An error or a missing answer is raised and gives no verdict; nothing is ever guessed.

    Attributes:
        source: goes into every verdict.
        streams: keys of the observation streams that it is shown.
        adds: whether its rewards are differences that add up over an episode. Otherwise a reward
            holds for the moment, and a newer one of the same step replaces it.
        sees: what a look is made from: the observation streams at a control tick, a message of
            ``sim/state``, the tick alone, or the film of an episode after its end.
        inline: whether it is quick enough to judge where a message comes in; all others judge in
            a thread of their own.
        film: how many frames of an episode it is shown, if any.
    """

    adds = False
    sees: Literal["streams", "state", "tick", "film"] = "streams"
    inline = False
    film = 0

    def __init__(self, source: str, streams: tuple[str, ...]) -> None:
        self.source = source
        self.streams = streams
        self._whose: tuple[str, int] | None = None

    def judge(self, look: Look) -> Verdict:
        """The verdict on a look.

        Raises:
            InputError: there is none: a model or server failed, took too long, or had no answer.
        """
        if look.whose != self._whose:
            self.forget()
            self._whose = look.whose
        return self._verdict(look)

    def forget(self) -> None:
        """Called before the first look of an episode or of a new attempt."""
        return

    def close(self) -> None:
        """Frees connections, where there are any."""
        return

    @abstractmethod
    def _verdict(self, look: Look) -> Verdict: ...
