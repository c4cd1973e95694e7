"""A small run with real processes, and the parts of it that could hide a loss."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vla_rl_nodes.bench.link.bags import write_episode
from vla_rl_nodes.bench.link.check import Sent, deleted_too_early, judge
from vla_rl_nodes.bench.link.command import bench_link, print_result
from vla_rl_nodes.bench.link.lateness import CONDITIONS, LatenessOptions, schedule
from vla_rl_nodes.bench.link.plan import COUNTED, Kind, plan
from vla_rl_nodes.bench.link.proxy import Proxy
from vla_rl_nodes.link.blobs import Blobs
from vla_rl_nodes.link.records import DATABASE, Records


def test_nothing_is_lost_or_stored_twice() -> None:
    printed = io.StringIO()
    options = argparse.Namespace(
        seed=1, robots=2, episodes=4, kills=12, json=True, work_folder=None
    )
    with contextlib.redirect_stdout(printed):
        assert bench_link(options) == 0
    result = json.loads(printed.getvalue())
    assert result["faults"] == [] and result["sent"] == result["stored"] == 8
    assert result["lost"] == result["duplicated"] == result["partial"] == 0
    assert result["kills"] + result["cuts"] == 12 and result["deleted_on_robots"] > 0
    assert 1.0 < result["overhead"] < 3.0 and result["seed"] == 1
    with contextlib.redirect_stdout(printed):
        print_result(result)
    assert "8 stored, 0 lost" in printed.getvalue()


def test_the_plan_is_the_seed_s() -> None:
    events = plan(3, 200, 2)
    assert events == plan(3, 200, 2) != plan(4, 200, 2)
    assert sum(event.kind in COUNTED for event in events) == 200
    assert {event.kind for event in events} == set(Kind)
    assert {event.robot for event in events} == {0, 1}


class Stored:
    """A learner's folder as it is when all has gone well."""

    def __init__(self, folder: Path) -> None:
        self.bags, self.learner = folder / "bags", folder / "learner"
        self.sent = Sent()
        Blobs(self.learner).prepare()
        records = Records(self.learner)
        for number in range(3):
            name = f"e{number}"
            manifest = write_episode(self.bags, name, "r", "franka_pick", 1, number)
            self.sent.closed["r", name] = manifest
            shutil.copytree(self.bags / name, self.learner / "episodes" / "r" / name)
            records.add("r", manifest)
        records.close()

    def blob(self, name: str) -> Path:
        return self.learner / "episodes" / "r" / name / f"{name}.mcap"

    def execute(self, statement: str) -> None:
        with contextlib.closing(sqlite3.connect(self.learner / DATABASE)) as database, database:
            database.execute(statement)


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    return Stored(tmp_path)


def counts(stored: Stored) -> tuple[int, int, int, int]:
    verdict = judge(stored.sent, stored.learner)
    assert bool(verdict.faults) == (verdict.stored != 3 or bool(verdict.duplicated))
    return verdict.stored, verdict.lost, verdict.duplicated, verdict.partial


def test_the_judge_sees_every_kind_of_loss(stored: Stored) -> None:
    assert counts(stored) == (3, 0, 0, 0)
    data = bytearray(stored.blob("e0").read_bytes())
    data[100] ^= 1
    stored.blob("e0").write_bytes(data)
    assert counts(stored) == (2, 1, 0, 0)
    stored.execute("DELETE FROM episodes WHERE id = 'e1'")
    assert counts(stored) == (1, 2, 0, 0)
    stored.execute("UPDATE episodes SET size = 5 WHERE id = 'e2'")
    assert counts(stored) == (0, 3, 0, 0)


def test_the_judge_sees_what_is_there_twice_or_by_half(stored: Stored) -> None:
    shutil.copytree(stored.blob("e0").parent, stored.learner / "episodes" / "other" / "e0")
    assert counts(stored) == (3, 0, 1, 0)
    columns = "sha256, size, outcome, contract_sha256, received_ns, replay, reason"
    stored.execute(
        f"INSERT INTO episodes SELECT 'other', id, {columns} FROM episodes WHERE id = 'e0'"
    )
    assert counts(stored) == (3, 0, 2, 0)
    part = stored.learner / "incoming" / "r" / "e9.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x")
    assert judge(stored.sent, stored.learner).partial == 1


def test_a_bag_that_went_too_early_is_seen(stored: Stored) -> None:
    bags = {"r": stored.bags}
    shutil.rmtree(stored.bags / "e0")
    assert deleted_too_early(stored.sent, bags, stored.learner) == []
    stored.execute("DELETE FROM episodes WHERE id = 'e0'")
    assert "e0 was deleted and has no row" in deleted_too_early(
        stored.sent, bags, stored.learner
    )[0]  # fmt: skip
    shutil.rmtree(stored.bags / "e1")
    stored.blob("e1").write_bytes(b"half")
    assert len(deleted_too_early(stored.sent, bags, stored.learner)) == 2


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = server.accept()
                    threading.Thread(target=answer, args=(client,), daemon=True).start()

        def answer(client: socket.socket) -> None:
            with client, contextlib.suppress(OSError):
                while data := client.recv(65536):
                    client.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def test_the_proxy_forwards_counts_stalls_and_cuts(echo: int) -> None:
    with Proxy(echo) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port), 5.0) as client:
            client.sendall(b"x" * 1000)
            got = b""
            while len(got) < 1000:
                got += client.recv(65536)
            assert (proxy.to_learner, proxy.to_robot) == (1000, 1000)
            proxy.stall(True)
            client.sendall(b"y")
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.recv(1)
            proxy.stall(False)
            client.settimeout(5.0)
            assert client.recv(1) == b"y"
            assert proxy.cut() == 2
            assert _ended(client)
        with socket.create_connection(("127.0.0.1", proxy.port), 5.0) as client:
            client.sendall(b"z")
            assert client.recv(1) == b"z"


def _ended(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_target_that_is_not_there_ends_the_connection() -> None:
    with (
        Proxy(1) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), 5.0) as client,
    ):
        assert _ended(client)


def test_every_round_of_lateness_has_every_condition() -> None:
    planned = schedule(LatenessOptions(seed=1, rounds=4))
    assert planned == schedule(LatenessOptions(seed=1, rounds=4))
    for number in range(4):
        assert sorted(c for n, c in planned if n == number) == sorted(CONDITIONS)
    orders: list[Any] = [[c for n, c in planned if n == number] for number in range(4)]
    assert any(order != orders[0] for order in orders)
