"""A score of 1 to 5 for how an episode ended (RoboReward, 2601.00675).

1: nothing towards the goal, 2: little, 3: part of it, 4: nearly, 5: complete. It is given for the
task's text and a film of the episode, and judged on the final state alone.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass

from vla_rl_nodes.episodes.reward.judge import Judge, Look
from vla_rl_nodes.episodes.reward.verdict import Verdict
from vla_rl_nodes.errors import InputError

BEST = 5
LONGEST = 4000  # characters of an answer
_ANSWER = re.compile(r"ANSWER: ([1-5])")


@dataclass(frozen=True)
class Scored:
    """A score 1 to 5, what was said besides, and the probability of success where it is known."""

    score: int
    critique: str | None = None
    confidence: float | None = None


@dataclass(frozen=True)
class Scale:
    """What the scores are worth.

    Attributes:
        rewards: of the scores 1 to 5, [5].
        success_from: the least score that is a success.
    """

    rewards: tuple[float, ...]
    success_from: int


def parse_answer(place: object, text: str) -> Scored:
    """The score in an answer, whose last line must be ``ANSWER: n`` and no other like it.

    What stands before that line is the critique, as it is.

    Raises:
        InputError: there is no such line, more than one, or something after it; or it is too
            long, or no text that could be published.
    """
    if len(text) > LONGEST:
        problem = f"has an answer of {len(text)} characters, at most {LONGEST} are taken"
        raise InputError(place, problem, "have it say less")
    try:
        text.encode("utf-8")
        publishable = "\0" not in text
    except UnicodeEncodeError:
        publishable = False
    if not publishable:
        raise InputError(place, "has an answer that is no plain text", "check what serves there")
    *before, last = text.rstrip().split("\n")
    match = _ANSWER.fullmatch(last)
    if match is None or any(line.lstrip().upper().startswith("ANSWER") for line in before):
        raise InputError(
            place, "has no answer: not one line 'ANSWER: n' with n of 1 to 5 at the end",
            "look at what is served there",
        )  # fmt: skip
    return Scored(int(match.group(1)), "\n".join(before) or None)


class Rubric(Judge):
    """Judges an episode once, when it has ended.

    Args:
        source: of the verdicts.
        cameras: whose frames it takes.
        frames: T, how many.
        scale: what the scores are worth.
    """

    sees = "film"

    def __init__(self, source: str, cameras: tuple[str, ...], frames: int, scale: Scale) -> None:
        super().__init__(source, cameras)
        self.film = frames
        self.scale = scale

    def _verdict(self, look: Look) -> Verdict:
        scored = self._score(look)
        return Verdict(
            look.stamp_ns,
            self.source,
            self.scale.rewards[scored.score - 1],
            scored.score >= self.scale.success_from,
            scored.confidence,
            (scored.score - 1) / (BEST - 1),
            critique=scored.critique,
            critique_code=scored.score,
        )

    @abstractmethod
    def _score(self, look: Look) -> Scored: ...
