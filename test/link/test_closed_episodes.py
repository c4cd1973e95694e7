"""Only whole, closed bags are found, each once, and what is unfit is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vla_rl_nodes.bags.manifest import load_manifest, save_manifest
from vla_rl_nodes.bench.link.bags import write_episode
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.closed_episodes import (
    LEFT_ALONE_S,
    BagError,
    BagsFolder,
    closed_episode,
    manifest_text,
    opened,
    read_part,
)


class Clock:
    """Seconds that a test moves on."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def bag(folder: Path, name: str, seed: int = 0) -> Path:
    write_episode(folder, name, "fr3", "franka_pick", 1, seed)
    return folder / name


def test_a_closed_bag_is_found_once_and_again_when_it_is_another(tmp_path: Path) -> None:
    bags = BagsFolder(tmp_path)
    bag(tmp_path, "a")
    assert [e.manifest.episode_id for e in bags.look().closed] == ["a"]
    findings = bags.look()
    assert findings.closed == [] and findings.folders == {"a"} and findings.unfit == {}
    manifest = tmp_path / "a" / "manifest.json"
    text = manifest.read_bytes()
    manifest.unlink()
    assert bags.look().closed == []
    manifest.write_bytes(text)
    assert len(bags.look().closed) == 1
    bags.forget("a")
    assert len(bags.look().closed) == 1


def test_a_snapshot_is_no_episode_and_no_fault(tmp_path: Path) -> None:
    folder = bag(tmp_path, "a")
    manifest = load_manifest(folder)
    assert manifest is not None
    marked = manifest.model_copy(update={"metadata": {**manifest.metadata, "kind": "snapshot"}})
    save_manifest(folder, marked)
    findings = BagsFolder(tmp_path).look()
    assert findings.closed == [] and findings.unfit == {}


@pytest.mark.parametrize(("said", "sent"), [("1", False), ("yes", False), ("0", True), ("", True)])
def test_what_an_operator_discarded_stays_on_the_robot(
    tmp_path: Path, said: str, sent: bool
) -> None:
    folder = bag(tmp_path, "a")
    manifest = load_manifest(folder)
    assert manifest is not None
    marked = manifest.model_copy(update={"metadata": {**manifest.metadata, "discarded": said}})
    save_manifest(folder, marked)
    bags = BagsFolder(tmp_path)
    for look in range(2):
        findings = bags.look()
        assert len(findings.closed) == (sent and look == 0)
        assert findings.unfit == {} and findings.folders == {"a"}
    assert (folder / "a.mcap").is_file()


def test_a_bag_being_recorded_is_no_fault_until_it_is_left_alone(tmp_path: Path) -> None:
    clock = Clock()
    bags = BagsFolder(tmp_path, clock)
    folder = bag(tmp_path, "a")
    (folder / "manifest.json").unlink()
    for _ in range(3):
        assert bags.look().unfit == {}
        clock.now += LEFT_ALONE_S - 1
        with (folder / "a.mcap").open("ab") as file:
            file.write(b"x")
    assert bags.look().unfit == {}
    clock.now += LEFT_ALONE_S
    line = bags.look().unfit["a"]
    assert "was not closed; run `vla-rl bag salvage` on it" in line and "\n" not in line
    (folder / "a.mcap").open("ab").write(b"x")
    assert bags.look().unfit == {}


def link(path: Path) -> None:
    path.rename(path.with_name("b"))
    path.symlink_to("b")


DAMAGES = {
    "cut file": lambda f: os.truncate(f / "a.mcap", 100),
    "no file": lambda f: (f / "a.mcap").unlink(),
    "a link for a file": lambda f: link(f / "a.mcap"),
    "a folder for a file": lambda f: ((f / "a.mcap").unlink(), (f / "a.mcap").mkdir()),
    "a pipe for a file": lambda f: ((f / "a.mcap").unlink(), os.mkfifo(f / "a.mcap")),
    "no JSON": lambda f: (f / "manifest.json").write_bytes(b"\xff\x00"),
    "empty": lambda f: (f / "manifest.json").write_bytes(b""),
    "nested": lambda f: (f / "manifest.json").write_bytes(b"[" * 100_000),
    "huge": lambda f: (f / "manifest.json").write_bytes(b" " * (2 << 20)),
    "climbing": lambda f: (f / "manifest.json").write_text(
        (f / "manifest.json").read_text().replace("a.mcap", "../a.mcap")
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_bag_is_named_and_never_given(tmp_path: Path, kind: str) -> None:
    folder = bag(tmp_path, "a")
    bag(tmp_path, "good", 1)
    DAMAGES[kind](folder)
    bags = BagsFolder(tmp_path)
    for _ in range(2):
        findings = bags.look()
        assert list(findings.unfit) == ["a"] and "\n" not in findings.unfit["a"]
    with pytest.raises(BagError):
        closed_episode(folder)
    bags.forget("good")
    assert [e.manifest.episode_id for e in bags.look().closed] == ["good"]


def test_links_dot_folders_and_files_are_left_alone(tmp_path: Path) -> None:
    other = bag(tmp_path / "elsewhere", "x")
    folder = tmp_path / "bags"
    bag(folder, "hidden").rename(folder / ".hidden")
    (folder / "file").write_text("x")
    (folder / "link").symlink_to(other)
    findings = BagsFolder(folder).look()
    assert findings.closed == [] and list(findings.unfit) == ["link"]
    assert "is a link, which is not followed" in findings.unfit["link"]


def test_a_folder_that_is_not_there_yet_is_empty_and_one_that_is_none_is_told(
    tmp_path: Path,
) -> None:
    assert BagsFolder(tmp_path / "none").look().folders == set()
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="file: cannot be read"):
        BagsFolder(tmp_path / "file").look()


def test_parts_are_those_of_the_file(tmp_path: Path) -> None:
    episode = closed_episode(bag(tmp_path, "a"))
    data = episode.path.read_bytes()
    with opened(episode) as descriptor:
        assert read_part(descriptor, 10, 1000) == data[10:1010]
        assert read_part(descriptor, len(data) - 5, 1000) == data[-5:]
        assert read_part(descriptor, len(data), 1000) == b""
    assert manifest_text(episode) == (episode.folder / "manifest.json").read_bytes()


def test_a_failing_disk_is_one_line(tmp_path: Path) -> None:
    episode = closed_episode(bag(tmp_path, "a"))
    line = r"cannot be read \(input/output error\); save it"
    with pytest.raises(BagError, match=line), opened(episode):
        raise OSError(5, "Input/output error")


def test_a_manifest_that_was_changed_is_not_sent(tmp_path: Path) -> None:
    episode = closed_episode(bag(tmp_path, "a"))
    path = episode.folder / "manifest.json"
    path.write_text(path.read_text().replace('"success"', '"failure"'))
    with pytest.raises(BagError, match="was changed"):
        manifest_text(episode)
    path.unlink()
    with pytest.raises(BagError, match="is gone"):
        manifest_text(episode)
