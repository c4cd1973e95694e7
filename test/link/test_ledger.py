"""The ledger loses nothing: not by any order of events, not by kill -9, not by damage."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.bags.manifest import Manifest
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.ledger import Ledger, State, WrongCopyError

IDS = ("a", "b", "c")


def manifest(name: str, sha: str = "0", size: int = 100, end_ns: int = 0) -> Manifest:
    return Manifest(
        episode_id=name, outcome="success", file=f"{name}.mcap", size=size, sha256=64 * sha,
        messages=0, start_ns=0, end_ns=end_ns, topics={}, dropped={}, metadata={},
    )  # fmt: skip


EVENT = st.one_of(
    st.tuples(st.just("found"), st.sampled_from(IDS), st.sampled_from("01")),
    st.tuples(st.just("open"), st.sampled_from(IDS), st.integers(0, 100)),
    st.tuples(st.just("hold"), st.sampled_from(IDS), st.just(0)),
    st.tuples(st.just("acknowledge"), st.sampled_from(IDS), st.sampled_from("01")),
    st.tuples(st.just("delete"), st.sampled_from(IDS), st.just(0)),
    st.tuples(st.just("look"), st.sets(st.sampled_from(IDS)), st.just(0)),
    st.tuples(st.just("reopen"), st.just(""), st.just(0)),
)


@settings(max_examples=60, deadline=None)
@given(events=st.lists(EVENT, max_size=25))
def test_only_what_was_acknowledged_may_be_deleted(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, object, object]]
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite3"
    ledger = Ledger(path)
    acknowledged: dict[str, str] = {}  # what the learner has said, by id
    here: dict[str, str] = {}  # the hash of what lies here, as it was found last
    for what, who, value in events:
        entry = ledger.entry(who) if isinstance(who, str) and who else None
        if what == "found" and isinstance(who, str):
            assert ledger.found(who, manifest(who, str(value))) == ""
            if here.get(who) != str(value) or (entry and entry.state in ("deleted", "gone")):
                acknowledged.pop(who, None)
            here[who] = str(value)
        elif what == "look" and isinstance(who, set):
            lost = ledger.missing({name for name in here if name in who})
            assert not set(lost) & set(acknowledged)
        elif what == "reopen":
            ledger.close()
            ledger = Ledger(path)
            assert ledger.repaired == ""
        elif entry is None:
            continue
        elif what == "hold":
            ledger.hold(entry, "because")
        else:
            waiting = entry.state in ("seen", "offered", "sending")
            try:
                if what == "open" and isinstance(value, int):
                    ledger.open_at(entry, value)
                    assert waiting
                elif what == "acknowledge":
                    ledger.acknowledge(entry, 64 * str(value), 100)
                    assert waiting and here[entry.id] == value
                    acknowledged[entry.id] = str(value)
                elif what == "delete":
                    ledger.deleted(entry)
                    assert acknowledged[entry.id] == here[entry.id]
            except WrongCopyError:
                assert here[entry.id] != value
            except ValueError:
                assert not waiting or what == "delete"
        for name in IDS:
            row = ledger.entry(name)
            if row is not None and row.state in (State.STORED, State.DELETED):
                assert acknowledged[name] == row.sha256[0]
    ledger.close()


def test_the_next_one_is_the_oldest_or_the_newest_that_does_not_rest(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        for number, name in enumerate("bca"):
            ledger.found(name, manifest(name, end_ns=number))

        def first(newest: bool, resting: str = "") -> str:
            entry = ledger.next(newest, set(resting))
            return "" if entry is None else entry.id

        assert (first(False), first(True)) == ("b", "a")
        assert (first(False, "b"), first(True, "ac")) == ("c", "b")
        assert first(False, "abc") == ""
        totals = ledger.totals()
        assert (totals.waiting, totals.waiting_bytes, totals.oldest_ns) == (3, 300, 0)


def test_an_episode_in_two_folders_is_sent_from_one(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.found("one", manifest("a")) == ""
        assert ledger.found("copy", manifest("a")) == (
            "copy: holds episode a, as one does; remove one of them"
        )
        entry = ledger.entry("a")
        assert entry is not None and entry.folder == "one"


def test_another_file_under_the_same_name_is_sent_anew(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        ledger.found("a", manifest("a", "0"))
        entry = ledger.entry("a")
        assert entry is not None
        ledger.acknowledge(entry, 64 * "0", 100)
        ledger.found("a", manifest("a", "1"))
        entry = ledger.entry("a")
        assert entry is not None and entry.state is State.SEEN and entry.sha256[0] == "1"


def test_a_line_is_told_once(tmp_path: Path) -> None:
    for known in (True, False):
        with Ledger(tmp_path / "l") as ledger:
            assert ledger.tell_once("bag", "is cut") is known
            assert not ledger.tell_once("bag", "is cut")


DAMAGES = {
    "no database": lambda data: b"hello" * 2000,
    "cut": lambda data: data[: len(data) // 3],
    "zeroed page": lambda data: data[:4096] + bytes(4096) + data[8192:],
    "another program's": lambda data: b"",
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_file_is_kept_aside_and_made_anew(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "ledger.sqlite3"
    with Ledger(path) as ledger:
        ledger.found("a", manifest("a"))
    damaged = DAMAGES[kind](path.read_bytes())
    path.write_bytes(damaged)
    if kind == "another program's":
        sqlite3.connect(path).executescript("CREATE TABLE x (y); PRAGMA user_version = 7;")
        damaged = path.read_bytes()
    with Ledger(path) as ledger:
        assert "kept as ledger.sqlite3.damaged-1 and made anew" in ledger.repaired
        assert "\n" not in ledger.repaired
        assert ledger.entry("a") is None
        ledger.found("a", manifest("a"))
    assert (tmp_path / "ledger.sqlite3.damaged-1").read_bytes() == damaged
    with Ledger(path) as ledger:
        assert ledger.repaired == "" and ledger.entry("a") is not None


def test_a_second_process_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        ledger.found("a", manifest("a"))
        with pytest.raises(InputError, match="is in use by another process; run one bridge"):
            Ledger(tmp_path / "l")
        ledger.found("b", manifest("b"))
        assert ledger.entry("b") is not None


def test_a_full_disk_is_one_line_and_changes_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        ledger.found("a", manifest("a"))
        pages = ledger.database.execute("PRAGMA page_count").fetchone()[0]
        ledger.database.execute(f"PRAGMA max_page_count = {pages}")

        def fill() -> None:
            for number in range(10_000):
                ledger.found(f"x{number}", manifest(f"x{number}"))

        with pytest.raises(InputError, match=r"l: cannot be used .*full.*; free space"):
            fill()
        ledger.database.execute("PRAGMA max_page_count = 100000")
        entry = ledger.entry("a")
        assert entry is not None
        ledger.acknowledge(entry, entry.sha256, entry.size)
        assert ledger.repaired == ""


def test_on_a_full_disk_the_reserve_is_used_up_first(tmp_path: Path) -> None:
    reserve = tmp_path / "l.reserve"
    with Ledger(tmp_path / "l") as ledger:
        assert reserve.stat().st_size == 1 << 20
        ledger.found("a", manifest("a"))
        database = ledger.database

        class Full:
            """A connection whose disk has no room but the reserve."""

            def execute(self, statement: str, values: tuple[object, ...]) -> sqlite3.Cursor:
                if reserve.exists() and statement.startswith("UPDATE"):
                    error = sqlite3.OperationalError("database or disk is full")
                    error.sqlite_errorcode = sqlite3.SQLITE_FULL
                    raise error
                return database.execute(statement, values)

        entry = ledger.entry("a")
        assert entry is not None
        ledger.database = Full()  # type: ignore[assignment]
        ledger.acknowledge(entry, entry.sha256, entry.size)
        ledger.database = database
        assert not reserve.exists()
    with Ledger(tmp_path / "l") as ledger:
        entry = ledger.entry("a")
        assert entry is not None and entry.state is State.STORED and reserve.exists()


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from link.test_ledger import manifest
from vla_rl_nodes.link.ledger import Ledger
with Ledger(Path(sys.argv[1])) as ledger:
    for number in range(int(ledger.totals().stored), 100000):
        name = f"e{number}"
        ledger.found(name, manifest(name))
        entry = ledger.entry(name)
        ledger.acknowledge(entry, entry.sha256, entry.size)
        print(name, flush=True)
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    tests = Path(__file__).resolve().parent.parent
    told = 0
    for wanted in (3, 40, 11):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(tests)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        names = [process.stdout.readline().strip() for _ in range(wanted)]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        told = int(names[-1][1:]) + 1
        with Ledger(path) as ledger:
            assert ledger.repaired == ""
            assert ledger.totals().stored >= told
            for number in range(told):
                entry = ledger.entry(f"e{number}")
                assert entry is not None and entry.state is State.STORED
