from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.sidecars import write_label
from vla_rl_nodes.replay.store.choosers import (
    Symmetric,
    Uniform,
    Weighted,
    online_and_shown,
    sidecar_weights,
)
from vla_rl_nodes.replay.store.forms import Slices, Steps
from vla_rl_nodes.replay.store.pool import Pool, View, autonomous, intervened
from vla_rl_nodes.replay.store.prioritised import Prioritised
from vla_rl_nodes.replay.store.sampler import Sampler
from vla_rl_nodes.replay.store.store import EpisodeStore
from vla_rl_nodes.replay.store.sum_tree import SumTree

from .made import Flaws, make

FLAWED = Flaws(0.1, 0.1, 0.1)
DRAWS = 40_000


def store_of(folder: Path, *seeds: int, steps: int = 40) -> EpisodeStore:
    store = EpisodeStore(folder, writable=True)
    for seed in seeds:
        store.append(make(seed, steps, FLAWED))
    return store


def fits(counts: NDArray[np.int64], shares: NDArray[np.float64]) -> bool:
    """Pearson's chi-square of counts against shares, 4.5 standard deviations allowed. What has no
    share must have no count."""
    if counts[shares == 0].any():
        return False
    counts, shares = counts[shares > 0], shares[shares > 0]
    expected = counts.sum() * shares / shares.sum()
    assert expected.min() > 5  # else the test says nothing
    statistic = float(((counts - expected) ** 2 / expected).sum())
    freedom = len(counts) - 1
    return statistic < freedom + 4.5 * np.sqrt(2 * freedom)


def test_the_test_of_shares_sees_small_differences() -> None:
    random = np.random.default_rng(0)
    shares = np.ones(80)
    counts = np.bincount(random.integers(80, size=DRAWS), minlength=80)
    assert fits(counts, shares)
    tilted = shares.copy()
    tilted[:40] *= 1.1
    assert not fits(counts, tilted)
    shares[3] = 0
    assert not fits(counts, shares)


def counted(sampler: Sampler, size: int) -> NDArray[np.int64]:
    batches = [sampler.sample()["at.index"] for _ in range(4)]
    return np.bincount(np.concatenate(batches), minlength=size)


NARROW = Steps(observations=("state",))


def test_uniform_draws_all_alike_also_what_came_later(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s", 0, 1)
    pool = Pool([View(store)], NARROW)
    sampler = Sampler(Uniform(pool, 3), DRAWS // 4)
    assert fits(counted(sampler, len(pool)), np.ones(len(pool)))
    before = len(pool)
    store.append(make(2, 40, FLAWED))
    counts = counted(sampler, len(pool))
    assert len(pool) > before and fits(counts, np.ones(len(pool)))


def test_weights_of_a_sidecar(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s", 0, 1)
    random = np.random.default_rng(0)
    given: dict[str, NDArray[np.float32]] = {}

    def label(seed: int) -> None:
        header = make(seed, 40, FLAWED).header
        weights = random.choice([0, 0.5, 1, 3], size=40).astype(np.float32)
        given[header.episode_id] = weights
        for kind, name in (("weight", "influence"), ("progress", "progress")):
            write_label(
                tmp_path, header, name, kind,  # type: ignore[arg-type]
                weights if kind == "weight" else np.zeros(41, np.float32),
                producer="test", producer_version="1", made_from={},
            )  # fmt: skip

    for seed in (0, 1):
        label(seed)
    pool = Pool([View(store)], NARROW)
    sampler = Sampler(Weighted(pool, 5, sidecar_weights(tmp_path, "influence", 1)), DRAWS // 4)

    def shares() -> NDArray[np.float64]:
        found = np.zeros(len(pool))
        for i, entry in enumerate(pool.entries):
            header = store.episodes[entry["episode"]].header
            found[i] = given[header.episode_id][entry["row"] - entry["begin"]]
        return found

    assert fits(counted(sampler, len(pool)), shares())
    store.append(make(2, 40, FLAWED))
    with pytest.raises(InputError, match="made-0002"):  # its label is not there yet
        sampler.sample()
    label(2)
    assert fits(counted(sampler, len(pool)), shares())
    with pytest.raises(InputError, match="label 'progress': is a progress, no weight"):
        Sampler(Weighted(pool, 0, sidecar_weights(tmp_path, "progress", 1)), 4).sample()


def test_weights_that_make_no_sense(tmp_path: Path) -> None:
    pool = Pool([View(store_of(tmp_path / "s", 0))], NARROW)
    for weights in (np.ones(39), np.full(40, -1.0), np.full(40, np.nan), np.full(40, np.inf)):
        with pytest.raises(InputError, match="are not 40 finite numbers from 0 on"):
            Weighted(pool, 0, lambda header, w=weights: w).choose(4)  # type: ignore[misc]
    with pytest.raises(InputError, match="weights: are all 0"):
        Weighted(pool, 0, lambda header: np.zeros(40)).choose(4)


def test_only_the_last_weight_is_not_zero(tmp_path: Path) -> None:
    pool = Pool([View(store_of(tmp_path / "s", 0))], NARROW)
    for place in (0, 7, len(pool) - 1):
        step = int(pool.added[0].steps[place])
        weights = np.zeros(40)
        weights[step] = 1e-300
        picks = Weighted(pool, 0, lambda header, w=weights: w).choose(500)  # type: ignore[misc]
        assert set(picks[0].index) == {place}


def test_priorities(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s", 0, 1)
    pool = Pool([View(store)], NARROW)
    random = np.random.default_rng(1)
    chooser = Prioritised(pool, 9, alpha=0.7, beta=0.5)
    sampler = Sampler(chooser, DRAWS // 4)
    assert fits(counted(sampler, len(pool)), np.ones(len(pool)))
    priorities = random.uniform(0.2, 3, size=len(pool))
    chooser.update(np.arange(len(pool)), priorities)
    assert fits(counted(sampler, len(pool)), priorities**0.7)
    batch = sampler.sample()
    shares = priorities[batch["at.index"]] ** 0.7 / (priorities**0.7).min()
    np.testing.assert_allclose(batch["at.importance"], shares**-0.5, rtol=1e-5)
    assert batch["at.importance"].dtype == np.float32
    # What is new comes with the largest priority that there ever was.
    chooser.update(np.array([3, 4, 3]), np.array([9.0, 0.0, 5.0]))
    priorities[[3, 4]] = 5.0, 1e-8
    store.append(make(2, 40, FLAWED))
    pool.grow()
    priorities = np.concatenate([priorities, np.full(len(pool) - len(priorities), 9.0)])
    counts = counted(sampler, len(pool))
    assert counts[4] <= 3
    counts[4] = 0
    priorities[4] = 0
    assert fits(counts, priorities**0.7)


def test_priorities_outgrow_their_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vla_rl_nodes.replay.store.prioritised._LEAST_CAPACITY", 8)
    store = store_of(tmp_path / "s", 0)
    pool = Pool([View(store)], NARROW)
    chooser = Prioritised(pool, 9, alpha=1.0)
    chooser.choose(1)
    size = len(pool)
    priorities = np.linspace(0.5, 2, size)
    chooser.update(np.arange(size), priorities)
    for seed in range(1, 6):
        store.append(make(seed, 40, FLAWED))
        chooser.choose(1)
    shares = np.concatenate([priorities, np.full(len(pool) - size, 2.0)])
    assert fits(counted(Sampler(chooser, DRAWS), len(pool)), shares)


def test_priorities_that_make_no_sense(tmp_path: Path) -> None:
    pool = Pool([View(store_of(tmp_path / "s", 0))], NARROW)
    chooser = Prioritised(pool, 0)
    index = Sampler(chooser, 4).sample()["at.index"]
    for at, values in (
        (index, np.ones(3)), (index, np.full(4, np.nan)), (index, np.full(4, -1.0)),
        (np.array([len(pool)]), np.ones(1)), (np.array([-1]), np.ones(1)),
    ):  # fmt: skip
        with pytest.raises(InputError, match="priorities: are not one finite number"):
            chooser.update(at, values)
    chooser.update(index[:0], np.zeros(0))
    for alpha, beta in ((-1.0, 0.0), (0.0, -1.0), (np.nan, 0.0)):
        with pytest.raises(InputError, match="is negative"):
            Prioritised(pool, 0, alpha, beta)


@given(
    values=st.dictionaries(st.integers(0, 40), st.floats(1e-6, 1e6), min_size=1),
    draws=st.lists(st.floats(0, 1, exclude_max=True), min_size=1),
)
@settings(max_examples=200, deadline=None)
def test_a_tree_finds_what_a_plain_sum_finds(values: dict[int, float], draws: list[float]) -> None:
    tree = SumTree(41)
    plain = np.zeros(tree.capacity)
    for place, value in values.items():
        tree.set(np.array([place]), np.array([value]))
        plain[place] = value
    both = SumTree(41)
    both.set(np.array(list(values)), np.array(list(values.values())))
    mass = np.array([*draws, 1.0]) * tree.total
    for one in (tree, both):
        assert one.total == pytest.approx(plain.sum()) and one.least == min(values.values())
        np.testing.assert_array_equal(one[np.arange(41)], plain[:41])
        found = one.find(mass)
        assert (plain[found] > 0).all()
        sums = np.cumsum(plain)
        slack = 1e-9 * sums[-1]  # the tree adds in another order
        assert (sums[found] >= mass - slack).all()
        assert (sums[found] - plain[found] <= mass + slack).all()


def test_half_and_half(tmp_path: Path) -> None:
    """RLPD: as many of one store as of the other, however large they are."""
    online, shown = store_of(tmp_path / "a", 0, 1, 2, 3), store_of(tmp_path / "b", 9)
    one, two = Pool([View(online)], NARROW), Pool([View(shown)], NARROW)
    sampler = Sampler(Symmetric(Uniform(one, 1), Uniform(two, 2)), DRAWS)
    batch = sampler.sample()
    half = DRAWS // 2
    assert (batch["at.source"][:half] == 0).all() and (batch["at.source"][half:] == 1).all()
    for pool, part in ((one, batch["at.index"][:half]), (two, batch["at.index"][half:])):
        assert fits(np.bincount(part, minlength=len(pool)), np.ones(len(pool)))
    state = make(9, 40, FLAWED).transitions.observations["state"]
    np.testing.assert_array_equal(batch["state"][half:], state[batch["at.step"][half:]])


def test_interventions_are_online_and_shown(tmp_path: Path) -> None:
    """HIL-SERL: what the policy did is online, what a person did is that and shown, too."""
    online, shown = store_of(tmp_path / "a", 0, 1, 2), store_of(tmp_path / "b", 9)
    batch = Sampler(online_and_shown(online, shown, NARROW, 4), DRAWS).sample()
    half = DRAWS // 2
    everything = Pool([View(online)], NARROW)
    first = batch["at.index"][:half]
    assert fits(np.bincount(first, minlength=len(everything)), np.ones(len(everything)))
    sources = batch["at.source"]
    assert (sources[:half] == 0).all() and set(sources[half:]) == {1, 2}
    for i in np.flatnonzero(sources == 1):
        steps = make(int(batch["at.episode"][i]), 40, FLAWED).transitions
        assert steps.intervened[batch["at.step"][i]]
    by_hand, demonstrated = Pool([View(online, intervened)], NARROW), Pool([View(shown)], NARROW)
    by_itself = Pool([View(online, autonomous)], NARROW)
    assert len(by_hand) + len(by_itself) == len(everything) and len(by_hand) and len(by_itself)
    counts = Counter(zip(sources[half:], batch["at.index"][half:], strict=True))
    assert len(counts) == len(by_hand) + len(demonstrated)
    assert fits(np.array(list(counts.values())), np.ones(len(counts)))
    # The two halves are drawn apart: not the same places in the same order.
    assert (first[:100] != batch["at.index"][half : half + 100]).any()


def test_a_view_chooses_episodes_by_their_outcome(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s", 0, 1)

    def second(episode: object, steps: NDArray[np.void]) -> NDArray[np.bool_]:
        return np.full(len(steps), episode is store.episodes[1])

    pool = Pool([View(store, second)], Slices(length=2, observations=("state",)))
    assert set(pool.entries["episode"]) == {1}


def test_stores_of_different_arrays_do_not_mix(tmp_path: Path) -> None:
    from .made import changed

    one = store_of(tmp_path / "a", 0)
    with EpisodeStore(tmp_path / "b", writable=True) as two:
        episode = make(1, 40)
        two.append(changed(episode, privileged=np.zeros((40, 7))))
        sampler = Sampler(
            Symmetric(
                Uniform(Pool([View(one)], NARROW), 0), Uniform(Pool([View(two)], NARROW), 0)
            ), 4,
        )  # fmt: skip
        with pytest.raises(InputError, match="has other arrays than"):
            sampler.sample()
