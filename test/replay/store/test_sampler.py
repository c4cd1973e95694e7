from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.chunks import chunk_transitions
from vla_rl_nodes.replay.episode import EpisodeData
from vla_rl_nodes.replay.store.choosers import Chooser, Symmetric, Uniform, Weighted
from vla_rl_nodes.replay.store.forms import Chunks, Form, Slices, Steps
from vla_rl_nodes.replay.store.pool import Pool, View, autonomous, intervened
from vla_rl_nodes.replay.store.prioritised import Prioritised
from vla_rl_nodes.replay.store.sampler import Memory, Sampler
from vla_rl_nodes.replay.store.store import EpisodeStore

from .made import Flaws, make
from .plain import beginnings, check

FLAWED = Flaws(0.2, 0.15, 0.15, no_state=0.15)
Fields = ("action_executed", "reward", "terminated", "truncated")


def stored(folder: Path, episodes: Sequence[EpisodeData]) -> EpisodeStore:
    store = EpisodeStore(folder, writable=True)
    for episode in episodes:
        store.append(episode)
    return store


common = {
    "observations": st.sampled_from([None, ("scene",), ("mask", "state"), ()]),
    "stack": st.integers(1, 4),
    "optional": st.sampled_from([(), ("action_intervention", "intervened")]),
}
fields = st.sampled_from(
    [Fields, (), ("reward", "privileged"), ("chunk",), ("action_intervention",)]
)
forms = st.one_of(
    st.builds(Steps, next_observation=st.booleans(), fields=fields, **common),
    st.builds(
        Slices, length=st.integers(1, 5), next_observation=st.booleans(), fields=fields, **common
    ),
    st.builds(
        Chunks, length=st.integers(1, 6), gamma=st.sampled_from([1.0, 0.9]), whole=st.booleans(),
        fields=st.sampled_from([(), ("noise_seed",)]), **common,
    ),
)  # fmt: skip
made = st.lists(
    st.builds(make, st.integers(0, 30), st.integers(1, 12), st.sampled_from([Flaws(), FLAWED])),
    min_size=1, max_size=4, unique_by=lambda episode: episode.header.episode_id,
)  # fmt: skip


@given(episodes=made, demonstrations=made, form=forms, seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_every_sample_is_what_one_would_write_down(
    episodes: list[EpisodeData], demonstrations: list[EpisodeData], form: Form, seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("stores")
    both = [episodes, demonstrations]
    one, two = stored(folder / "one", episodes), stored(folder / "two", demonstrations)
    pool = Pool([View(one)], form)
    expected = beginnings(form, episodes)
    assert {(e["episode"], e["row"] - e["begin"]) for e in pool.entries} == expected
    mixed = Pool([View(two), View(one, intervened), View(one, autonomous)], form)
    assert len(mixed) == len(expected) + len(beginnings(form, demonstrations))
    choosers: list[tuple[Chooser, list[int]]] = [
        (Uniform(pool, seed), [0]),
        (Weighted(pool, seed, lambda header: np.ones(header.steps)), [0]),
        (Prioritised(pool, seed), [0]),
        (Uniform(mixed, seed), [1, 0, 0]),
        (Symmetric(Uniform(mixed, seed), Prioritised(pool, seed)), [1, 0, 0, 0]),
    ]
    for chooser, sources in choosers:
        sampler = Sampler(chooser, 12)
        if not expected and sources != [1, 0, 0]:
            with pytest.raises(InputError, match="holds no step that can begin such a sample"):
                sampler.sample()
        elif len(mixed):
            for _ in range(2):
                batch = sampler.sample()
                assert all(len(array) == 12 for array in batch.values())
                check(form, batch, both, sources)


@pytest.mark.parametrize("next_observation", [False, True])
def test_slices_end_where_ticks_are_missing(tmp_path: Path, next_observation: bool) -> None:
    episodes = [make(seed, 40, Flaws(gap=0.25)) for seed in range(3)]
    for length in (1, 2, 5):
        form = Slices(length=length, next_observation=next_observation)
        pool = Pool([View(stored(tmp_path / f"{length}", episodes))], form)
        found = {(e["episode"], e["row"] - e["begin"]) for e in pool.entries}
        assert found == beginnings(form, episodes)
        assert 0 < len(found) <= 120 and (len(found) == 120) == (length == 1 > next_observation)


def test_observations_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    episodes = [make(seed, 40, Flaws(no_state=0.2)) for seed in range(3)]
    store = stored(tmp_path / "s", episodes)
    for form in (
        Steps(), Steps(stack=3), Steps(next_observation=False), Slices(length=3),
        Chunks(length=3, gamma=0.9), Chunks(length=3, gamma=0.9, stack=2),
    ):  # fmt: skip
        found = {(e["episode"], e["row"] - e["begin"]) for e in Pool([View(store)], form).entries}
        assert found == beginnings(form, episodes) and 0 < len(found) < 120


def test_chunks_are_those_of_the_chunk_transitions(tmp_path: Path) -> None:
    episode = make(5, 300, Flaws(0.03, 0.03, 0.03))
    store = stored(tmp_path / "s", [episode])
    for whole in (False, True):
        form = Chunks(length=4, gamma=0.97, whole=whole)
        pool = Pool([View(store)], form)
        batch = Sampler(Uniform(pool, 0), 2000).sample()
        expected = chunk_transitions(episode, 4, 0.97)
        usable = expected.complete & ~expected.spans.gap & (expected.whole | (not whole))
        assert set(batch["at.step"]) == set(np.flatnonzero(usable))
        at = batch["at.step"]
        for name in ("reward", "discount", "terminated", "truncated", "intervened", "steps"):
            np.testing.assert_array_equal(
                batch["chunk." + name], getattr(expected.spans, name)[at]
            )
        np.testing.assert_array_equal(batch["chunk.mask"], expected.mask[at])
        np.testing.assert_array_equal(
            batch["chunk.action"], np.nan_to_num(expected.action[at], nan=0)
        )
        behind = episode.transitions.observations["scene"][expected.spans.next_observation[at]]
        np.testing.assert_array_equal(batch["next.scene"], behind)


def test_the_same_seed_and_growth_give_the_same_batches(tmp_path: Path) -> None:
    def run(name: str, seed: int) -> list[dict[str, Any]]:
        store = stored(tmp_path / name, [make(0, 30)])
        reader = EpisodeStore(tmp_path / name)
        pool = Pool([View(reader)], Steps())
        mixed = Pool([View(reader), View(reader, intervened)], Steps())
        sampler = Sampler(
            Symmetric(Prioritised(pool, seed), Symmetric(Uniform(mixed, seed), weighted(pool))), 16
        )
        batches = []
        for number in range(1, 6):
            batches += [sampler.sample() for _ in range(3)]
            store.append(make(number, 30, FLAWED))
        return batches

    def weighted(pool: Pool) -> Weighted:
        return Weighted(pool, 3, lambda header: np.arange(header.steps))

    one, same, other = run("one", 7), run("same", 7), run("other", 8)
    for a, b in zip(one, same, strict=True):
        assert list(a) == list(b)
        for name in a:
            assert a[name].tobytes() == b[name].tobytes()
    assert any(
        a["at.index"].tobytes() != b["at.index"].tobytes() for a, b in zip(one, other, strict=True)
    )
    assert max(batch["at.episode"].max() for batch in one) == 4  # what came later is drawn, too


@pytest.mark.parametrize("form", [Steps(stack=2), Chunks(length=3, gamma=0.9)])
def test_threads_change_nothing(tmp_path: Path, form: Form) -> None:
    store = stored(tmp_path / "s", [make(0, 30), make(1, 20, FLAWED)])
    views = [View(store), View(store, intervened)]
    one, three = (Sampler(Uniform(Pool(views, form), 5), 10, threads) for threads in (1, 3))
    for _ in range(5):
        expected, found = one.sample(), three.sample()
        check(form, found, [[make(0, 30), make(1, 20, FLAWED)]], [0, 0])
        assert all(found[name].tobytes() == array.tobytes() for name, array in expected.items())


def test_a_batch_keeps_its_values_and_its_memory_is_used_again(tmp_path: Path) -> None:
    store = stored(tmp_path / "s", [make(0, 60)])
    sampler = Sampler(Uniform(Pool([View(store)], Steps(stack=2)), 0), 32)
    held = [sampler.sample() for _ in range(8)]
    copies = [{name: array.copy() for name, array in batch.items()} for batch in held]
    parts = [batch["scene"][3, 0, 2] for batch in held]  # a part keeps the whole
    place = held[0]["scene"].__array_interface__["data"][0]
    for _ in range(8):
        sampler.sample()
    for batch, copy in zip(held, copies, strict=True):
        for name in batch:
            np.testing.assert_array_equal(batch[name], copy[name])
    expected = [part.copy() for part in parts]
    del batch, held
    for _ in range(8):
        sampler.sample()
    for part, was in zip(parts, expected, strict=True):
        np.testing.assert_array_equal(part, was)
    del part, parts
    places = {sampler.sample()["scene"].__array_interface__["data"][0] for _ in range(8)}
    assert place in places and len(places) <= 4


def test_memory_hands_out_nothing_twice() -> None:
    memory = Memory()
    dtype = np.dtype(np.uint8)
    held = [memory.take("a", (5,), dtype) for _ in range(6)]
    assert len({id(array) for array in held}) == 6
    view = held[0][2:]
    first = id(held[0])
    del held
    assert id(memory.take("a", (5,), dtype)) != first
    del view
    assert id(memory.take("a", (5,), dtype)) == first


def test_sampling_while_a_thread_appends(tmp_path: Path) -> None:
    store = stored(tmp_path / "s", [make(0, 40)])
    episodes = [make(seed, 40 + seed, FLAWED) for seed in range(15)]

    def append() -> None:
        for episode in episodes[1:]:
            store.append(episode)

    form = Slices(length=3, stack=2)
    sampler = Sampler(Uniform(Pool([View(store)], form), 1), 16)
    thread = threading.Thread(target=append, daemon=True)
    thread.start()
    check(form, sampler.sample(), [[make(0, 40), *episodes[1:]]], [0])
    while thread.is_alive():
        check(form, sampler.sample(), [[make(0, 40), *episodes[1:]]], [0])
    pool = Pool([View(store)], form)
    assert len(pool) == len(beginnings(form, [make(0, 40), *episodes[1:]]))


def test_sampling_while_another_process_appends(tmp_path: Path) -> None:
    episodes = [make(seed, 25 + seed, FLAWED) for seed in range(25)]
    stored(tmp_path / "s", episodes[:1]).close()
    child = os.fork()
    if child == 0:
        try:
            with EpisodeStore(tmp_path / "s", writable=True) as store:
                for episode in episodes:
                    store.append(episode)
            os._exit(0)
        finally:
            os._exit(1)
    form = Chunks(length=4, gamma=0.9)
    sampler = Sampler(Uniform(Pool([View(EpisodeStore(tmp_path / "s"))], form), 1), 64)
    deadline = time.monotonic() + 60
    try:
        newest = 0
        while newest < 24:  # the last episode is drawn sooner or later
            assert time.monotonic() < deadline
            batch = sampler.sample()
            check(form, batch, [episodes], [0])
            newest = max(newest, int(batch["at.episode"].max()))
        assert os.waitpid(child, 0)[1] == 0
        child = 0
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_what_cannot_be_drawn_is_refused_in_one_line(tmp_path: Path) -> None:
    store = stored(tmp_path / "s", [make(0, 6)])

    def pool(form: Form) -> Pool:
        return Pool([View(store)], form)

    for said, call in {
        "array 'depth': is not in the store": lambda: pool(Steps(observations=("depth",))),
        "array 'scene': is not one for each step": lambda: pool(Steps(fields=("scene",))),
        "array 'reward': is not one for each observation": lambda: pool(
            Steps(observations=("reward",))
        ),
        "array 'depths': is not in the store": lambda: pool(Steps(optional=("depths",))),
        "stack 0: ": lambda: Steps(stack=0),
        "length 0: ": lambda: Slices(length=0),
        "length 0, gamma": lambda: Chunks(length=0, gamma=0.9),
        "gamma 1.5": lambda: Chunks(length=2, gamma=1.5),
        "batch 0, threads 1: gives no samples": lambda: Sampler(Uniform(pool(Steps()), 0), 0),
        "batch 4, threads 0: gives no samples": lambda: Sampler(Uniform(pool(Steps()), 0), 4, 0),
        "holds no step": lambda: Sampler(Uniform(pool(Slices(length=7)), 0), 1).sample(),
        "batch 3: has no two halves": lambda: Sampler(
            Symmetric(Uniform(pool(Steps()), 0), Uniform(pool(Steps()), 0)), 3
        ).sample(),
        "symmetric: needs two halves of one form": lambda: Symmetric(
            Uniform(pool(Steps()), 0), Uniform(pool(Steps(stack=2)), 0)
        ),
    }.items():
        with pytest.raises(InputError, match=said) as caught:
            call()
        assert "\n" not in str(caught.value)
