"""What drawing a batch costs: this store, TorchRL's memory-mapped storage, a plain NumPy ring."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tensordict import TensorDict
from torchrl.data import (
    LazyMemmapStorage,
    RandomSampler,
    SliceSampler,
    TensorDictReplayBuffer,
    TensorStorage,
)

from vla_rl_nodes.replay.episode import EpisodeData, EpisodeHeader, Transitions, content_sha256
from vla_rl_nodes.replay.store.choosers import Uniform
from vla_rl_nodes.replay.store.forms import Slices, Steps
from vla_rl_nodes.replay.store.pool import Pool, View
from vla_rl_nodes.replay.store.sampler import Sampler
from vla_rl_nodes.replay.store.store import EpisodeStore
from vla_rl_nodes.replay.store.torch_view import RUN, replay_buffer, to_tensordict

BATCH = 256
SLICE = 16
_CAMERAS = ("image_scene", "image_wrist")
_IMAGE = (128, 128, 3)
_STATE = 32
_AXES = 7
_EPISODES = 20
_STEPS = 250  # of an episode; 5,000 in all, whose images are 0.5 GB
_ROUNDS = 25
_OBSERVED = (*_CAMERAS, "state")
_Subjects = Mapping[str, Callable[[], object]]


def measure_sampling(seed: int) -> dict[str, float]:
    """Milliseconds that a batch of 256 transitions takes: the median of interleaved rounds.

    Two 128x128 colour images and a state of 32 numbers, with the next observation, of random
    values. All subjects hold the same 5,000 steps, which are more than processors' caches keep,
    and each was read once before. Every batch is kept until the subject's next one, as in a
    training loop. Takes about half a minute and 1.5 GB of temporary files.

    Args:
        seed: of the draws; the values are always the same.

    Returns:
        ``ours``, as tensors; ``torchrl``, the observation and the next one stored, as its users
        do; ``numpy``, a memory-mapped ring whose next observation is the row behind. And:
        ``torchrl_by_index``, observations stored once and drawn twice; ``numpy_reused``, the ring
        with ``numpy.take`` into the same memory every time; ``ours_2_threads``, images copied by
        two threads; ``ours_in_torchrl``, the store under
        TorchRL's buffer and sampler; ``ours_slices``, ``ours_slices_in_torchrl`` and
        ``torchrl_slices``, 16 slices of 16 steps.
    """
    with tempfile.TemporaryDirectory(prefix="vla-rl-sampling-") as folder:
        return _measured(_subjects(Path(folder), seed), seed)


def _subjects(folder: Path, seed: int) -> _Subjects:
    values = np.random.default_rng(0)
    store = EpisodeStore(folder / "store", writable=True)
    logging.getLogger("torchrl").setLevel(logging.WARNING)  # it tells on standard output
    storage = LazyMemmapStorage(_EPISODES * _STEPS, scratch_dir=folder / "torchrl")
    plain = _buffer(storage, RandomSampler(), seed)
    for number in range(_EPISODES):
        episode = _episode(number, values)
        store.append(episode)
        plain.extend(_items(number, episode.transitions))
    _sync(folder)  # so that nothing is written while it is measured
    held = storage[:]
    ring = {name: held[name].numpy() for name in held.keys() if name != "next"}  # noqa: SIM118
    for array in (*ring.values(), *store.rows.wide.values()):
        array.max()
    observed = held.select(*ring)
    steps = Pool([View(store)], Steps())
    slices = Pool([View(store)], Slices(length=SLICE))
    ours = Sampler(Uniform(steps, seed), BATCH)
    two_threads = Sampler(Uniform(steps, seed), BATCH, threads=2)
    our_slices = Sampler(Uniform(slices, seed), BATCH // SLICE)
    by_run = SliceSampler(slice_len=SLICE, traj_key=RUN, cache_values=True)
    by_episode = SliceSampler(slice_len=SLICE, traj_key="episode", cache_values=True)
    return {
        "ours": lambda: to_tensordict(ours.sample()),
        "torchrl": plain.sample,
        "numpy": _Ring(ring, seed).sample,
        "torchrl_by_index": _ByIndex(TensorStorage(observed), seed).sample,
        "numpy_reused": _Ring(ring, seed).sample_into,
        "ours_2_threads": lambda: to_tensordict(two_threads.sample()),
        "ours_in_torchrl": replay_buffer(steps, RandomSampler(), BATCH, seed)[0].sample,
        "ours_slices": lambda: to_tensordict(our_slices.sample()),
        "ours_slices_in_torchrl": replay_buffer(steps, by_run, BATCH, seed)[0].sample,
        "torchrl_slices": _buffer(storage, by_episode, seed).sample,
    }


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _measured(subjects: _Subjects, seed: int) -> dict[str, float]:
    order = np.random.default_rng(seed)
    names = list(subjects)
    held = {name: subjects[name]() for name in names}
    taken: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(_ROUNDS):
        for name in order.permutation(names):
            begun = time.perf_counter()
            held[name] = subjects[name]()
            taken[name].append(time.perf_counter() - begun)
    return {name: round(1e3 * float(np.median(times)), 4) for name, times in taken.items()}


class _Ring:
    """What people write themselves: arrays, an index, and the row behind it."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], seed: int) -> None:
        self._arrays = arrays
        self._rows = len(arrays["state"])
        self._random = np.random.default_rng(seed)
        self._memory: dict[str, NDArray[Any]] = {}

    def sample(self) -> dict[str, NDArray[Any]]:
        index = self._random.integers(self._rows - 1, size=BATCH)
        batch = {name: array[index] for name, array in self._arrays.items()}
        return batch | {f"next.{name}": self._arrays[name][index + 1] for name in _OBSERVED}

    def sample_into(self) -> dict[str, NDArray[Any]]:
        index = self._random.integers(self._rows - 1, size=BATCH)
        for name, array in self._arrays.items():
            self._take(name, array, index)
        for name in _OBSERVED:
            self._take(f"next.{name}", self._arrays[name], index + 1)
        return self._memory

    def _take(self, name: str, array: NDArray[Any], index: NDArray[np.int64]) -> None:
        if name not in self._memory:
            self._memory[name] = np.empty((BATCH, *array.shape[1:]), array.dtype)
        np.take(array, index, axis=0, out=self._memory[name], mode="clip")


class _ByIndex:
    """TorchRL's storage without the next observations, drawn from a second time for them."""

    def __init__(self, storage: TensorStorage, seed: int) -> None:
        self._storage = storage
        self._random = torch.Generator().manual_seed(seed)

    def sample(self) -> TensorDict:
        index = torch.randint(len(self._storage) - 1, (BATCH,), generator=self._random)
        batch = self._storage[index]
        batch["next"] = self._storage[index + 1].select(*_OBSERVED)
        return batch


def _buffer(storage: LazyMemmapStorage, sampler: Any, seed: int) -> TensorDictReplayBuffer:
    return TensorDictReplayBuffer(
        storage=storage,
        sampler=sampler,
        batch_size=BATCH,
        generator=torch.Generator().manual_seed(seed),
    )


def _items(number: int, steps: Transitions) -> TensorDict:
    """An episode for TorchRL, with the next observations."""
    observed = {name: torch.from_numpy(steps.observations[name]) for name in _OBSERVED}
    led_to = {
        name: torch.from_numpy(getattr(steps, name)).unsqueeze(-1)
        for name in ("reward", "terminated", "truncated")
    }
    led_to["done"] = led_to["terminated"] | led_to["truncated"]
    behind = {name: tensor[1:] for name, tensor in observed.items()} | led_to
    return TensorDict(
        {name: tensor[:-1] for name, tensor in observed.items()}
        | {
            "action": torch.from_numpy(steps.action_executed),
            "episode": torch.full((_STEPS,), number),
            "next": TensorDict(behind, [_STEPS]),
        },
        [_STEPS],
    )


def _episode(number: int, random: np.random.Generator) -> EpisodeData:
    actions = random.normal(size=(_STEPS, _AXES)).astype(np.float32)
    none = np.full_like(actions, np.nan)
    no = np.zeros(_STEPS, dtype=np.bool_)
    last = np.arange(_STEPS) == _STEPS - 1
    count = np.zeros(_STEPS, dtype=np.int32)
    observations: dict[str, NDArray[Any]] = {
        name: random.integers(0, 256, size=(_STEPS + 1, *_IMAGE), dtype=np.uint8)
        for name in _CAMERAS
    }
    observations["state"] = random.normal(size=(_STEPS + 1, _STATE)).astype(np.float32)
    steps = Transitions(
        stamp_ns=np.arange(_STEPS + 1, dtype=np.int64) * 100_000_000,
        action_proposed=actions, action_residual=none, action_intervention=none,
        action_executed=actions, intervened=no,
        reward=random.normal(size=_STEPS).astype(np.float32), terminated=last, truncated=no,
        chunk_id=count, chunk_index=count, delay=count, noise_seed=count.astype(np.int64),
        policy_version=count, safety_reasons=count.astype(np.uint32),
        observation_match=no.astype(np.uint8), rule_differs=no, chunk=actions[:, None],
        privileged=None, observations=observations,
    )  # fmt: skip
    header = EpisodeHeader(
        episode_id=f"made-{number:03d}", contract="made", contract_sha256="0" * 64,
        bag_sha256=None, outcome="success", reason="", seed=number, task="", robot="",
        steps=_STEPS, policy_hz=10, chunk_length=1, action_names=[f"a{i}" for i in range(_AXES)],
        streams={
            name: ("<f4" if name == "state" else "|u1", list(array.shape[1:]))
            for name, array in observations.items()
        },
        privileged_names=[], policy_versions=["made"], reward_sources=["made"], counts={},
        refused={}, recorder_dropped={}, content_sha256=content_sha256(steps.arrays()), files={},
    )  # fmt: skip
    return EpisodeData(header, steps)
