"""Labelled replay folders of a made-up task: a square that rises; at the top it is done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract

from ..toy_replay import STEPS, toy_episode, write_episode

TASK = "raise the square"


def picture(height: int, width: int, share: float, column: float) -> NDArray[np.uint8]:
    """A red square on grey, at a share of the way up."""
    image = np.full((height, width, 3), 90, dtype=np.uint8)
    row, at = round((0.9 - 0.8 * share) * (height - 1)), round(column * (width - 1))
    image[max(row - 4, 0) : row + 5, max(at - 4, 0) : at + 5] = [200, 40, 40]
    return image


def labelled(
    folder: Path,
    contract: Contract,
    seed: int,
    *,
    success: bool,
    ends_at: float = 1.0,
    **header: Any,
) -> Path:
    """Writes an episode in which the square rises to a share of the way, and returns its folder.

    The vectors are noise, so that only the images tell.
    """
    rng = np.random.default_rng(seed)
    column = float(rng.uniform(0.2, 0.8))
    toy = toy_episode(contract, seed)
    observations = dict(toy.observations)
    for stream in contract.streams:
        if stream.kind == "image":
            rows, columns = stream.shape[:2]
            shares = np.linspace(0.0, ends_at, STEPS + 1)
            observations[stream.key] = np.stack(
                [picture(rows, columns, share, column) for share in shares]
            )
    place = folder / f"toy-{seed:03d}"
    outcome = "success" if success else "failure"
    given: dict[str, Any] = {"outcome": outcome, "task": TASK, "episode_id": place.name, **header}
    write_episode(place, contract, seed, replace(toy, observations=observations), **given)
    return place
