"""Episodes of two tasks with how far each got, for models that score an episode for its task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.people.labelled_episodes import MIX, LabelledEpisodes, relabelled
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.replay.episode import EpisodeData, array_file, content_sha256
from vla_rl_nodes.replay.folder import write_episode
from vla_rl_nodes.replay.sidecars import write_label
from vla_rl_nodes.sim.actors import Decision, ExpertActor, Seen
from vla_rl_nodes.sim.expert import OPEN

Progress = NDArray[np.float32]

OTHER_TASK = "bring the open hand to the left of the table"
PLACE_M = (0.46, 0.27, 0.24)  # where that is, in the arm's base frame, metres
_THERE_M = 0.02
_STEP_M = 0.010
_MOST_UNFINISHED = 0.95  # what is not complete is less than all
_OFF_THE_TABLE_M = 0.005
_RESTING_M, _LIFT_M = 0.02, 0.10


class ToPlace:
    """Brings the open hand to a place, or a share of the way there, and stays.

    Args:
        contract: of the streams.
        share: of the way.
    """

    def __init__(self, contract: Contract, share: float = 1.0) -> None:
        self._state, self._share = ExpertActor(contract).state, share

    def start(self, seed: int) -> None:
        """The way begins where the hand is at the first tick."""
        self._goal: NDArray[np.float64] | None = None

    def decide(self, tick: int, seen: Seen) -> Decision:
        """A step of the way."""
        at = self._state(seen).reference[:3]
        if self._goal is None:
            self._goal = at + self._share * (np.array(PLACE_M) - at)
        step = 0.35 * (self._goal - at)
        length = float(np.linalg.norm(step))
        step = step * min(1.0, _STEP_M / max(length, 1e-9))
        return Decision(np.array([*step, 0.0, OPEN]))


def lift_progress(episode: EpisodeData) -> Progress:
    """How far an episode of picking got at each observation, 0 to 1, float32 [T+1].

    Up to 0.45 by how near the hand came to the cube; from 0.5 on by how high the cube is, which
    has to be off the table; 1 at the end of a success.
    """
    tool, cube = _tool(episode), _cube(episode)
    away = np.linalg.norm(tool - cube, axis=1)
    done = 0.45 * np.clip(1.0 - away / away[0], 0.0, 1.0)
    lift = cube[:, 2] - _RESTING_M
    up = 0.5 + (_MOST_UNFINISHED - 0.5) * np.clip(lift / _LIFT_M, 0.0, 1.0)
    return _ended(np.where(lift > _OFF_THE_TABLE_M, up, done), episode)


def place_progress(episode: EpisodeData) -> Progress:
    """Likewise of bringing the hand to the place: the share of the way."""
    away = np.linalg.norm(_tool(episode) - np.array(PLACE_M), axis=1)
    return _ended(_MOST_UNFINISHED * np.clip(1.0 - away / away[0], 0.0, 1.0), episode)


def write_scored(
    maker: LabelledEpisodes, folder: Path, first_seed: int, count: int, failing: float
) -> None:
    """Writes episodes of both tasks by turns, with sidecars ``progress`` of a scripted annotator.

    Args:
        maker: of the episodes.
        folder: for the replay folders and their labels.
        first_seed: the episodes' seeds count from it.
        count: how many.
        failing: share of them that fail.
    """
    succeeding = [who for who in MIX if who in ("expert", "policy", "disturbed")]
    others = [who for who in MIX if who not in succeeding]
    failures = 0
    for index in range(count):
        seed, turn = first_seed + index, index // 2
        fails = int(failing * (index + 1)) > failures
        failures += fails
        if index % 2:
            episode = _to_place(maker, seed, fails)
            progress = place_progress(episode)
        else:
            actors = others if fails else succeeding
            episode = maker.make(seed, actors[turn % len(actors)])
            progress = lift_progress(episode)
        write_episode(episode, folder)
        write_label(
            folder, episode.header, "progress", "progress", progress,
            producer="scripted annotator", producer_version="1", made_from={},
        )  # fmt: skip


def _to_place(maker: LabelledEpisodes, seed: int, fails: bool) -> EpisodeData:
    share = float(np.random.default_rng([seed, 0x91AC]).uniform(0.1, 0.9)) if fails else 1.0
    episode = maker.run(seed, ToPlace(maker.contract, share))
    if fails:
        return relabelled(episode, f"halfway_{seed:06d}", "failure", "to_place", OTHER_TASK)
    away = np.linalg.norm(_tool(episode) - np.array(PLACE_M), axis=1)
    there = int(np.argmax(away < _THERE_M))
    return relabelled(
        _until(episode, there), f"place_{seed:06d}", "success", "to_place", OTHER_TASK
    )


def _until(episode: EpisodeData, steps: int) -> EpisodeData:
    """The first steps of an episode."""
    whole = episode.transitions
    length = len(whole.reward)

    def cut(values: NDArray[Any]) -> NDArray[Any]:
        return values[: steps + len(values) - length]

    arrays: dict[str, Any] = {name: cut(values) for name, values in whole.arrays().items()}
    observations = {key: arrays.pop(key) for key in whole.observations}
    header = episode.header
    shorter = replace(whole, observations=observations, **arrays)
    named = shorter.arrays()
    return EpisodeData(
        header.model_copy(
            update={
                "steps": steps,
                "counts": {**header.counts, "ticks": steps},
                "content_sha256": content_sha256(named),
                "files": {name: array_file(array) for name, array in named.items()},
            }
        ),
        shorter,
    )


def _tool(episode: EpisodeData) -> NDArray[np.float64]:
    """The hand's place at each observation [T+1, 3], metres: the first parts of its state."""
    return episode.transitions.observations["state"][:, :3].astype(np.float64)


def _cube(episode: EpisodeData) -> NDArray[np.float64]:
    """The cube's [T+1, 3], metres; the simulator says no more of it after the last tick."""
    state, names = episode.transitions.privileged, episode.header.privileged_names
    assert state is not None
    found = state[:, [names.index(f"cube_{axis}") for axis in "xyz"]]
    return np.concatenate([found, found[-1:]])


def _ended(progress: NDArray[np.float64], episode: EpisodeData) -> Progress:
    if episode.header.outcome == "success":
        progress = progress.copy()
        progress[-1] = 1.0
    return progress.astype(np.float32)
