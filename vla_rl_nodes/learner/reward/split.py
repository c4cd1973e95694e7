"""Episodes held out, and folds of them: never frames of one episode on both sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.episode import EpisodeHeader


def start_of(header: EpisodeHeader) -> tuple[int, str]:
    """What two episodes share when they start alike; without a seed each start is its own."""
    return (header.seed, "") if header.seed is not None else (-1, header.episode_id)


def held_out(
    headers: Sequence[EpisodeHeader], every: int, seed: int
) -> tuple[list[int], list[int]]:
    """Indices of the episodes to train on, and of those to measure with.

    Of the starts of successes and of those of the others, each in an order drawn from the seed,
    one in ``every`` is held out, with all episodes from it.

    Raises:
        InputError: there is no start to hold out.
    """
    part = _parts(headers, every, seed)
    out = [index for index, which in enumerate(part) if which == every - 1]
    if not out:
        raise InputError(
            "replay",
            f"holds {len(headers)} episodes, none can be held out",
            f"record at least {every} successes and {every} failures",
        )
    return [index for index in range(len(headers)) if part[index] != every - 1], out


def folds(headers: Sequence[EpisodeHeader], count: int, seed: int) -> list[list[int]]:
    """Indices of the episodes in each of ``count`` parts, about equal in successes.

    Raises:
        InputError: fewer than ``count`` starts of successes or of other episodes.
    """
    for wanted, name in ((True, "succeeded"), (False, "failed")):
        starts = {start_of(h) for h in headers if (h.outcome == "success") == wanted}
        if len(starts) < count:
            raise InputError(
                "replay",
                f"holds {len(starts)} starts that {name}, {count} folds need one each",
                "label more episodes, or lower folds",
            )
    part = _parts(headers, count, seed)
    return [[i for i, which in enumerate(part) if which == k] for k in range(count)]


def _parts(headers: Sequence[EpisodeHeader], count: int, seed: int) -> list[int]:
    """For each episode, which of ``count`` parts it belongs to."""
    rng = np.random.default_rng([seed, 0x5B17])
    part: dict[tuple[int, str], int] = {}
    for wanted in (True, False):
        starts = sorted({start_of(h) for h in headers if (h.outcome == "success") == wanted})
        fresh = [start for start in starts if start not in part]
        for position, index in enumerate(rng.permutation(len(fresh))):
            part[fresh[index]] = position % count
    return [part[start_of(header)] for header in headers]
