"""Batches out of stores: rows that were chosen, copied once into arrays."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.store.choosers import Chooser, Picks
from vla_rl_nodes.replay.store.forms import Arrays, Form

AT = "at."
_KEPT = 4  # arrays of one kind that wait to be used again


class Sampler:
    """Draws batches. One is for one thread; several may draw from one store.

    A batch is a dict of arrays: those of the form (:mod:`vla_rl_nodes.replay.store.forms`) and
    for each sample ``at.episode``, its number in its store, ``at.step``, ``at.index``, its place
    in the pool, and ``at.source``, which view it is of, counted over all halves; with priorities,
    also ``at.importance``. Arrays may share memory with each other, never with another batch's.
    The memory of a batch that nobody holds any more is used for a later one.
    What judges said of the samples is found by the same numbers:
    :func:`vla_rl_nodes.replay.store.critiques.critiques_of`.

    Args:
        chooser: what to draw.
        batch: samples in a batch.
        threads: that copy wide arrays side by side: one does not use up the memory's bandwidth
            where cores are free.

    Raises:
        InputError: a batch without samples, or no thread.
    """

    def __init__(self, chooser: Chooser, batch: int, threads: int = 1) -> None:
        if batch < 1 or threads < 1:
            raise InputError(
                f"batch {batch}, threads {threads}", "gives no samples", "give 1 or more of each"
            )
        self._chooser = chooser
        self._batch = batch
        self._memory = Memory()
        self._copiers = None if threads == 1 else ThreadPoolExecutor(threads)
        self._parts = threads

    def sample(self) -> Arrays:
        """The next batch, with what has been committed until now.

        Raises:
            InputError: there is nothing to draw from, or a store is damaged.
        """
        picks = self._chooser.choose(self._batch)
        batch, copies = gather(self._chooser.form, picks, self._memory)
        if self._copiers is None:
            copy_all(copies)
        else:
            parts = [part for copy in copies for part in copy.split(self._parts)]
            list(self._copiers.map(Copy.run, parts))
        return batch


class Memory:
    """Arrays that are handed out again when nobody holds them or a part of them any more.

    Fresh memory of some megabytes comes from the system page by page, which costs as much as
    filling it.
    """

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, tuple[int, ...], str], list[NDArray[Any]]] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """An array with any content."""
        kept = self._arrays.setdefault((name, shape, dtype.str), [])
        for array in kept:
            # Held by the list, by this loop and by the call: by nobody else.
            if sys.getrefcount(array) == 3:
                return array
        fresh = np.empty(shape, dtype)
        if len(kept) < _KEPT:
            kept.append(fresh)
        return fresh


@dataclass(frozen=True)
class Copy:
    """Rows of a wide array that are still to be copied.

    Attributes:
        column: all rows, [N, ...].
        rows: int64 [n].
        out: where they go, [n, ...], contiguous.
    """

    column: NDArray[Any]
    rows: NDArray[np.int64]
    out: NDArray[Any]

    def run(self) -> None:
        """Copies them."""
        # Rows are known to exist; "raise" would copy everything twice so as to be able to fail.
        np.take(self.column, self.rows, axis=0, out=self.out, mode="clip")

    def split(self, parts: int) -> list[Copy]:
        """The same work in so many parts."""
        ends = np.linspace(0, len(self.rows), parts + 1).astype(int)
        return [
            Copy(self.column, self.rows[begin:end], self.out[begin:end])
            for begin, end in pairwise(ends)
        ]


def copy_all(copies: Sequence[Copy]) -> None:
    """Copies everything in this thread."""
    for copy in copies:
        copy.run()


def gather(form: Form, picks: Sequence[Picks], memory: Memory) -> tuple[Arrays, list[Copy]]:
    """The samples that were drawn, see :class:`Sampler`, and what is still to be copied into them.

    Raises:
        InputError: the stores' arrays differ.
    """
    schema = picks[0].store.schema
    for part in picks[1:]:
        if part.store.schema.fields != schema.fields:
            raise InputError(
                part.store.folder, f"has other arrays than {picks[0].store.folder}",
                "draw from stores of one kind",
            )  # fmt: skip
    entries = np.concatenate([part.entries for part in picks])
    places = form.places(entries)
    names = form.observation_names(schema), form.step_names()
    read: tuple[Arrays, Arrays] = ({}, {})
    copies: list[Copy] = []
    for found, rows, wanted in zip(read, (places.observations, places.steps), names, strict=True):
        for name in wanted:
            field = schema.fields[name]
            shape = (*rows.shape, *field.shape)
            found[name] = memory.take(name, shape, np.dtype(field.dtype))
        copies += _fill(found, picks, rows)
    batch = form.assemble(*read, entries)
    batch[AT + "episode"] = entries["episode"]
    batch[AT + "step"] = entries["row"] - entries["begin"]
    batch[AT + "index"] = np.concatenate([part.index for part in picks])
    batch[AT + "source"] = entries["source"]
    if any(part.importance is not None for part in picks):
        batch[AT + "importance"] = np.concatenate([_importance(part) for part in picks])
    return batch, copies


def _fill(arrays: Arrays, picks: Sequence[Picks], places: NDArray[np.int64]) -> list[Copy]:
    """Copies rows [N, J] of the stores into arrays [N, J, ...]; the wide ones are left to do."""
    copies = []
    done = 0
    for part in picks:
        end = done + len(part.entries)
        flat = places[done:end].reshape(-1)
        rows = part.store.rows
        narrow = [name for name in arrays if name not in rows.wide]
        record = np.take(rows.record, flat) if narrow else None
        for name, array in arrays.items():
            out = array[done:end]
            if record is not None and name in narrow:
                out[...] = record[name].reshape(out.shape)
            else:
                column = rows.wide[name].reshape(len(rows.flags), -1)
                copies.append(Copy(column, flat, out.reshape(len(flat), -1)))
        done = end
    return copies


def _importance(part: Picks) -> NDArray[np.float32]:
    if part.importance is None:
        return np.ones(len(part.entries), dtype=np.float32)
    return part.importance
