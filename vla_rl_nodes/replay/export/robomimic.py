"""Episodes to one HDF5 file in robomimic's layout.

``/data`` has the attributes ``total`` (steps of all demonstrations) and ``env_args`` (JSON). Each
run of steps, see ``source``, is a group ``/data/demo_k`` with the attribute ``num_samples`` and:

- ``actions`` [n, A]: the executed ones, in the contract's units and not scaled to [-1, 1];
- ``rewards`` [n], NaN where there was none;
- ``dones`` [n], 1 where the task ended: a truncated step is not done, so that a critic goes on
  estimating behind it;
- ``obs/KEY`` and ``next_obs/KEY`` [n, ...]: the observation streams, images as raw uint8;
- ``states`` [n, P]: the simulator's state, where all episodes have it;
- ``critiques`` [n], UTF-8: what judges said in words, each step's text of ``replay.critique``;
  where no episode has any, it is left out;
- every other array of a step under its own name, such as ``stamp_ns``, ``intervened`` and
  ``truncated``, which robomimic leaves alone.

``/mask/train`` and ``/mask/valid`` split by episode, so that the runs of one stay together: every
tenth episode is for validation; of two to nine the last one; a single one is for training.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.export.source import Counts, Episodes, Run
from vla_rl_nodes.replay.export.whole_folder import appearing

NAME = "demonstrations.hdf5"
# robomimic's number for environments that Gym makes by their names. None makes this one: train
# without rollouts.
_GYM = 2


def write_robomimic(episodes: Episodes, target: Path) -> Counts:
    """Writes ``<target>/demonstrations.hdf5``; the folder appears whole or not at all.

    The same episodes give the same bytes with the same version of h5py.

    Args:
        episodes: that agree; see :func:`vla_rl_nodes.replay.export.source.open_episodes`.
        target: a folder that must not exist.

    Returns:
        What became of the steps.

    Raises:
        InputError: the folder exists or cannot be written, an episode is damaged, or no step has
            an executed action.
    """
    with appearing(target) as folder, h5py.File(folder / NAME, "w", track_order=False) as file:
        data = file.create_group("data")
        names: dict[bool, list[str]] = {False: [], True: []}
        for number, run in enumerate(episodes.runs()):
            name = f"demo_{number}"
            _write_run(data.create_group(name), run)
            names[_is_valid(run.source, len(episodes.headers))].append(name)
        counts = episodes.counts
        if not counts.exported:
            raise InputError(
                episodes.folders[0], "no step has an executed action", "export other episodes"
            )
        data.attrs["total"] = counts.exported
        data.attrs["env_args"] = json.dumps(_environment(episodes), sort_keys=True)
        for split, chosen in (("train", names[False]), ("valid", names[True])):
            file.create_dataset(f"mask/{split}", data=np.array(chosen, dtype="S"))
    return counts


def _is_valid(source: int, episodes: int) -> bool:
    if episodes < 10:
        return episodes > 1 and source == episodes - 1
    return source % 10 == 9


def _write_run(group: Any, run: Run) -> None:
    group.attrs["num_samples"] = run.length
    group.attrs["episode_id"] = run.header.episode_id
    group.attrs["first_step"] = run.first_step
    group.attrs["task"] = run.header.task
    group.attrs["outcome"] = run.header.outcome
    names = {"action_executed": "actions", "reward": "rewards", "privileged": "states"}
    for name, rows in run.steps.items():
        group.create_dataset(names.get(name, name), data=rows)
    group.create_dataset("dones", data=run.steps["terminated"].astype(np.int64))
    if run.critiques:
        texts = list(run.critiques)
        group.create_dataset("critiques", data=texts, dtype=h5py.string_dtype("utf-8"))
    for key, rows in run.observations.items():
        group.create_dataset(f"obs/{key}", data=rows[:-1])
        group.create_dataset(f"next_obs/{key}", data=rows[1:])


def _environment(episodes: Episodes) -> dict[str, Any]:
    """What robomimic would make an environment of, and what a reader must know of the file."""
    header = episodes.first
    return {
        "env_name": header.contract,
        "type": _GYM,
        "env_kwargs": {
            "robot": header.robot,
            "contract_sha256": header.contract_sha256,
            "control_freq": header.policy_hz,
            "action_names": header.action_names,
            "action_units": episodes.action_units(),
            "state_names": header.privileged_names if "privileged" in episodes.kinds else [],
            "policy_versions": episodes.policy_versions,
            "reward_sources": episodes.reward_sources,
            "left_out": episodes.left_out,
        },
    }
