"""A store as TorchRL sees it: its samplers, its batches, its buffers.

TorchRL's own memory-mapped storage copies whole rows whenever a sampler asks where episodes end,
and keeps every image twice. Here its samplers work on an index: they see the narrow arrays, and
the wide ones, such as images, are read once for the samples that were drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tensordict import TensorDict
from torchrl.data import ImmutableDatasetWriter, Storage, TensorDictReplayBuffer
from torchrl.data.replay_buffers.samplers import Sampler as TorchSampler

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.store.choosers import picked
from vla_rl_nodes.replay.store.forms import Steps
from vla_rl_nodes.replay.store.pool import Pool
from vla_rl_nodes.replay.store.sampler import Memory, copy_all, gather

_ENDLESS = 1 << 62
_LED_TO = ("reward", "terminated", "truncated")  # where TorchRL keeps what a step led to
RUN = ("at", "run")  # the key that tells samplers of slices which steps belong together


def to_tensordict(batch: Mapping[str, NDArray[Any]]) -> TensorDict:
    """A batch of a sampler under TorchRL's names, in the same memory.

    A dot makes a TensorDict in the TensorDict: ``next.NAME`` becomes ``("next", "NAME")``.
    Reward, terminated and truncated, [N, ..., 1], stand under ``next`` together with ``done``,
    which is either of the two; ``action_executed`` is ``action``. Else names are kept.
    """
    size = [len(next(iter(batch.values())))]
    found: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = {}
    for name, array in batch.items():
        tensor = torch.from_numpy(array)
        outer, dot, inner = name.partition(".")
        if dot:
            nested.setdefault(outer, {})[inner] = tensor
        elif name in _LED_TO:
            nested.setdefault("next", {})[name] = tensor.unsqueeze(-1)
        else:
            found["action" if name == "action_executed" else name] = tensor
    behind = nested.get("next", {})
    if "terminated" in behind and "truncated" in behind:
        behind["done"] = behind["terminated"] | behind["truncated"]
    return TensorDict(found | {key: TensorDict(v, size) for key, v in nested.items()}, size)


class StepStorage(Storage):  # type: ignore[misc]  # TorchRL ships no types
    """The steps of a pool as a storage for TorchRL's samplers; an index is a place in the pool.

    An item is a TensorDict of the form's narrow arrays, under the names of
    :func:`to_tensordict`, with :data:`RUN`: consecutive steps of one episode have the same. A
    range of items has nothing but that, which is what samplers of slices ask for
    (``SliceSampler(traj_key=RUN)``).

    Args:
        pool: of transitions.

    Raises:
        InputError: a pool of slices or chunks, or of steps without the next observation.
    """

    def __init__(self, pool: Pool) -> None:
        super().__init__(max_size=_ENDLESS)
        form = pool.form
        if not isinstance(form, Steps) or not form.next_observation:
            raise InputError("storage", "needs a pool of transitions", "give Steps for its form")
        self._pool = pool
        self._form = form
        self._memory = Memory()
        self._visible = len(pool)
        self._runs: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def grow(self) -> int:
        """Takes in what has been committed since, and tells the samplers of it.

        Returns:
            How many steps there are now.

        Raises:
            InputError: a store is damaged.
        """
        before, now = self._visible, self._pool.grow()
        self._visible = now
        if now > before:
            self._bump_mutation_revision()
            for buffer in self._attached_entities:
                buffer.mark_update(torch.arange(before, now))
        return now

    def __len__(self) -> int:
        return self._visible

    def get(self, index: Any) -> TensorDict:
        """Items by their places; see the class."""
        if isinstance(index, tuple):
            (index,) = index  # TorchRL's samplers of slices give one index for each dimension
        if isinstance(index, slice):
            return to_tensordict({".".join(RUN): self._all_runs()[index]})
        places = np.asarray(index, dtype=np.int64)
        schema = self._pool.views[0].store.schema
        names = self._form.observation_names(schema)
        narrow = tuple(name for name in names if name not in schema.wide)
        items = self._read(replace(self._form, observations=narrow), places.reshape(-1))
        items[RUN] = torch.from_numpy(self._all_runs()[places.reshape(-1)])
        return items if places.ndim else items[0]

    def frames(self, items: TensorDict) -> TensorDict:
        """Adds the wide arrays to items of this storage, under their names and ``next``."""
        schema = self._pool.views[0].store.schema
        names = self._form.observation_names(schema)
        wide = tuple(name for name in names if name in schema.wide)
        form = replace(self._form, observations=wide, fields=(), optional=())
        places = items["at", "index"].reshape(-1).numpy()
        return items.update(self._read(form, places).reshape(items.shape))

    def _read(self, form: Steps, places: NDArray[np.int64]) -> TensorDict:
        picks = picked(self._pool, places)
        batch, copies = gather(form, picks, self._memory)
        copy_all(copies)
        if len(picks) > 1:  # they stand view by view; here the order is given
            order = np.argsort(np.argsort(_source(self._pool, places), kind="stable"))
            batch = {name: array[order] for name, array in batch.items()}
        return to_tensordict(batch)

    def _all_runs(self) -> NDArray[np.int64]:
        if len(self._runs) != self._visible:
            entries = self._pool.entries[: self._visible]
            new = np.diff(entries["row"], prepend=-1) != 1
            for name in ("episode", "source"):
                new |= np.diff(entries[name], prepend=-1) != 0
            self._runs = np.cumsum(new)
        return self._runs

    def set(self, cursor: Any, data: Any, *, set_cursor: bool = True) -> None:
        """Always refused: episodes come into a store whole.

        Raises:
            InputError: always.
        """
        raise InputError("storage", "takes no single steps", "append episodes to its store")

    def contains(self, item: Any) -> bool:
        """Whether there is an item at a place."""
        return 0 <= int(item) < self._visible

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the store is on the disk."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to load: the store is on the disk."""

    def _empty(self) -> None:
        raise InputError("storage", "cannot be emptied", "start another store")


def replay_buffer(
    pool: Pool, sampler: TorchSampler, batch: int, seed: int
) -> tuple[TensorDictReplayBuffer, StepStorage]:
    """A buffer of TorchRL over a pool, with any of its samplers.

    Returns:
        The buffer, whose samples have images and all, and its storage, whose ``grow()`` lets in
        what has been committed since.
    """
    storage = StepStorage(pool)
    buffer = TensorDictReplayBuffer(
        storage=storage, sampler=sampler, writer=ImmutableDatasetWriter(), batch_size=batch,
        collate_fn=_unchanged, transform=storage.frames,
        generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    buffer.mark_update(torch.arange(len(storage)))
    return buffer, storage


def _unchanged(items: TensorDict) -> TensorDict:
    return items


def _source(pool: Pool, places: NDArray[np.int64]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = np.take(pool.entries, places)["source"]
    return found
