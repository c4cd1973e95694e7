"""A LeRobotDataset v3 in, as demonstrations: episodes like those that come from bags.

A frame's ``action`` becomes the executed action, its observation the step's. What the dataset
does not say is not made up: without the observation behind the last action that action is left
out, as it is from a bag; without rewards they are NaN; nobody is said to have intervened. Of a
dataset that this package exported, everything comes back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bags.manifest import Outcome
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.critique import Critique, from_text, that_fit
from vla_rl_nodes.replay.episode import (
    ArrayFile,
    EpisodeData,
    EpisodeHeader,
    Transitions,
    content_sha256,
    npy_bytes,
)
from vla_rl_nodes.replay.export import lerobot_layout as layout
from vla_rl_nodes.replay.export.lerobot_frames import SUCCESS, Frames, frames_of
from vla_rl_nodes.replay.export.lerobot_info import Origin
from vla_rl_nodes.replay.export.lerobot_read import Entry, LeRobotFolder
from vla_rl_nodes.replay.export.mapping import Plan
from vla_rl_nodes.replay.observe import Match
from vla_rl_nodes.replay.steps import ABSENT

_NO_VERSION = "unknown"
_NO_SOURCE = "dataset"
Flags = NDArray[np.bool_]


class LeRobotImport:
    """The episodes of a dataset for a contract.

    Args:
        dataset: an opened one.
        plan: that was checked for it.

    Raises:
        InputError: the last observations that this package kept are damaged.
    """

    def __init__(self, dataset: LeRobotFolder, plan: Plan) -> None:
        self._dataset = dataset
        self._plan = plan
        self._final = dataset.final([plan.features[s.key] for s in plan.contract.streams])
        info = (dataset.folder / layout.INFO).read_bytes()
        self._info_sha256 = hashlib.sha256(info).hexdigest()

    def episodes(self) -> Iterator[EpisodeData | InputError]:
        """Every episode of the dataset in order, or what is wrong with it."""
        for entry in self._dataset.entries:
            try:
                yield self.episode(entry)
            except InputError as error:
                yield error

    def episode(self, entry: Entry) -> EpisodeData:
        """One episode.

        Raises:
            InputError: its frames are damaged, not finite, or too few for one step.
        """
        export = self._dataset.export
        origin = None if export is None else export.episodes[entry.number]
        frames = frames_of(self._dataset, self._plan, entry, self._final)
        ending = self._ending(entry, frames, origin)
        steps, versions, sources = self._named(entry, self._transitions(frames, ending))
        return EpisodeData(
            self._header(entry, frames, origin, ending, steps, versions, sources), steps
        )

    def _ending(
        self, entry: Entry, frames: Frames, origin: Origin | None
    ) -> tuple[Flags, Flags, Outcome, str]:
        """Terminated and truncated [T], the outcome, and why."""
        terminated, truncated = np.zeros((2, frames.steps), dtype=np.bool_)
        given = frames.flag(layout.TERMINATED)
        if given is not None and given[:-1].any():
            raise InputError(
                entry.path, f"episode {entry.number} goes on behind its end", "export it again"
            )
        outcome: Outcome = self._plan.outcome or "aborted"
        reason = "from a mapping" if self._plan.outcome else "the dataset names no outcome"
        succeeded = frames.flag(SUCCESS)
        if origin is not None:
            last = origin.first_step + entry.length == origin.steps
            outcome = origin.outcome if last else "aborted"
            reason = origin.reason if last else f"cut from an episode that was a {origin.outcome}"
        elif succeeded is not None and succeeded.any():
            outcome, reason = "success", SUCCESS
        # An end in a frame whose action is left out is behind the last step.
        done = given is not None and bool(given[-1]) and not frames.behind
        (terminated if done else truncated)[-1] = True
        return terminated, truncated, outcome, reason

    def _transitions(
        self, frames: Frames, ending: tuple[Flags, Flags, Outcome, str]
    ) -> Transitions:
        """What the dataset says; where it says nothing, what a bag without it would give."""
        steps, contract = frames.steps, self._plan.contract
        nothing = np.full(frames.action.shape, np.nan, dtype=np.float32)
        absent = np.full(steps, ABSENT, dtype=np.int32)
        reward = frames.by_step(layout.REWARD)
        chunk = (steps, contract.action.chunk_length, len(contract.action.names))
        transitions = Transitions(
            stamp_ns=frames.stamp_ns,
            action_proposed=nothing,
            action_residual=nothing,
            action_intervention=nothing,
            action_executed=frames.action,
            intervened=np.zeros(steps, dtype=np.bool_),
            # As from a bag: of several samples during a step the newest counts.
            reward=nothing[:, 0] if reward is None else reward[:, -1].astype(np.float32),
            terminated=ending[0],
            truncated=ending[1],
            chunk_id=absent,
            chunk_index=absent,
            delay=absent,
            noise_seed=absent.astype(np.int64),
            policy_version=np.zeros(steps, dtype=np.int32),
            safety_reasons=np.zeros(steps, dtype=np.uint32),
            observation_match=np.full(steps, Match.NO_HASH, dtype=np.uint8),
            rule_differs=np.zeros(steps, dtype=np.bool_),
            chunk=np.full(chunk, np.nan, dtype=np.float32),
            privileged=None,
            observations=frames.observations,
        )
        return replace(transitions, **self._own(frames, transitions))

    def _own(self, frames: Frames, transitions: Transitions) -> dict[str, Any]:
        """Arrays that this package exported, where they still have their type and shape."""
        if frames.every != 1 or self._dataset.export is None:
            return {}  # of another rate or another program: they would mean something else
        decided = {"stamp_ns", "action_executed", "reward", "terminated", "truncated"}
        found = {}
        for name, array in transitions.arrays().items():
            given = frames.columns.get(layout.array_feature(name))
            given = None if given is None else given[: frames.steps]
            if name in decided or name in transitions.observations or given is None:
                continue
            if (given.dtype, given.shape) == (array.dtype, array.shape):
                found[name] = given
        given = frames.columns.get(layout.array_feature("privileged"))
        if given is not None and given.dtype == np.float64 and given.ndim == 2:
            names = self._privileged_names()
            if names is not None and len(names) == given.shape[1]:
                found["privileged"] = given[: frames.steps]
        return found

    def _privileged_names(self) -> list[str] | None:
        info = self._dataset.info.features.get(layout.array_feature("privileged"))
        return None if info is None else info.components

    def _named(self, entry: Entry, steps: Transitions) -> tuple[Transitions, list[str], list[str]]:
        """The same steps with policy versions and reward sources by tables of their own."""
        export = self._dataset.export
        versions = [_NO_VERSION] if export is None else export.policy_versions
        known = [_NO_SOURCE] if export is None else export.reward_sources
        for name, column, table in (
            ("policy_version", steps.policy_version, versions),
            ("reward_source", steps.reward_source, known),
        ):
            if ((column < ABSENT) | (column >= len(table))).any():
                raise InputError(
                    entry.path, f"episode {entry.number}: {name} is none of the table's",
                    "export it again",
                )  # fmt: skip
        # The tables' orders are those of a conversion, so that a step's numbers are, too.
        used = [versions[i] for i in dict.fromkeys(steps.policy_version.tolist()) if i >= 0]
        sources = sorted({known[i] for i in steps.reward_source.tolist() if i >= 0})
        moved = replace(
            steps,
            policy_version=_renumbered(steps.policy_version, versions, used),
            reward_source=_renumbered(steps.reward_source, known, sources),
        )
        return moved, used, sources

    def _header(
        self,
        entry: Entry,
        frames: Frames,
        origin: Origin | None,
        ending: tuple[Flags, Flags, Outcome, str],
        steps: Transitions,
        versions: list[str],
        sources: list[str],
    ) -> EpisodeHeader:
        contract, arrays = self._plan.contract, steps.arrays()
        critiques = self._critiques(entry, frames)
        content = content_sha256(arrays, critiques)
        low, high = contract.action.minimum, contract.action.maximum
        outside = ((frames.action < low) | (frames.action > high)).any(axis=1)
        privileged = self._privileged_names() if steps.privileged is not None else None
        return EpisodeHeader(
            episode_id=f"lerobot-{content[:12]}-{entry.number:06d}",
            contract=contract.name,
            contract_sha256=contract.sha256,
            bag_sha256=None,
            outcome=ending[2],
            reason=ending[3],
            seed=None if origin is None else origin.seed,
            task=self._dataset.task(entry),
            robot=contract.robot if origin is None else origin.robot,
            steps=frames.steps,
            policy_hz=contract.policy_hz,
            chunk_length=contract.action.chunk_length,
            action_names=list(contract.action.names),
            streams={
                s.key: ("|u1" if s.kind == "image" else "<f4", list(s.shape))
                for s in contract.streams
            },
            privileged_names=privileged or [],
            policy_versions=versions,
            reward_sources=sources,
            counts={
                "ticks": entry.length,
                "dropped_between_steps": frames.steps * (frames.every - 1),
                "dropped_last": frames.behind,
                "gaps": 0,
                "executed_missing": 0,
                "reward_missing": int(np.isnan(steps.reward).sum()),
                "action_outside_bounds": int(outside.sum()),
            },
            refused={},
            recorder_dropped={},
            content_sha256=content,
            files={name: _file(array) for name, array in arrays.items()},
            goal="" if origin is None else origin.goal,
            interventions=int(steps.intervention_start.sum()),
            metadata=self._source(entry, origin),
            critiques=critiques,
        )

    def _critiques(self, entry: Entry, frames: Frames) -> list[Critique]:
        """What judges said in words, where this package exported it."""
        dataset, name = self._dataset, layout.CRITIQUES
        if frames.every != 1 or dataset.export is None or name not in dataset.info.features:
            return []
        place = f"{entry.path}: episode {entry.number}"
        texts = dataset.texts(entry, name)[: frames.steps]
        found = [c for step, text in enumerate(texts) for c in from_text(text, step, place)]
        if len(that_fit(found)) < len(found):
            raise InputError(place, "has more critiques than an episode can", "export it again")
        return found

    def _source(self, entry: Entry, origin: Origin | None) -> dict[str, str]:
        """Where the episode comes from."""
        found = {
            "source": f"LeRobotDataset {self._dataset.info.codebase_version}",
            "source_name": self._dataset.folder.resolve().name,
            "source_info_sha256": self._info_sha256,
            "source_episode": str(entry.number),
            "source_frames_a_step": str(self._plan.every),
        }
        if origin is not None:
            found |= {
                "source_episode_id": origin.episode_id,
                "source_first_step": str(origin.first_step),
                "source_bag_sha256": origin.bag_sha256 or "",
            }
        return found


def _renumbered(column: NDArray[Any], old: list[str], new: list[str]) -> NDArray[Any]:
    """The same names by another table; -1 stays. Names that are not used any more become -1."""
    where = {name: number for number, name in enumerate(new)}
    moved = np.array([*(where.get(name, ABSENT) for name in old), ABSENT], dtype=column.dtype)
    renamed: NDArray[Any] = moved[column]
    return renamed


def _file(array: NDArray[Any]) -> ArrayFile:
    return ArrayFile(
        sha256=hashlib.sha256(npy_bytes(array)).hexdigest(),
        dtype=array.dtype.str,
        shape=list(array.shape),
    )
