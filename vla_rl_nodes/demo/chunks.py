"""The chunks of an episode: how long they took, how late they were, how smoothly they join."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.demo.ticks import number, present
from vla_rl_nodes.replay.recording import POLICY_STATUS, Event
from vla_rl_nodes.replay.steps import ABSENT, Tick

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ChunkMeasure:
    """What is known of the chunks that were used, C of them, joined at S seams.

    Steps are |a[k] - a[k-1]| and bends |a[k+1] - 2 a[k] + a[k-1]| of the proposed action, each
    axis as a share of the width of its bounds. A seam is a tick whose chunk is another than that
    of the tick before, where both gave an action.

    Attributes:
        count: chunks of which at least one action was taken.
        inference_ms: of each chunk that has it, at most [C].
        delay: actions consumed while the chunk was computed [C].
        prefix: committed actions that it was computed to continue, the predicted delay [C].
        prefix_error: greatest difference between a committed action and the chunk's own, share
            of the bounds; None where no chunk had a prefix that was also consumed.
        seams: rows of the ticks [S] at which another chunk begins.
        seam_step: [S, A].
        seam_bend: [S, A], the greater of the two bends that reach across the seam.
        inner_step: steps between neighbouring rows of all published chunks [N, A].
        inner_bend: the same for bends [M, A].
    """

    count: int
    inference_ms: Array
    delay: NDArray[np.int64]
    prefix: NDArray[np.int64]
    prefix_error: float | None
    seams: NDArray[np.int64]
    seam_step: Array
    seam_bend: Array
    inner_step: Array
    inner_bend: Array

    @property
    def misses(self) -> int:
        """Chunks that came later than predicted."""
        return int((self.delay > self.prefix).sum())


def measure_chunks(
    ticks: list[tuple[Tick, Event]],
    proposed: NDArray[np.float32],
    chunks: NDArray[np.float32],
    width: Array,
) -> ChunkMeasure:
    """Times, delays and seams of an episode's chunks.

    Args:
        ticks: of the episode, in order [T].
        proposed: the actions [T, A], NaN rows where there was none.
        chunks: the chunk whose row 0 belongs to each tick [T, H, A], NaN where none does.
        width: width of each axis' bounds [A].

    Raises:
        InputError: a report whose values are no numbers.
    """
    actions = proposed.astype(np.float64) / width
    acted = present(actions)
    ids = np.array([t.chunk_id for t, _ in ticks], dtype=np.int64)
    used = acted & (ids != ABSENT)
    _, first = np.unique(ids[used], return_index=True)
    starts = np.flatnonzero(used)[np.sort(first)]
    times = [number(ticks[k][1], "inference_ms", POLICY_STATUS) for k in starts]
    prefix = [ticks[k][1].whole_number("prefix_length", POLICY_STATUS, 32) or 0 for k in starts]
    seams = np.flatnonzero(used[1:] & used[:-1] & (ids[1:] != ids[:-1])) + 1
    whole = chunks[np.isfinite(chunks).all(axis=(1, 2))].astype(np.float64) / width
    axes = len(width)
    return ChunkMeasure(
        count=len(starts),
        inference_ms=np.array([t for t in times if t is not None]),
        delay=np.array([max(ticks[k][0].delay, 0) for k in starts], dtype=np.int64),
        prefix=np.array(prefix, dtype=np.int64),
        prefix_error=_prefix_error(
            ticks, starts, prefix, actions, np.flatnonzero(acted), chunks / width
        ),
        seams=seams,
        seam_step=np.abs(actions[seams] - actions[seams - 1]).reshape(-1, axes),
        seam_bend=_seam_bends(actions, seams),
        inner_step=np.abs(np.diff(whole, axis=1)).reshape(-1, axes),
        inner_bend=np.abs(np.diff(whole, n=2, axis=1)).reshape(-1, axes),
    )


def _seam_bends(actions: Array, seams: NDArray[np.int64]) -> Array:
    """The greater of the bends centred on the tick before a seam and on the seam [S, A]; 0 where
    the neighbours that one needs gave no action."""
    padded = np.full((len(actions) + 3, actions.shape[1]), np.nan)
    padded[2:-1] = actions  # row k is padded[k + 2]
    bends = np.abs(padded[2:] - 2.0 * padded[1:-1] + padded[:-2])  # bends[k+1] is centred on k
    both = np.stack([bends[seams], bends[seams + 1]])
    greater: Array = np.where(np.isnan(both), 0.0, both).max(axis=0)
    return greater


def _prefix_error(
    ticks: list[tuple[Tick, Event]],
    starts: NDArray[np.int64],
    prefix: list[int],
    actions: Array,
    acted: NDArray[np.int64],
    chunks: Array,
) -> float | None:
    """Compares each chunk's rows for the actions that were consumed before it arrived with them.

    Row i of a chunk stands for the i-th action taken since it was asked for, so a tick without an
    action does not count.
    """
    errors = []
    for k, length in zip(starts, prefix, strict=True):
        index = ticks[k][0].chunk_index
        row0 = int(np.searchsorted(acted, k)) - index
        count = min(length, index)
        if row0 < 0 or count <= 0 or not np.isfinite(chunks[acted[row0]]).all():
            continue
        consumed = actions[acted[row0 : row0 + count]]
        errors.append(float(np.abs(chunks[acted[row0]][:count] - consumed).max()))
    return max(errors, default=None)
