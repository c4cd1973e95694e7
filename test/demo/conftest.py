"""Measured episodes of each kind, made once."""

from __future__ import annotations

import numpy as np
import pytest

from vla_rl_nodes.demo.measure import EpisodeMeasure, measure_episode

from .demo_bag import CONTRACT, EVENT, LIMITS, MS, ROBOT, DemoBag, Message, filter_event, smooth


@pytest.fixture(scope="session")
def measures(tmp_path_factory: pytest.TempPathFactory) -> list[EpisodeMeasure]:
    """Four episodes with working cameras; the third ran into its time limit and, at its end,
    jumped."""
    folder = tmp_path_factory.mktemp("bags")
    bags = [DemoBag(seed=s, seconds=1.0 + 0.1 * s) for s in (0, 1, 3)]
    bags.insert(2, DemoBag(seed=2, outcome="timeout", reason="time limit"))
    path = smooth(135)
    path[120:, 6] -= 0.1
    bags[2].commands = path
    bags[2].proposed[5] = np.nan
    for k in (2, 3):
        at = bags[1].ticks[k]
        body = filter_event(at, "armed", 509, 0.3, "action_bound", str(at))
        bags[1].extra.append(Message("safety/status", EVENT, at + 7 * MS, body))
    return [measure_episode(bag.write(folder), CONTRACT, ROBOT, LIMITS) for bag in bags]


@pytest.fixture(scope="session")
def blackout(tmp_path_factory: pytest.TempPathFactory) -> list[EpisodeMeasure]:
    """Two failures in the dark."""
    folder = tmp_path_factory.mktemp("dark")
    bags = [DemoBag(seed=s, outcome="timeout", reason="time limit", dark=True) for s in (0, 1)]
    return [measure_episode(bag.write(folder), CONTRACT, ROBOT, LIMITS) for bag in bags]
