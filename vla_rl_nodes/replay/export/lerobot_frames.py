"""The frames of one LeRobot episode as the steps of a contract."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Stream
from vla_rl_nodes.contract.transforms import transform_image
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.episode import Transitions
from vla_rl_nodes.replay.export import lerobot_layout as layout
from vla_rl_nodes.replay.export.images import decode
from vla_rl_nodes.replay.export.lerobot_read import Entry, LeRobotFolder
from vla_rl_nodes.replay.export.mapping import Plan
from vla_rl_nodes.replay.export.video import read_frames

SUCCESS = "next.success"


@dataclass(frozen=True)
class Frames:
    """T steps of ``every`` frames each, and the frame behind them.

    Attributes:
        observations: by stream key, [T+1, ...].
        action: float32 [T, A].
        stamp_ns: int64 [T+1].
        columns: other features, of all frames, also those behind the last step.
        every: frames a step; the action is that of the first.
        behind: frames behind the last step, whose actions have no step.
    """

    observations: dict[str, NDArray[Any]]
    action: NDArray[np.float32]
    stamp_ns: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]
    every: int
    behind: int

    @property
    def steps(self) -> int:
        """T."""
        return len(self.action)

    def by_step(self, name: str) -> NDArray[Any] | None:
        """A feature of one number [T, every]; None where there is none."""
        values = self.columns.get(name)
        if values is None or values.ndim != 1:
            return None
        return values[: self.steps * self.every].reshape(self.steps, self.every)

    def flag(self, name: str) -> NDArray[np.bool_] | None:
        """Whether a flag is set in a frame [frames]; None where there is none."""
        values = self.columns.get(name)
        if values is None or values.ndim != 1:
            return None
        return np.asarray(values != 0, dtype=np.bool_)


def frames_of(
    dataset: LeRobotFolder, plan: Plan, entry: Entry, final: dict[str, Any] | None
) -> Frames:
    """Reads one episode.

    Args:
        dataset: an opened one.
        plan: that was checked for it.
        entry: the episode.
        final: the observations behind the last actions, from :meth:`LeRobotFolder.final`.

    Raises:
        InputError: frames are damaged or not finite, stamps do not ascend, or there are too few
            frames for one step.
    """
    every = plan.every
    steps = (entry.length + (final is not None) - 1) // every
    if steps < 1:
        raise InputError(
            entry.path, f"episode {entry.number} is too short for one step", "leave it out"
        )
    kept = np.arange(steps + 1) * every
    streams = plan.contract.streams
    action = plan.features[layout.ACTION]
    vectors = [plan.features[s.key] for s in streams if s.kind == "vector"] + [action]
    extra = [name for name in _extras(dataset) if name not in vectors]
    columns = dataset.numbers(entry, list(dict.fromkeys([*vectors, *extra])))
    observations = {}
    for stream in streams:
        feature = plan.features[stream.key]
        if stream.kind == "image":
            observations[stream.key] = _images(dataset, plan, stream, entry, final, kept)
            continue
        rows = columns[feature].reshape(entry.length, -1)
        if final is not None:
            rows = np.concatenate([rows, final[feature][entry.number].reshape(1, -1)])
        observations[stream.key] = _vectors(entry, feature, rows[kept], plan.columns[stream.key])
    acted = columns[action].reshape(entry.length, -1)[kept[:-1]]
    return Frames(
        observations=observations,
        action=_vectors(entry, action, acted, plan.columns[layout.ACTION]),
        stamp_ns=_stamps(dataset, entry, columns, final, kept),
        columns={name: columns[name] for name in extra},
        every=every,
        behind=entry.length - steps * every,
    )


def _extras(dataset: LeRobotFolder) -> list[str]:
    """Features beside observation and action that are understood."""
    names = [f.name for f in fields(Transitions)]
    known = [layout.REWARD, layout.DONE, SUCCESS, *map(layout.array_feature, names)]
    return [name for name in dict.fromkeys(known) if name in dataset.info.features]


def _vectors(
    entry: Entry, name: str, rows: NDArray[Any], columns: list[int]
) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        chosen = np.ascontiguousarray(rows[:, columns].astype(np.float32))
    if not np.isfinite(chosen).all():
        raise InputError(
            entry.path, f"episode {entry.number}: {name} is not finite", "leave the episode out"
        )
    return chosen


def _images(
    dataset: LeRobotFolder,
    plan: Plan,
    stream: Stream,
    entry: Entry,
    final: dict[str, Any] | None,
    kept: NDArray[np.int64],
) -> NDArray[Any]:
    """Frames as they are, or, where they have the size of the contract's source, transformed."""
    feature = plan.features[stream.key]
    sizes = {(stream.shape[0], stream.shape[1])}
    if stream.source is not None:
        sizes.add((stream.source.height, stream.source.width))
    wanted = set(kept.tolist())
    images: list[NDArray[Any]] = []

    def keep(image: NDArray[np.uint8]) -> None:
        fits = image.shape == stream.shape
        images.append(image if fits else transform_image(stream, image))

    if dataset.info.features[feature].dtype == "video":
        video = entry.videos[feature]
        frames = read_frames(video.path, video.start_s, entry.length, dataset.info.fps, sizes)
        for number, frame in enumerate(frames):
            if number in wanted:
                keep(frame)
    else:
        for number, file in enumerate(dataset.pictures(entry, feature)):
            if number in wanted:
                place = f"{entry.path}: {feature} of frame {entry.start + number}"
                keep(decode(file, sizes, place))
    if final is not None and entry.length in wanted:
        place = f"{dataset.folder / layout.FINAL}: {feature} of episode {entry.number}"
        keep(decode(final[feature][entry.number], sizes, place))
    return np.stack(images)


def _stamps(
    dataset: LeRobotFolder,
    entry: Entry,
    columns: dict[str, NDArray[Any]],
    final: dict[str, Any] | None,
    kept: NDArray[np.int64],
) -> NDArray[np.int64]:
    own = columns.get(layout.array_feature("stamp_ns"))
    if own is None or own.dtype != np.int64 or own.ndim != 1:
        # A dataset of another program: a clock that starts with the episode.
        return np.round(kept * (1e9 / dataset.info.fps)).astype(np.int64)
    last = [] if final is None else [final["stamp_ns"][entry.number]]
    stamps = np.append(own, np.array(last, dtype=np.int64))[kept]
    if (stamps[1:] <= stamps[:-1]).any():
        raise InputError(
            entry.path, f"episode {entry.number}: stamps do not ascend", "export it again"
        )
    return stamps
