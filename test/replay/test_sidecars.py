from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.episode import EpisodeHeader
from vla_rl_nodes.replay.sidecars import load_label, names, newest, versions, write_label

from .plain_steps import steps_episode

EPISODE = steps_episode([0.0, 0.0, 1.0]).header
WHO: dict[str, Any] = {
    "producer": "critic", "producer_version": "7", "made_from": {"bundle": "ab" * 32}
}  # fmt: skip
GOOD: dict[str, np.ndarray] = {
    "value": np.array([0.5, np.nan, 2.0, -1.0], dtype=np.float32),
    "advantage": np.array([-0.5, np.nan, 2.0], dtype=np.float32),
    "progress": np.array([0.0, 0.25, np.nan, 1.0], dtype=np.float32),
    "preference": np.array([0.0, 1.0, np.nan], dtype=np.float32),
    "weight": np.array([0.0, 1.0, 7.5], dtype=np.float32),
    "success": np.array([False, False, True]),
}


def write(replay: Path, kind: str = "weight", name: str | None = None, **changes: Any) -> int:
    arguments = {**WHO, "values": GOOD[kind], **changes}
    return write_label(replay, EPISODE, name or kind, kind, **arguments)  # type: ignore[arg-type]


def file(replay: Path, name: str, version: int, suffix: str) -> Path:
    return replay / "labels" / "plain" / name / f"{version:06d}.{suffix}"


@pytest.mark.parametrize("kind", GOOD)
def test_what_was_written_is_what_is_read(tmp_path: Path, kind: str) -> None:
    assert write(tmp_path, kind) == 1
    label = load_label(tmp_path, EPISODE, kind, 1)
    np.testing.assert_array_equal(label.values, GOOD[kind])
    assert label.values.dtype == GOOD[kind].dtype
    header = label.header
    assert (header.name, header.version, header.kind, header.episode_id) == (
        kind, 1, kind, "plain",
    )  # fmt: skip
    assert header.content_sha256 == EPISODE.content_sha256
    assert (header.producer, header.producer_version) == ("critic", "7")
    assert header.made_from == {"bundle": "ab" * 32}


def test_versions_follow_each_other_and_none_is_ever_edited(tmp_path: Path) -> None:
    assert [write(tmp_path, values=GOOD["weight"] + i) for i in range(3)] == [1, 2, 3]
    assert versions(tmp_path, EPISODE, "weight") == [1, 2, 3]
    assert newest(tmp_path, EPISODE, "weight") == 3
    assert load_label(tmp_path, EPISODE, "weight", 1).values[0] == 0.0
    assert load_label(tmp_path, EPISODE, "weight", 3).values[0] == 2.0
    write(tmp_path, "value", name="value_calql")
    assert names(tmp_path, EPISODE) == ["value_calql", "weight"]
    assert versions(tmp_path, EPISODE, "advantage") == []
    with pytest.raises(InputError, match="is no label; its episode has value_calql, weight"):
        newest(tmp_path, EPISODE, "advantage")
    assert not [p for p in tmp_path.rglob("*") if p.name.startswith(".")]


def test_the_same_label_has_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write(tmp_path / folder, "value", made_from={"z": "1", "a": "2"})
    for suffix in ("npy", "json"):
        one, two = (file(tmp_path / f, "value", 1, suffix).read_bytes() for f in ("a", "b"))
        assert one == two


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("weight", [1.0, 2.0], r"holds <f4\[2\], not <f4\[3\]; give a weight for each step"),
        ("value", [1.0, 2.0, 3.0], r"not <f4\[4\]; give a value for each observation"),
        ("weight", [1.0, -1e-9, 2.0], "holds the weight -1e-09; give finite ones from 0"),
        ("weight", [1.0, np.nan, 2.0], "holds a weight that is no number"),
        ("weight", [1.0, np.inf, 2.0], "holds the weight inf"),
        ("progress", [0.0, 0.5, 1.0, 1.01], "holds the progress 1.01"),
        ("preference", [0.0, 0.5, 1.5], "holds the preference 1.5"),
        ("advantage", [0.0, 0.5, -np.inf], "holds the advantage -inf"),
        ("success", [0.0, 0.0, 1.0], r"holds <f4\[3\], not \|b1\[3\]"),
        ("mood", [0.0, 0.0, 1.0], "'mood' is no kind of label; give one of value, adv"),
    ],
)
def test_values_that_mean_nothing_are_refused(
    tmp_path: Path, kind: str, values: list[float], said: str
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        write_label(
            tmp_path, EPISODE, "x", kind, np.array(values, dtype=np.float32), **WHO  # type: ignore[arg-type]
        )  # fmt: skip
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_float64_values_are_refused_because_they_would_be_rounded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds <f8\[3\], not <f4"):
        write(tmp_path, values=GOOD["weight"].astype(np.float64))


@pytest.mark.parametrize("name", ["../weight", "Weight", "", "a/b", "1st", "x" * 65, "a.b", "w\n"])
def test_names_that_are_no_file_names_are_refused(tmp_path: Path, name: str) -> None:
    for act in (
        lambda: write_label(tmp_path, EPISODE, name, "weight", GOOD["weight"], **WHO),
        lambda: load_label(tmp_path, EPISODE, name, 1),
        lambda: versions(tmp_path, EPISODE, name),
    ):
        with pytest.raises(InputError, match="cannot be a label's name"):
            act()
    assert not list(tmp_path.iterdir())


def test_a_producer_must_say_who_it_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="producer: string should have at least 1 character"):
        write(tmp_path, producer="")


def edit(path: Path, **changes: Any) -> None:
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, **changes}))


def refused(replay: Path, said: str, version: int = 1, episode: EpisodeHeader = EPISODE) -> None:
    with pytest.raises(InputError, match=said) as caught:
        load_label(replay, episode, "weight", version)
    assert "\n" not in str(caught.value)


def test_a_label_of_other_content_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    other = steps_episode([0.0, 0.0, 2.0]).header  # the same episode, converted otherwise
    refused(tmp_path, f"labels content {EPISODE.content_sha256[:12]}, the episode's is"
            f" {other.content_sha256[:12]}; have its producer", episode=other)  # fmt: skip
    longer = steps_episode([0.0, 0.0, 2.0, 0.0]).header
    refused(tmp_path, "labels content", episode=longer)


def test_a_label_in_another_place_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    for suffix in ("npy", "json"):
        data = file(tmp_path, "weight", 1, suffix).read_bytes()
        file(tmp_path, "weight", 4, suffix).write_bytes(data)
    refused(tmp_path, "is version 1 of weight of plain", version=4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"label": 2}, "label: input should be 1"),
        ({"kind": "mood"}, "kind: input should be"),
        ({"kind": "value"}, r"holds <f4\[3\], not <f4\[4\]"),
        ({"kind": "success"}, r"holds <f4\[3\], not \|b1\[3\]"),
        ({"sha256": "0" * 64}, "is damaged: its SHA-256"),
        ({"more": 1}, "more: extra inputs"),
        ({"version": "1"}, "version: input should be a valid integer"),
    ],
)
def test_a_damaged_description_is_refused(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    write(tmp_path)
    edit(file(tmp_path, "weight", 1, "json"), **changes)
    refused(tmp_path, said)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_flipped_bit_passes(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    replay = tmp_path_factory.mktemp("flip")
    write(replay)
    path = file(replay, "weight", 1, data.draw(st.sampled_from(["npy", "json"])))
    whole = bytearray(path.read_bytes())
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole)
    try:
        label = load_label(replay, EPISODE, "weight", 1)
    except InputError:
        return
    # Only words in the description can have changed; what they describe cannot.
    np.testing.assert_array_equal(label.values, GOOD["weight"])


def test_missing_and_absurd_files_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, r"000001.json: cannot be read \(no such file")
    refused(tmp_path, "has no version 0", version=0)
    refused(tmp_path, "has no version 1000000", version=1_000_000)
    write(tmp_path)
    values = file(tmp_path, "weight", 1, "npy")
    values.write_bytes(values.read_bytes() + bytes(5000))
    refused(tmp_path, "000001.npy: is larger than it can be")
    values.unlink()
    refused(tmp_path, "000001.npy: cannot be read")
    values.mkdir()
    refused(tmp_path, "000001.npy: cannot be read|is larger")


def test_writers_at_once_get_a_version_each(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda i: write(tmp_path, values=GOOD["weight"] + i), range(24)))
    assert sorted(got) == list(range(1, 25)) == versions(tmp_path, EPISODE, "weight")
    for index, version in enumerate(got):
        label = load_label(tmp_path, EPISODE, "weight", version)
        assert label.values[0] == index  # everyone's values are under the version it was given


WRITER = """
import sys
from pathlib import Path
import numpy as np
from replay.plain_steps import steps_episode
from vla_rl_nodes.replay.sidecars import write_label
episode = steps_episode([0.0] * 50_000).header
print("up", flush=True)
for number in range(10_000):
    values = np.full(50_000, number, dtype=np.float32)
    write_label(Path(sys.argv[1]), episode, "weight", "weight", values,
                producer="w", producer_version="1", made_from={"number": str(number)})
"""


def test_a_killed_writer_leaves_whole_versions_only(tmp_path: Path) -> None:
    episode = steps_episode([0.0] * 50_000).header
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    seen = 0
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            cwd=Path(__file__).parents[1], stdout=subprocess.PIPE,
        ) as writer:  # fmt: skip
            assert writer.stdout is not None and writer.stdout.readline() == b"up\n"
            deadline, more = time.monotonic() + 20, chance.randrange(1, 12)
            while len(versions(tmp_path, episode, "weight")) < seen + more:
                assert time.monotonic() < deadline and writer.poll() is None
            writer.send_signal(signal.SIGKILL)
        found = versions(tmp_path, episode, "weight")
        assert len(found) > seen
        seen = len(found)
        for version in found:
            label = load_label(tmp_path, episode, "weight", version)
            assert (label.values == float(label.header.made_from["number"])).all()
    assert newest(tmp_path, episode, "weight") == found[-1]


def test_a_full_disk_leaves_no_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vla_rl_nodes.replay.sidecars.os.fsync", full)
    with pytest.raises(InputError, match=r"cannot be written \(no space left on device\)"):
        write(tmp_path)
    monkeypatch.undo()
    assert versions(tmp_path, EPISODE, "weight") == []
    assert write(tmp_path) == 1


def test_a_version_survives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []

    def sync(folder: Path) -> None:
        assert file(tmp_path, "weight", 1, "json").exists()  # it comes last
        synced.append(folder)

    monkeypatch.setattr("vla_rl_nodes.replay.sidecars.sync_folder", sync)
    monkeypatch.setattr("vla_rl_nodes.bags.durable.sync_folder", sync)
    write(tmp_path)
    # The names of everything that was made are on the disk, each in its folder.
    label = file(tmp_path, "weight", 1, "json").parent
    assert set(synced) == {label, label.parent, label.parent.parent, tmp_path}
