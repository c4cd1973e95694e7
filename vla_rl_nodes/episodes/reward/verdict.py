"""What a judge says of an episode at one time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vla_rl_nodes.errors import InputError

_SHARES = ("confidence", "progress", "progress_confidence")


@dataclass(frozen=True)
class Verdict:
    """One stamped verdict. None means that the judge says nothing of it; nothing is filled in.

    Attributes:
        stamp_ns: capture time of the newest input that was judged, nanoseconds.
        source: who judged; goes into the message's frame_id and so into the replay.
        reward: see ``Judge.adds`` for whether it is of this moment or since the last verdict.
        success: whether the task is done, by the judge's whole rule.
        confidence: a model's probability of success, 0 to 1; 1 of a predicate, which knows.
        progress: share of the task that is done, 0 to 1.
        steps_to_go: control ticks until the task is done.
        progress_confidence: how sure the judge is of progress and steps, 0 to 1.
        critique: what the judge says in words, kept byte for byte.
        critique_code: a number for it, such as the score 1 to 5 of a rubric.

    Raises:
        InputError: a number is not finite, or a share is not between 0 and 1.
    """

    stamp_ns: int
    source: str
    reward: float | None = None
    success: bool | None = None
    confidence: float | None = None
    progress: float | None = None
    steps_to_go: float | None = None
    progress_confidence: float | None = None
    critique: str | None = None
    critique_code: int | None = None

    def __post_init__(self) -> None:
        for name in ("reward", "steps_to_go", *_SHARES):
            value = getattr(self, name)
            if value is None:
                continue
            if not math.isfinite(value):
                raise InputError(self.source, f"gives a {name} that is not finite", "train again")
            if name in _SHARES and not 0.0 <= value <= 1.0:
                raise InputError(self.source, f"gives {name} {value:g}", "give 0 to 1")
