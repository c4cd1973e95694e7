"""Where an episode has to be cut, searched step by step."""

from __future__ import annotations

import numpy as np

from vla_rl_nodes.replay.episode import EpisodeData


def plain_runs(episode: EpisodeData) -> list[list[int]]:
    """The steps of each run."""
    steps = episode.transitions
    period = 1e9 / episode.header.policy_hz
    runs: list[list[int]] = []
    before = None
    for step in range(episode.header.steps):
        if np.isnan(steps.action_executed[step]).any():
            before = None
            continue
        near = (
            before is not None
            and (int(steps.stamp_ns[step]) - int(steps.stamp_ns[before])) <= 1.5 * period
        )
        if near:
            runs[-1].append(step)
        else:
            runs.append([step])
        before = step
    return runs
