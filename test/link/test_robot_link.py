"""The thread of the link: it ends when it is told to, and what it cannot do is said before."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path

import pytest
from aiohttp import web

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.robot_link import NICE

from .robot_side import side, until


def test_it_ends_at_once_whatever_it_waits_for(tmp_path: Path) -> None:
    with side(tmp_path) as (robot, learner):
        robot.episode("e")

        async def never(request: web.Request) -> web.StreamResponse | None:
            await asyncio.Event().wait()
            return None

        learner.behave = never
        with robot.running(upload={"patience_s": 60}) as link:
            until(lambda: learner.seen)
            link.close()  # which gives up after two seconds
            assert not link._thread.is_alive()


def test_only_its_own_threads_are_nice(tmp_path: Path) -> None:
    with side(tmp_path) as (robot, _), robot.running() as link:
        until(lambda: link.status.connection or True)
        thread = link._thread.native_id
        assert thread is not None
        until(lambda: os.getpriority(os.PRIO_PROCESS, thread) == NICE)
        assert os.getpriority(os.PRIO_PROCESS, os.getpid()) < NICE


def test_a_second_link_on_the_same_state_is_refused(tmp_path: Path) -> None:
    with (
        side(tmp_path) as (robot, _),
        robot.running(),
        pytest.raises(InputError, match="in use by another process"),
        robot.running(),
    ):
        pass


def test_a_missing_certificate_is_named_before_anything_starts(tmp_path: Path) -> None:
    with side(tmp_path) as (robot, _):
        robot.certificates.key.unlink()
        with pytest.raises(InputError, match=r"fr3\.key: no such file"), robot.running():
            pass


def test_a_fault_of_its_own_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(self: object) -> None:
        raise RuntimeError("a defect\nin two lines")

    monkeypatch.setattr("vla_rl_nodes.link.disk_policy.DiskPolicy.sweep", breaks)
    with side(tmp_path) as (robot, _), robot.running():
        until(lambda: robot.faults)
        faults = list(robot.faults)
        robot.faults.clear()
    assert faults == ["robot link: fails (RuntimeError: a defect in two lines); report this"]


def test_a_ledger_that_fails_meanwhile_deletes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with side(tmp_path) as (robot, learner):
        robot.episode("e")
        with robot.running(disk={"keep_bytes": 0}) as link:
            until(lambda: not (robot.bags / "e").exists())
            database = link._ledger.database
            pages = database.execute("PRAGMA page_count").fetchone()[0]
            database.execute(f"PRAGMA max_page_count = {pages}")
            database.execute("CREATE TEMP TRIGGER full BEFORE UPDATE ON main.episodes"
                             " WHEN NEW.state = 'stored' BEGIN SELECT RAISE(ABORT, 'disk full');"
                             " END")  # fmt: skip
            robot.episode("f", seed=1)
            robot.said("disk full")
            assert "f" in learner.stored and (robot.bags / "f").is_dir()
            database.execute("DROP TRIGGER full")
            until(lambda: not (robot.bags / "f").exists())
        assert isinstance(database, sqlite3.Connection)
