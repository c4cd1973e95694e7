"""The search: seeded, free, and over in time."""

from __future__ import annotations

import numpy as np

from vla_rl_nodes.episodes.reset.check import finer
from vla_rl_nodes.episodes.reset.rrt import connect

from .walls import FR3, LEFT, RIGHT, WALLED, planner


def test_the_search_gives_the_same_way_for_the_same_seed() -> None:
    _, check = planner(WALLED)

    def free(path: np.ndarray) -> bool:
        return check.free(path, LEFT)

    low, high = FR3.position_min, FR3.position_max
    ways = [connect(LEFT, RIGHT, low, high, free, seed, 60.0) for seed in (3, 3, 4)]
    one, same, other = ways
    assert one is not None and same is not None and other is not None
    assert np.array_equal(one, same)
    assert not (one.shape == other.shape and np.array_equal(one, other))
    assert (one[0] == LEFT).all() and (one[-1] == RIGHT).all()
    assert free(finer(one, 0.02)[1:])


def test_the_search_gives_up_in_time() -> None:
    def only_ends(path: np.ndarray) -> bool:
        return len(path) == 1 and bool((path[0] == RIGHT).all())

    assert connect(LEFT, RIGHT, FR3.position_min, FR3.position_max, only_ends, 0, 0.05) is None
    assert (
        connect(LEFT, RIGHT, FR3.position_min, FR3.position_max, lambda p: False, 0, 9.0) is None
    )
