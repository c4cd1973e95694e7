"""Samples as one would write them down by hand, step by step, from episodes in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.replay.episode import EpisodeData
from vla_rl_nodes.replay.store.forms import Chunks, Form, Slices, Steps

STREAMS = ("mask", "scene", "state")
Sample = dict[str, NDArray[Any]]


def whole(episode: EpisodeData, name: str, row: int) -> bool:
    """Whether an array has a number in a row."""
    return bool(np.isfinite(episode.transitions.arrays()[name][row]).all())


def followed(episode: EpisodeData, step: int) -> bool:
    """Whether the next tick came within one and a half periods."""
    stamps = episode.transitions.stamp_ns
    return int(stamps[step + 1] - stamps[step]) * episode.header.policy_hz <= 1_500_000_000


def stack(episode: EpisodeData, name: str, row: int, frames: int) -> NDArray[Any]:
    """k frames of an observation, the newest last, the first one repeated before the beginning."""
    array = episode.transitions.observations[name]
    if frames == 1:
        return np.asarray(array[row])
    return np.stack([array[max(row - back, 0)] for back in reversed(range(frames))])


def can_begin(form: Form, episode: EpisodeData, step: int) -> bool:
    """Whether a step may begin a sample."""
    steps = episode.header.steps
    streams = STREAMS if form.observations is None else form.observations

    def seen(row: int) -> bool:
        rows = {max(row - back, 0) for back in range(form.stack)}
        return all(whole(episode, name, at) for name in streams for at in rows)

    if isinstance(form, Chunks):
        behind = min(step + form.length, steps)
        inside = range(step, behind)
        return (
            all(whole(episode, n, k) for n in ("action_executed", "reward") for k in inside)
            and all(followed(episode, k) for k in inside)
            and all(whole(episode, name, step) for name in form.fields)
            and seen(step)
            and seen(behind)
            and (not form.whole or behind - step == form.length)
        )
    assert isinstance(form, Steps | Slices)
    length = form.length if isinstance(form, Slices) else 1
    if step + length > steps:
        return False
    for k in range(step, step + length):
        if not seen(k) or not all(whole(episode, name, k) for name in form.fields):
            return False
        if k < step + length - 1 and not followed(episode, k):
            return False
        if form.next_observation and not (followed(episode, k) and seen(k + 1)):
            return False
    return True


def sample(form: Form, episode: EpisodeData, step: int) -> Sample:
    """The sample that a step begins."""
    streams = STREAMS if form.observations is None else form.observations
    arrays = episode.transitions.arrays()
    found: Sample = {}
    if isinstance(form, Chunks):
        steps = episode.transitions
        behind = min(step + form.length, episode.header.steps)
        for name in streams:
            found[name] = stack(episode, name, step, form.stack)
            found["next." + name] = stack(episode, name, behind, form.stack)
        action = np.zeros((form.length, arrays["action_executed"].shape[1]), dtype=np.float32)
        total = 0.0
        for i, k in enumerate(range(step, behind)):
            action[i] = steps.action_executed[k]
            total += form.gamma**i * float(steps.reward[k])
        ended = bool(steps.terminated[behind - 1])
        found |= {
            "chunk.action": action,
            "chunk.mask": np.arange(form.length) < behind - step,
            "chunk.reward": np.float32(total),
            "chunk.discount": np.float32(0.0 if ended else form.gamma ** (behind - step)),
            "chunk.terminated": steps.terminated[behind - 1],
            "chunk.truncated": steps.truncated[behind - 1],
            "chunk.intervened": steps.intervened[step:behind].any(),
            "chunk.steps": np.int32(behind - step),
        }  # type: ignore[dict-item]
        for name in (*form.fields, *form.optional):
            found[name] = arrays[name][step]
        return found
    parts = []
    assert isinstance(form, Steps | Slices)
    for k in range(step, step + (form.length if isinstance(form, Slices) else 1)):
        part: Sample = {name: arrays[name][k] for name in (*form.fields, *form.optional)}
        for name in streams:
            part[name] = stack(episode, name, k, form.stack)
            if form.next_observation:
                part["next." + name] = stack(episode, name, k + 1, form.stack)
        parts.append(part)
    if isinstance(form, Steps):
        return parts[0]
    return {name: np.stack([part[name] for part in parts]) for name in parts[0]}


def beginnings(form: Form, episodes: Sequence[EpisodeData]) -> set[tuple[int, int]]:
    """Number of the episode and of the step, of all that may begin a sample."""
    return {
        (number, step)
        for number, episode in enumerate(episodes)
        for step in range(episode.header.steps)
        if can_begin(form, episode, step)
    }


def check(
    form: Form, batch: Sample, episodes: Sequence[Sequence[EpisodeData]], sources: Sequence[int]
) -> None:
    """Compares every field of every sample of a batch, bit for bit.

    Args:
        form: of the samples.
        batch: as the sampler gave it.
        episodes: of each store.
        sources: which store each source of the batch is a view of.
    """
    extra = {f"at.{name}" for name in ("episode", "step", "index", "source", "importance")}
    for i, (source, number, step) in enumerate(
        zip(batch["at.source"], batch["at.episode"], batch["at.step"], strict=True)
    ):
        episode = episodes[sources[source]][number]
        assert can_begin(form, episode, int(step))
        expected = sample(form, episode, int(step))
        assert set(batch) - extra == set(expected)
        for name, value in expected.items():
            found = batch[name][i]
            assert found.dtype == np.asarray(value).dtype, name
            assert found.shape == np.asarray(value).shape, name
            assert found.tobytes() == np.asarray(value).tobytes(), name
