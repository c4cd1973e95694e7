"""The learner's database: each row once, and one line where it cannot be used."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from link.learner_side import make_bag
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.protocol import BundleReport
from vla_rl_nodes.link.records import DATABASE, Records


def test_rows_survive_and_come_in_order(tmp_path: Path) -> None:
    records = Records(tmp_path / "l")
    names = ["b", "a", "c"]
    for name in names:
        records.add("fr3", make_bag(tmp_path / name, name)[0])
    records.settle("fr3", "a", "refused", "no step")
    records.settle("fr3", "c", "done")
    records.close()
    again = Records(tmp_path / "l")
    assert [row.id for row in again.episodes()] == names
    assert [row.id for row in again.waiting()] == ["b"]
    found = again.episode("fr3", "a")
    assert found is not None and (found.replay, found.reason) == ("refused", "no step")
    assert again.episode("ur5e", "a") is None
    assert again.used("fr3") == sum(row.size for row in again.episodes())
    assert again.used("ur5e") == 0
    again.close()


def test_an_episode_gets_one_row(tmp_path: Path) -> None:
    records = Records(tmp_path / "l")
    manifest = make_bag(tmp_path / "a", "a")[0]
    records.add("fr3", manifest)
    with pytest.raises(InputError, match="unique constraint"):
        records.add("fr3", manifest)
    records.add("ur5e", manifest)  # and goes on to work
    assert len(records.episodes()) == 2
    records.close()


def test_a_report_that_comes_twice_is_one(tmp_path: Path) -> None:
    records = Records(tmp_path / "l")
    report = BundleReport(state="taken", reason="", stamp_ns=5)
    assert records.report("fr3", "0" * 12, report)
    assert not records.report("fr3", "0" * 12, report)
    assert records.report("ur5e", "0" * 12, report)
    assert [(r.robot, r.state, r.stamp_ns) for r in records.reports()] == [
        ("fr3", "taken", 5), ("ur5e", "taken", 5)
    ]  # fmt: skip
    records.close()


def test_every_commit_reaches_the_disk(tmp_path: Path) -> None:
    records = Records(tmp_path / "l")
    assert records._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert records._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    records.close()


def test_a_database_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"x" * 4096)
    with pytest.raises(InputError, match="not a database"):
        Records(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be used"):
        Records(tmp_path / "file" / "folder")


def test_a_database_of_another_version_is_left_alone(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / DATABASE)
    database.execute("PRAGMA user_version=9")
    database.close()
    with pytest.raises(InputError, match="has layout 9, not 1"):
        Records(tmp_path)


def test_a_full_database_takes_the_next_row_when_there_is_room_again(tmp_path: Path) -> None:
    records = Records(tmp_path / "l")
    (pages,) = records._db.execute("PRAGMA page_count").fetchone()
    records._db.execute(f"PRAGMA max_page_count={pages}")
    manifest = make_bag(tmp_path / "a", "a")[0]
    taken = 0

    def fill() -> None:
        nonlocal taken
        for taken in range(10_000):
            name = f"e{taken}"
            records.add("fr3", manifest.model_copy(update={"episode_id": name}))

    with pytest.raises(InputError, match="full"):
        fill()
    assert len(records.episodes()) == taken
    records._db.execute("PRAGMA max_page_count=100000")
    records.add("fr3", manifest)
    assert len(records.episodes()) == taken + 1
    records.close()
