"""What a learner finds in its folder when it starts, after a kill between any two steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from link.learner_side import make_bag
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.blobs import Blobs
from vla_rl_nodes.link.records import Records
from vla_rl_nodes.link.recovery import damage, recover


class Folder:
    """A learner's folder, without a learner."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.blobs = Blobs(base / "l")
        self.records = Records(base / "l")
        self.log: list[str] = []
        self.blobs.prepare()
        self.manifest, self.text, self.data = make_bag(base / "bag", "a")

    def recover(self) -> None:
        self.log.clear()
        recover(self.blobs, self.records, self.log.append)

    def uploaded(self, size: int | None = None) -> None:
        self.blobs.write_offer("fr3", "a", self.text)
        self.blobs.append("fr3", "a", 0, self.data[:size])

    def published(self) -> None:
        self.uploaded()
        self.blobs.stage("fr3", "a")
        self.blobs.publish("fr3", "a", self.text)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path)
    yield made
    made.records.close()


def offers(folder: Folder) -> list[tuple[str, str]]:
    return [(robot, name) for robot, name, _ in folder.blobs.offers()]


def test_an_upload_is_where_it_was(folder: Folder) -> None:
    folder.uploaded(700)
    folder.recover()
    assert offers(folder) == [("fr3", "a")] and folder.blobs.have("fr3", "a") == 700
    assert folder.blobs.offer("fr3", "a") == folder.text and folder.log == []


def test_a_file_that_was_being_checked_is_an_upload_again(folder: Folder) -> None:
    folder.uploaded()
    folder.blobs.stage("fr3", "a")
    folder.recover()
    assert folder.blobs.have("fr3", "a") == len(folder.data)
    assert folder.records.episodes() == []


def test_an_episode_that_has_no_row_yet_is_checked_and_gets_it(folder: Folder) -> None:
    folder.published()
    folder.recover()
    (row,) = folder.records.episodes()
    assert (row.robot, row.id, row.sha256) == ("fr3", "a", folder.manifest.sha256)
    assert offers(folder) == [] and damage(folder.blobs, row, whole=True) is None
    assert folder.log == [
        f"episode fr3/a stored: found whole, sha256 {folder.manifest.sha256}"
    ]  # fmt: skip
    folder.recover()
    assert len(folder.records.episodes()) == 1 and folder.log == []


def test_the_offer_of_a_stored_episode_is_cleared(folder: Folder) -> None:
    folder.published()
    folder.records.add("fr3", folder.manifest)
    folder.recover()
    assert offers(folder) == [] and len(folder.records.episodes()) == 1


def test_what_belongs_to_no_offer_is_cleared(folder: Folder) -> None:
    folder.uploaded()
    robot = folder.base / "l" / "incoming" / "fr3"
    (robot / "a.json").unlink()
    (robot / ".b.json.part").write_bytes(b"half")
    folder.recover()
    assert list(robot.iterdir()) == []


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes, not"),
    "gone": (lambda path: path.unlink(), "is missing"),
    "changed": (flip, "has sha256"),
    "without its manifest": (
        lambda path: (path.parent / "manifest.json").unlink(), "has no manifest"
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGES)
def test_an_episode_without_a_row_that_is_not_whole_is_set_aside(
    folder: Folder, kind: str
) -> None:
    folder.published()
    DAMAGES[kind][0](folder.blobs.episode("fr3", "a") / "a.mcap")
    folder.recover()
    assert folder.records.episodes() == [] and list(folder.blobs.episodes()) == []
    assert len(folder.log) == 1 and "episode fr3/a set aside in " in folder.log[0]
    assert len(list((folder.base / "l" / "damaged" / "fr3").iterdir())) == 1
    assert offers(folder) == [("fr3", "a")] and folder.blobs.have("fr3", "a") == 0  # from 0 again


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_row_whose_file_is_damaged_is_reported(folder: Folder, kind: str) -> None:
    folder.published()
    folder.records.add("fr3", folder.manifest)
    break_it, said = DAMAGES[kind]
    break_it(folder.blobs.episode("fr3", "a") / "a.mcap")
    folder.recover()
    (row,) = folder.records.episodes()
    found = damage(folder.blobs, row, whole=True)
    assert found is not None and said in found
    if kind != "changed":  # a start reads no files that have rows
        assert folder.log == [f"DAMAGE: episode fr3/a {found}"]


def test_a_folder_under_another_robot_s_name_is_not_taken_as_its_episode(folder: Folder) -> None:
    folder.published()
    other = folder.base / "l" / "episodes" / "ur5e"
    other.mkdir()
    folder.blobs.episode("fr3", "a").rename(other / "a")
    folder.recover()
    assert folder.records.episodes() == [] and "another one's manifest" in folder.log[0]


def test_a_part_that_does_not_fit_leaves_the_file_as_it_was(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.uploaded(700)
    real = __import__("os").pwrite

    def full(handle: int, data: memoryview, offset: int) -> int:
        if offset >= 800:
            raise OSError(28, "No space left on device")
        return int(real(handle, data[:100], offset))

    monkeypatch.setattr("vla_rl_nodes.link.blobs.os.pwrite", full)
    with pytest.raises(OSError, match="No space"):
        folder.blobs.append("fr3", "a", 700, folder.data[700:1500])
    assert folder.blobs.have("fr3", "a") == 700


def test_an_episode_whose_row_could_not_be_written_is_an_upload_again(folder: Folder) -> None:
    folder.published()
    folder.blobs.withdraw("fr3", "a")
    assert folder.blobs.have("fr3", "a") == len(folder.data)
    assert list(folder.blobs.episodes()) == []


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    records = Records(tmp_path / "l")
    (tmp_path / "l" / "incoming").write_text("")
    with pytest.raises(InputError, match="cannot be used"):
        recover(Blobs(tmp_path / "l"), records, print)
    records.close()
