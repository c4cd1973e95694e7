"""TorchRL's own samplers and buffers over a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torchrl")
import torch
from tensordict import TensorDict
from torchrl.data import PrioritizedSampler, RandomSampler, SliceSampler
from torchrl.data.replay_buffers.samplers import prioritized

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.episode import EpisodeData
from vla_rl_nodes.replay.store.choosers import Uniform
from vla_rl_nodes.replay.store.forms import Chunks, Form, Slices, Steps
from vla_rl_nodes.replay.store.pool import Pool, View, intervened
from vla_rl_nodes.replay.store.prioritised import Prioritised
from vla_rl_nodes.replay.store.sampler import Sampler
from vla_rl_nodes.replay.store.store import EpisodeStore
from vla_rl_nodes.replay.store.sum_tree import SumTree
from vla_rl_nodes.replay.store.torch_view import RUN, StepStorage, replay_buffer, to_tensordict

from .made import Flaws, make
from .plain import beginnings, check

pytestmark = pytest.mark.learner
FLAWED = Flaws(0.1, 0.1, 0.1)
EPISODES = [make(seed, 20 + seed, FLAWED) for seed in range(5)]


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    found = EpisodeStore(tmp_path / "s", writable=True)
    for episode in EPISODES:
        found.append(episode)
    return found


def as_batch(items: TensorDict) -> dict[str, np.ndarray[Any, Any]]:
    """Back to the names of a batch."""
    found = {}
    for key, tensor in items.flatten_keys(".").items():
        name = key.removeprefix("next.")
        if name in ("reward", "terminated", "truncated"):
            found[name] = tensor.squeeze(-1).numpy()
        elif key not in ("next.done", "index", "at.run", "priority_weight", "_weight"):
            found["action_executed" if key == "action" else key] = tensor.numpy()
    return found


@pytest.mark.parametrize(
    "form", [Steps(), Steps(stack=3), Slices(length=3, stack=2), Chunks(length=3, gamma=0.9)]
)
def test_a_tensordict_is_the_batch(store: EpisodeStore, form: Form) -> None:
    batch = Sampler(Prioritised(Pool([View(store)], form), 0), 24).sample()
    items = to_tensordict(batch)
    assert items.batch_size == torch.Size([24])
    again = as_batch(items)
    assert set(again) == set(batch)
    for name in batch:
        assert np.shares_memory(again[name], batch[name]), name
        np.testing.assert_array_equal(again[name], batch[name])
    if not isinstance(form, Chunks):
        either = batch["terminated"] | batch["truncated"]
        np.testing.assert_array_equal(items["next", "done"].squeeze(-1).numpy(), either)
        assert items["next", "reward"].shape[-1] == 1


def test_random_sampler(store: EpisodeStore) -> None:
    form = Steps(stack=2, fields=("action_executed", "reward", "terminated", "truncated"))
    pool = Pool([View(store), View(store, intervened)], form)
    buffer, storage = replay_buffer(pool, RandomSampler(), 64, seed=3)
    again, _ = replay_buffer(pool, RandomSampler(), 64, seed=3)
    seen = set()
    for _ in range(30):
        items = buffer.sample()
        batch = as_batch(items)
        check(form, batch, [EPISODES], [0, 0])
        np.testing.assert_array_equal(batch["at.index"], items["index"].numpy())
        other = again.sample()
        assert all(torch.equal(other[k], v) for k, v in items.items(True, True))
        seen |= set(zip(batch["at.episode"].tolist(), batch["at.step"].tolist(), strict=True))
    assert seen == beginnings(form, EPISODES) and len(storage) == len(pool)


@pytest.mark.parametrize("cached", [False, True])
def test_slice_sampler(store: EpisodeStore, cached: bool) -> None:
    form = Steps()
    sampler = SliceSampler(slice_len=4, traj_key=RUN, cache_values=cached)
    buffer, storage = replay_buffer(Pool([View(store)], form), sampler, 32, seed=1)
    episodes = list(EPISODES)

    def draw() -> set[int]:
        items = buffer.sample()
        batch = as_batch(items.exclude(("next", "truncated"), ("next", "terminated")))
        step, episode = (batch[f"at.{n}"].reshape(8, 4) for n in ("step", "episode"))
        assert (np.diff(step, axis=1) == 1).all() and (np.diff(episode, axis=1) == 0).all()
        scene = [episodes[e].transitions.observations["scene"] for e in range(len(episodes))]
        for i, (e, k) in enumerate(zip(episode.reshape(-1), step.reshape(-1), strict=True)):
            np.testing.assert_array_equal(batch["scene"][i], scene[e][k])
            np.testing.assert_array_equal(batch["next.scene"][i], scene[e][k + 1])
        assert items["next", "truncated"].reshape(8, 4)[:, -1].all()
        return set(episode.reshape(-1).tolist())

    found = set()
    for _ in range(10):
        found |= draw()
    assert found == set(range(5))
    episodes.append(make(9, 60))
    store.append(episodes[-1])
    assert 5 not in draw()  # not before it is let in
    assert storage.grow() == len(storage)
    assert any(5 in draw() for _ in range(10))


class PlainTree:
    """Stands in for the trees of TorchRL's compiled part, which fits one version of torch only."""

    def __init__(self, capacity: int) -> None:
        self.tree = SumTree(capacity)

    def __setitem__(self, index: torch.Tensor, values: torch.Tensor) -> None:
        index, values = torch.broadcast_tensors(torch.as_tensor(index), torch.as_tensor(values))
        self.tree.set(index.reshape(-1).numpy(), values.reshape(-1).double().numpy())

    def __getitem__(self, index: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.tree[index.numpy()]).float()


class PlainSums(PlainTree):
    def query(self, begin: int, end: int) -> float:
        return self.tree.total

    def scan_lower_bound(self, mass: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.tree.find(mass.double().numpy()))


class PlainLeast(PlainTree):
    def query(self, begin: int, end: int) -> float:
        return self.tree.least


def test_prioritized_sampler(store: EpisodeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    if prioritized.SumSegmentTreeFp32 is None:
        for name, tree in (("Sum", PlainSums), ("Min", PlainLeast)):
            for bits in (32, 64):
                monkeypatch.setattr(prioritized, f"{name}SegmentTreeFp{bits}", tree)
    form = Steps()
    pool = Pool([View(store)], form)
    sampler = PrioritizedSampler(10_000, alpha=1.0, beta=1.0)
    buffer, storage = replay_buffer(pool, sampler, 256, seed=2)
    check(form, as_batch(buffer.sample()), [EPISODES], [0])
    wanted = torch.tensor([1, 5, 9])
    buffer.update_priority(torch.arange(len(pool)), torch.full((len(pool),), 1e-6))
    buffer.update_priority(wanted, torch.ones(3))
    items = buffer.sample()
    assert set(items["index"].tolist()) == set(wanted.tolist())
    check(form, as_batch(items), [EPISODES], [0])
    store.append(make(9, 60))
    before = len(storage)
    storage.grow()  # what is new comes with the largest priority that there was
    index = buffer.sample()["index"]
    assert (index >= before).float().mean() > 0.8


def test_items_and_what_is_refused(store: EpisodeStore, tmp_path: Path) -> None:
    pool = Pool([View(store)], Steps())
    storage = StepStorage(pool)
    one = storage.get(3)
    assert one.batch_size == torch.Size([]) and "scene" not in one.keys()  # noqa: SIM118
    assert int(one["at", "index"]) == 3 and storage.contains(3) and not storage.contains(10**6)
    assert set(storage[:].keys(True, True)) == {RUN}
    for call in (lambda: storage.set(0, one), lambda: storage._empty()):
        with pytest.raises(InputError, match="storage: "):
            call()
    for form in (Slices(length=2), Steps(next_observation=False)):
        with pytest.raises(InputError, match="storage: needs a pool of transitions"):
            StepStorage(Pool([View(store)], form))


def test_runs_end_where_steps_are_missing(tmp_path: Path) -> None:
    episodes: list[EpisodeData] = [make(0, 30, Flaws(no_reward=0.3)), make(1, 5)]
    with EpisodeStore(tmp_path / "r", writable=True) as store:
        for episode in episodes:
            store.append(episode)
        pool = Pool([View(store)], Steps())
        runs = StepStorage(pool)[:][RUN].numpy()
        entries = pool.entries
        for i in range(1, len(pool)):
            follows = (
                entries["episode"][i] == entries["episode"][i - 1]
                and entries["row"][i] == entries["row"][i - 1] + 1
            )
            assert (runs[i] == runs[i - 1]) == follows
        assert len(np.unique(runs)) > 2
        assert len(Sampler(Uniform(pool, 0), 2).sample()["reward"]) == 2
