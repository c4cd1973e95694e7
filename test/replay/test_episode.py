from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.convert import build_episode, convert_episode
from vla_rl_nodes.replay.episode import content_sha256, load_episode, npy_bytes

from .episode_bag import MS, criticise, make_episode


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    episode = make_episode(31, seconds=0.7, outcome="timeout")
    return convert_episode(episode.write(tmp_path / "bag"), episode.contract, tmp_path / "out")


def test_what_was_built_is_what_is_loaded(tmp_path: Path) -> None:
    episode = make_episode(32, seconds=0.7)
    bag = episode.write(tmp_path / "bag")
    built = build_episode(bag, episode.contract)
    loaded = load_episode(convert_episode(bag, episode.contract, tmp_path / "out"))
    assert loaded.header == built.header
    for name, array in built.transitions.arrays().items():
        again = loaded.transitions.arrays()[name]
        assert again.dtype == array.dtype
        np.testing.assert_array_equal(again, array)


def refused(folder: Path, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        load_episode(folder)
    assert "\n" not in str(caught.value) and "convert the episode's bag again" in str(caught.value)


def test_every_array_file_is_guarded_by_its_hash(folder: Path) -> None:
    files = sorted(folder.glob("*.npy"))
    assert len(files) == 27
    rng = np.random.default_rng(2)
    for path in files:
        whole = path.read_bytes()
        broken = bytearray(whole)
        broken[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(broken)
        refused(folder, f"{path.name}: is damaged")
        path.write_bytes(whole[:-1])
        refused(folder, f"{path.name}: is damaged")
        path.write_bytes(whole + b"\0" * 2000)
        refused(folder, f"{path.name}: is larger")
        path.unlink()
        refused(folder, f"{path.name}: cannot be read")
        path.write_bytes(whole)
    assert load_episode(folder).header.outcome == "timeout"


def edit(folder: Path, change: Any) -> None:
    path = folder / "episode.json"
    header = json.loads(path.read_text())
    change(header)
    path.write_text(json.dumps(header))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda h: h.update(extra=1), "extra"),
        (lambda h: h.pop("steps"), "steps"),
        (lambda h: h.update(steps=h["steps"] + 1), "is <|is .*not"),
        (lambda h: h.update(outcome="won"), "outcome"),
        (lambda h: h.update(content_sha256="0" * 64), "content_sha256 does not fit"),
        (lambda h: h["files"].pop("reward"), "'reward' is missing or too many"),
        (lambda h: h["files"].update(other=h["files"]["reward"]), "'other' is missing or too"),
        (lambda h: h["files"]["reward"].update(dtype="|O"), "reward is .*O"),
        (lambda h: h["streams"].update(state=["|O", [6]]), "streams.state"),
        (lambda h: h["streams"].update({"../x": ["<f4", [6]]}), "is missing or too many"),
    ],
)
def test_header_is_checked(folder: Path, change: Any, said: str) -> None:
    edit(folder, change)
    refused(folder, said)


def test_missing_or_broken_header(folder: Path) -> None:
    (folder / "episode.json").write_text("{")
    refused(folder, "episode.json: the file")
    (folder / "episode.json").unlink()
    refused(folder, r"episode.json: cannot be read \(no such file")


def test_a_pickled_array_is_never_loaded(folder: Path) -> None:
    path = folder / "reward.npy"
    steps = json.loads((folder / "episode.json").read_text())["steps"]
    objects = np.empty(steps, dtype=object)
    with path.open("wb") as file:
        np.save(file, objects, allow_pickle=True)
    data = path.read_bytes()
    edit(
        folder,
        lambda h: h["files"]["reward"].update(sha256=hashlib.sha256(data).hexdigest()),
    )
    refused(folder, "reward.npy: is no array file")


def test_content_hash_sees_names_types_shapes_and_values() -> None:
    base = {"a": np.arange(6, dtype=np.int32), "b": np.ones(2, dtype=np.float32)}
    others = [
        {**base, "a": np.arange(6, dtype=np.int32).reshape(2, 3)},
        {**base, "a": np.arange(6, dtype=np.uint32)},
        {**base, "a": np.array([0, 1, 2, 3, 4, 6], dtype=np.int32)},
        {"a": base["a"], "c": base["b"]},
        {"a": base["a"]},
    ]
    hashes = {content_sha256(arrays) for arrays in [base, *others]}
    assert len(hashes) == len(others) + 1
    assert content_sha256(dict(reversed(base.items()))) == content_sha256(base)


def test_npy_bytes_do_not_depend_on_memory_layout() -> None:
    array = np.random.default_rng(0).normal(size=(4, 5))
    assert npy_bytes(np.asfortranarray(array)) == npy_bytes(array)
    assert npy_bytes(array.astype(">f8")) == npy_bytes(array)


def test_a_description_of_before_there_were_critiques_is_read(folder: Path) -> None:
    before = load_episode(folder)
    assert before.header.critiques == []
    edit(folder, lambda h: h.pop("critiques"))
    assert load_episode(folder).header == before.header


def test_critiques_are_guarded_by_the_hash(tmp_path: Path) -> None:
    episode = make_episode(33, seconds=0.7)
    criticise(episode, episode.ticks[3] + MS, "one", code=1)
    criticise(episode, episode.ticks[3] + MS, "two", "other")
    bag = episode.write(tmp_path / "bag")
    folder = convert_episode(bag, episode.contract, tmp_path / "out")
    assert [c.text for c in load_episode(folder).header.critiques] == ["one", "two"]
    whole = (folder / "episode.json").read_bytes()
    for change, said in (
        (lambda h: h["critiques"].pop(), "content_sha256 does not fit"),
        (lambda h: h["critiques"].reverse(), "content_sha256 does not fit"),
        (lambda h: h["critiques"][0].update(text="One"), "content_sha256 does not fit"),
        (lambda h: h["critiques"][0].update(code=None), "content_sha256 does not fit"),
        (lambda h: h["critiques"][0].update(step=0), "content_sha256 does not fit"),
        (lambda h: h["critiques"][1].update(step=0), "critiques are not those of the steps"),
        (lambda h: h["critiques"][1].update(step=h["steps"]), "critiques are not those of the"),
        (lambda h: h["critiques"][1].update(more=1), "critiques.1.more"),
        (lambda h: h["critiques"][1].update(code="1"), "critiques.1.code"),
    ):
        edit(folder, change)
        refused(folder, said)
        (folder / "episode.json").write_bytes(whole)
    (folder / "episode.json").write_bytes(whole + b" " * (1 << 24))
    refused(folder, "episode.json: is larger than it can be")
