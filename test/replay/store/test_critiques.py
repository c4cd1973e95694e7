from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.critique import Critique
from vla_rl_nodes.replay.episode import EpisodeData
from vla_rl_nodes.replay.store.choosers import Symmetric, Uniform
from vla_rl_nodes.replay.store.critiques import criticised, critiques_of
from vla_rl_nodes.replay.store.forms import Chunks, Slices, Steps
from vla_rl_nodes.replay.store.lock import JOURNAL
from vla_rl_nodes.replay.store.pool import Pool, View
from vla_rl_nodes.replay.store.sampler import Sampler
from vla_rl_nodes.replay.store.store import EpisodeStore

from ..spoken import HARD, with_critiques
from .made import make, same

LENGTH = 3


def spoken(seed: int, steps: int) -> EpisodeData:
    """A made episode; of every third step something is said, of every sixth by two."""
    episode = make(seed, steps)
    said = [Critique(step=-1, stamp_ns=1, source="s", text="before the first")]
    for step in range(0, steps, 3):
        said += [
            Critique(
                step=step, stamp_ns=step, source=f"judge {judge}", code=step or None,
                text=f"{seed} {step} {HARD[(seed + step) % len(HARD)]}",
            ) for judge in range(1 + (step % 6 == 0))
        ]  # fmt: skip
    return with_critiques(episode, said)


@pytest.fixture
def stores(tmp_path: Path) -> tuple[list[EpisodeStore], list[list[EpisodeData]]]:
    episodes = [[spoken(1, 20), make(2, 15), spoken(3, 9)], [spoken(4, 12)]]
    found = []
    for number, group in enumerate(episodes):
        store = EpisodeStore(tmp_path / str(number), writable=True)
        for episode in group:
            store.append(episode)
        found.append(store)
    return found, episodes


@pytest.mark.parametrize("form", [
    Steps(fields=("reward",)), Slices(length=LENGTH), Chunks(length=LENGTH, gamma=0.9),
])  # fmt: skip
def test_every_sample_has_what_was_said_of_its_steps(
    stores: tuple[list[EpisodeStore], list[list[EpisodeData]]], form: Any
) -> None:
    found, episodes = stores
    length = 1 if isinstance(form, Steps) else LENGTH
    halves = [Uniform(Pool([View(store)], form), seed) for seed, store in enumerate(found)]
    sampler = Sampler(Symmetric(*halves), 64)
    heard = 0
    for _ in range(4):
        batch = sampler.sample()
        said = critiques_of(found, batch, length)
        assert len(said) == 64
        for index, entries in enumerate(said):
            source, number, step = (
                int(batch[f"at.{key}"][index]) for key in ("source", "episode", "step")
            )
            own = episodes[source][number].header.critiques
            assert entries == [c for c in own if step <= c.step < step + length]
            heard += len(entries)
    assert heard > 40


def test_steps_of_which_something_was_said_can_be_drawn_alone(
    stores: tuple[list[EpisodeStore], list[list[EpisodeData]]],
) -> None:
    (store, _), _ = stores
    pool = Pool([View(store, criticised)], Steps(fields=("reward",)))
    batch = Sampler(Uniform(pool, 0), 64).sample()
    assert all(critiques_of([store], batch))
    assert set(batch["at.episode"]) == {0, 2} and (batch["at.step"] % 3 == 0).all()


def test_they_are_there_when_the_store_is_opened_again(
    stores: tuple[list[EpisodeStore], list[list[EpisodeData]]],
) -> None:
    (store, _), (episodes, _) = stores
    store.close()
    for again in (EpisodeStore(store.folder), EpisodeStore(store.folder, writable=True)):
        assert all(same(again.episode(e.header.episode_id), e) for e in episodes)
        assert again.verify() == []
        again.close()


def test_other_words_are_another_content(tmp_path: Path) -> None:
    episode = spoken(1, 6)
    with EpisodeStore(tmp_path / "s", writable=True) as store:
        assert store.append(episode) and not store.append(episode)
        said = episode.header.critiques
        for other in (said[:-1], [], [*said[:-1], said[-1].model_copy(update={"text": ""})]):
            with pytest.raises(InputError, match="with other content"):
                store.append(with_critiques(episode, other))
        wrong = episode.header.model_copy(update={"episode_id": "new", "critiques": said[:-1]})
        with pytest.raises(InputError, match="arrays or critiques than its content_sha256 says"):
            store.append(replace(episode, header=wrong))
        assert len(store.episodes) == 1


def test_a_store_of_before_there_were_critiques_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_before(model: BaseModel) -> bytes:
        data = model.model_dump(mode="json")
        data.get("header", {}).pop("critiques", None)
        return json.dumps(data).encode()

    folder = tmp_path / "s"
    with monkeypatch.context() as patch:
        patch.setattr("vla_rl_nodes.replay.store.store._json", as_before)
        with EpisodeStore(folder, writable=True) as store:
            store.append(make(1, 6))
    assert b"critiques" not in (folder / JOURNAL).read_bytes()
    with EpisodeStore(folder, writable=True) as store:
        assert store.append(spoken(2, 9))
    reader = EpisodeStore(folder)
    assert same(reader.episode("made-0001"), make(1, 6))
    assert same(reader.episode("made-0002"), spoken(2, 9))
