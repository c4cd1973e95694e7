from __future__ import annotations

from pathlib import Path

import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.export.whole_folder import appearing


def test_the_folder_itself_takes_the_name(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"
    with appearing(target) as folder:
        (folder / "part").mkdir()
        (folder / "part" / "file").write_bytes(b"whole")
        made = folder.stat().st_ino
        assert not target.exists() and folder.parent == target.parent
    assert target.stat().st_ino == made  # renamed at once, not copied file by file
    assert (target / "part" / "file").read_bytes() == b"whole"
    assert target.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in target.parent.iterdir()] == ["out"]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with appearing(tmp_path / "out") as folder:
            (folder / "file").write_bytes(b"half")
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_what_appeared_meanwhile_stays(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="appeared meanwhile; choose another name"),
        appearing(tmp_path / "out"),
    ):
        (tmp_path / "out").write_text("somebody else's")
    assert (tmp_path / "out").read_text() == "somebody else's"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
