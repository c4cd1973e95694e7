"""What an export is made of: runs of steps without a hole, from episodes that agree.

A frame of the formats of other tools has an action, and its time is its number over the rate. So
an episode is cut where a step has no executed action, and where a tick is missing; nothing is
filled in. A run that does not reach its episode's end is truncated there, and what came behind
its last step is still its last observation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.critique import NO_STEP, to_texts
from vla_rl_nodes.replay.episode import EpisodeData, EpisodeHeader, load_episode, load_header


@dataclass(frozen=True)
class Run:
    """n consecutive steps of one episode, each with an executed action.

    Attributes:
        header: the episode's.
        source: number of the episode among those that are exported.
        number: of the run in its episode, from 0.
        first_step: of the episode, with which the run starts.
        is_whole: whether the run is the whole episode.
        steps: every array of a step [n, ...] by name. ``policy_version`` and ``reward_source``
            index the export's tables, not the episode's.
        observations: by stream key, [n+1, ...].
        end_stamp_ns: the time of the last observation.
        critiques: of each step in one text [n], see ``replay.critique``; empty where no episode of
            the export has any.
    """

    header: EpisodeHeader
    source: int
    number: int
    first_step: int
    is_whole: bool
    steps: Mapping[str, NDArray[Any]]
    observations: Mapping[str, NDArray[Any]]
    end_stamp_ns: int
    critiques: Sequence[str]

    @property
    def length(self) -> int:
        """n."""
        return len(self.steps["stamp_ns"])


@dataclass
class Counts:
    """What became of the steps, and of what judges said in words."""

    episodes: int = 0
    runs: int = 0
    steps: int = 0
    exported: int = 0
    dropped_without_action: int = 0
    cuts_without_action: int = 0
    cuts_at_gap: int = 0
    rewards_missing: int = 0
    critiques: int = 0
    critiques_left_out: int = 0


@dataclass
class Episodes:
    """Converted episodes of one contract and one robot, read one at a time.

    Attributes:
        folders: of the episodes, in the order in which they are exported.
        headers: of the episodes.
        contract: where the package ships it under its name with the same hash, else None.
        kinds: NumPy type and shape of one step of every array that all episodes have.
        left_out: arrays that not all episodes have in one shape.
        policy_versions: the table of ``policy_version`` in a :class:`Run`.
        reward_sources: the table of ``reward_source`` there.
        has_critiques: whether judges said something of a step, in any of the episodes.
        counts: grows while :meth:`runs` goes on.
        watch: what the episodes go through as they are read, such as a progress bar; it is given
            them, a word for what is done, and their number.
    """

    folders: list[Path]
    headers: list[EpisodeHeader]
    contract: Contract | None
    kinds: dict[str, tuple[np.dtype[Any], tuple[int, ...]]]
    left_out: list[str]
    policy_versions: list[str]
    reward_sources: list[str]
    has_critiques: bool
    counts: Counts = field(default_factory=Counts)
    watch: Callable[[Iterable[Any], str, int], Iterable[Any]] | None = None

    @property
    def first(self) -> EpisodeHeader:
        """The header that speaks for all where they agree."""
        return self.headers[0]

    def names(self, key: str) -> list[str] | None:
        """Names of a vector stream's components; None where the contract is not at hand."""
        return [name for name, _ in self._quantities(key)] or None

    def units(self, key: str) -> list[str] | None:
        """Units of a vector stream's components; None where the contract is not at hand."""
        return [unit for _, unit in self._quantities(key)] or None

    def action_units(self) -> list[str] | None:
        """Units of the action's axes; None where the contract is not at hand."""
        return None if self.contract is None else [a.unit for a in self.contract.action.axes]

    def _quantities(self, key: str) -> list[tuple[str, str]]:
        if self.contract is None:
            return []
        stream = next(s for s in self.contract.streams if s.key == key)
        return [(q.name, q.unit) for t in stream.transforms for q in (t.select or ())]

    def runs(self) -> Iterator[Run]:
        """Every run of every episode, in order.

        Raises:
            InputError: a file of an episode is missing or damaged, or its header has changed
                since this was opened.
        """
        self.counts = Counts()
        pairs: Iterable[Any] = list(zip(self.folders, self.headers, strict=True))
        if self.watch is not None:
            pairs = self.watch(pairs, "exporting", len(self.folders))
        for source, (folder, header) in enumerate(pairs):
            episode = load_episode(folder)
            if episode.header != header:
                raise InputError(folder, "changed while it was exported", "export again")
            self.counts.episodes += 1
            self.counts.steps += header.steps
            yield from self._cut(source, episode)

    def _cut(self, source: int, episode: EpisodeData) -> Iterator[Run]:
        data, header, counts = episode.transitions, episode.header, self.counts
        arrays = data.arrays()
        steps: dict[str, NDArray[Any]] = {
            name: arrays[name][: header.steps] for name in self.kinds
        }
        for name, table, own in (
            ("policy_version", self.policy_versions, header.policy_versions),
            ("reward_source", self.reward_sources, header.reward_sources),
        ):
            if name in steps:
                steps[name] = _reindexed(steps[name], own, table)
        acted: NDArray[np.bool_] = np.asarray(np.isfinite(data.action_executed).all(axis=1))
        late = 2 * np.diff(data.stamp_ns[:-1]) > 3 * round(1e9 / header.policy_hz)
        counts.dropped_without_action += int((~acted).sum())
        bounds = _bounds(acted, late)
        counts.cuts_at_gap += sum(int(s > 0 and acted[s - 1]) for s, _ in bounds)
        counts.cuts_without_action += sum(int(s > 0 and not acted[s - 1]) for s, _ in bounds)
        said = header.critiques
        counts.critiques += len(said)
        counts.critiques_left_out += sum(c.step == NO_STEP or not acted[c.step] for c in said)
        texts = to_texts(said, header.steps)
        for number, (start, stop) in enumerate(bounds):
            rows = slice(start, stop)
            cut = {name: array[rows] for name, array in steps.items()}
            cut["truncated"] = cut["truncated"].copy()
            cut["truncated"][-1] |= not cut["terminated"][-1]
            counts.runs += 1
            counts.exported += stop - start
            counts.rewards_missing += int(np.isnan(cut["reward"]).sum())
            yield Run(
                header=header,
                source=source,
                number=number,
                first_step=start,
                is_whole=(start, stop) == (0, header.steps),
                steps=cut,
                observations={k: v[start : stop + 1] for k, v in data.observations.items()},
                end_stamp_ns=int(data.stamp_ns[stop]),
                critiques=texts[rows] if self.has_critiques else (),
            )


def _bounds(acted: NDArray[np.bool_], late: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First row and row behind the last of every run.

    Args:
        acted: whether a step has an executed action [T].
        late: whether a tick is missing between a step and the next [T-1].
    """
    joined = acted[:-1] & acted[1:] & ~late
    starts = np.flatnonzero(acted & ~np.concatenate(([False], joined)))
    stops = np.flatnonzero(acted & ~np.concatenate((joined, [False]))) + 1
    return list(zip(starts.tolist(), stops.tolist(), strict=True))


def _reindexed(column: NDArray[Any], own: list[str], table: list[str]) -> NDArray[Any]:
    """The same names by another table; -1, which is none, stays."""
    moved = np.array([*(table.index(name) for name in own), -1], dtype=column.dtype)
    renamed: NDArray[Any] = moved[column]
    return renamed


def open_episodes(folders: Sequence[Path]) -> Episodes:
    """Opens converted episodes for export.

    Raises:
        InputError: none is given, one is missing or damaged, one is given twice, or two are of
            another contract, robot or rate.
    """
    if not folders:
        raise InputError("episodes", "none are given", "give folders that convert has made")
    headers = [load_header(folder) for folder in folders]
    first = headers[0]
    seen: dict[str, Path] = {}
    for folder, header in zip(folders, headers, strict=True):
        if header.episode_id in seen:
            raise InputError(
                folder, f"is the episode of {seen[header.episode_id]} again", "give it once"
            )
        seen[header.episode_id] = folder
        for what in (
            "contract_sha256", "robot", "policy_hz", "streams", "action_names", "chunk_length",
        ):  # fmt: skip
            if getattr(header, what) != getattr(first, what):
                raise InputError(
                    folder, f"has another {what} than {folders[0]}", "export the two apart"
                )
    kinds, left_out = _kinds(headers)
    return Episodes(
        folders=list(folders),
        headers=headers,
        contract=_shipped(first),
        kinds=kinds,
        left_out=left_out,
        policy_versions=_union(header.policy_versions for header in headers),
        reward_sources=_union(header.reward_sources for header in headers),
        has_critiques=any(c.step != NO_STEP for header in headers for c in header.critiques),
    )


def _union(tables: Any) -> list[str]:
    return list(dict.fromkeys(name for table in tables for name in table))


def _kinds(
    headers: Sequence[EpisodeHeader],
) -> tuple[dict[str, tuple[np.dtype[Any], tuple[int, ...]]], list[str]]:
    """Type and shape of a step's arrays, and the names of those that episodes do not share."""
    found: list[dict[str, tuple[np.dtype[Any], tuple[int, ...]]]] = []
    for header in headers:
        found.append(
            {
                name: (np.dtype(entry.dtype), tuple(entry.shape[1:]))
                for name, entry in header.files.items()
                if name not in header.streams
                and entry.shape[:1] in ([header.steps], [header.steps + 1])
                and (
                    name != "privileged" or header.privileged_names == headers[0].privileged_names
                )
            }
        )
    shared = {
        name: kind
        for name, kind in sorted(found[0].items())
        if all(other.get(name) == kind for other in found)
    }
    everything = {name for header in headers for name in header.files} - set(headers[0].streams)
    return shared, sorted(everything - set(shared))


def _shipped(header: EpisodeHeader) -> Contract | None:
    try:
        contract = load_contract(header.contract)
    except InputError:
        return None  # a contract of the user's own, given by its path
    return contract if contract.sha256 == header.contract_sha256 else None
