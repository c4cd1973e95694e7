"""Policies come back only when they are asked for, whole, signed, and for this robot."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from bundles import Maker

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError

from .fake_learner import FakeLearner, honest, problem
from .robot_side import Side, side, until
from .test_bundle_unpack import packed


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    return Maker(tmp_path_factory.mktemp("bundles"), load_contract("franka_pick"))


class Shelf:
    """A learner with bundles, and a robot that takes them."""

    def __init__(self, robot: Side, learner: FakeLearner, maker: Maker) -> None:
        self.robot, self.learner, self.maker = robot, learner, maker
        self.bundles: dict[str, Any] = {"take": "auto", "trusted_keys": maker.trusted}

    def publish(self, name: str, **further: Any) -> str:
        """Makes a bundle and offers it; its version."""
        folder = self.maker.folder / name
        if not folder.exists():
            self.maker(name, policy=name.encode() * 50_000, **further)
        version = version_of(folder)
        self.learner.bundles[version] = packed(folder)
        return version

    def reports(self, version: str) -> list[tuple[str, str]]:
        return [(b["state"], b["reason"]) for v, b in self.learner.reports if v == version]


def version_of(folder: Path) -> str:
    import hashlib

    return hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()[:12]


@pytest.fixture
def shelf(tmp_path: Path, maker: Maker) -> Iterator[Shelf]:
    with side(tmp_path) as (robot, learner):
        yield Shelf(robot, learner, maker)


def test_never_asks_for_nothing(shelf: Shelf) -> None:
    shelf.publish("one")
    shelf.robot.episode("e")
    with shelf.robot.running() as link:
        until(lambda: link.status.stored == 1)
    assert shelf.learner.count("GET", "/v1/bundles") == 0 and not shelf.robot.offered


def test_a_good_one_is_fetched_verified_offered_and_reported(shelf: Shelf) -> None:
    version = shelf.publish("one")
    with shelf.robot.running(bundles=shelf.bundles) as link:
        until(lambda: shelf.robot.offered)
        until(lambda: shelf.reports(version) == [("fetched", "")])
        for state, reason in (("offered", ""), ("shadow", ""), ("taken", "on trial")):
            link.bundle_happened(version, state, reason, {version})  # type: ignore[arg-type]
        link.bundle_happened(version, "taken", "on trial", {version})  # heard again: not news
        link.bundle_happened("f" * 12, "taken", "", set())  # not from here: not reported
        until(lambda: len(shelf.reports(version)) == 4)
        newer = shelf.publish("two")
        until(lambda: len(shelf.robot.offered) == 2)
    assert [v for v, _, new in shelf.robot.offered] == [version, newer]
    assert all(folder.is_dir() and new for _, folder, new in shelf.robot.offered)
    assert shelf.reports(version) == [
        ("fetched", ""), ("offered", ""), ("shadow", ""), ("taken", "on trial")
    ]  # fmt: skip
    assert sorted(p.name for p in (shelf.robot.state / "bundles").iterdir()) == sorted(
        [version, newer]
    )


def test_a_report_waits_for_the_link(shelf: Shelf) -> None:
    version = shelf.publish("one")

    async def fails(request: web.Request) -> web.StreamResponse | None:
        return problem(503, "not now") if request.method == "POST" else None

    shelf.learner.behave = fails
    with shelf.robot.running(bundles=shelf.bundles):
        until(lambda: shelf.robot.offered and shelf.learner.count("POST") > 1)
    shelf.learner.behave = honest
    shelf.robot.offered.clear()
    with shelf.robot.running(bundles=shelf.bundles):
        until(lambda: shelf.reports(version) == [("fetched", "")])
        # Fetched and never taken: it is offered again after a restart, and not fetched again.
        until(lambda: [(v, new) for v, _, new in shelf.robot.offered] == [(version, True)])
    assert shelf.learner.count("GET", version) == 1


def test_a_download_goes_on_where_it_was_broken_off(shelf: Shelf) -> None:
    version = shelf.publish("one")
    data = shelf.learner.bundles[version]
    ranges: list[str] = []

    async def breaks_off(request: web.Request) -> web.StreamResponse | None:
        if not request.path.endswith(version):
            return None
        ranges.append(request.headers.get("Range", ""))
        if len(ranges) > 1:
            return None
        answer = web.StreamResponse()
        answer.content_length = len(data)
        await answer.prepare(request)
        await answer.write(data[:100_000])
        assert request.transport is not None
        request.transport.close()  # when all of it is sent
        return answer

    shelf.learner.behave = breaks_off
    with shelf.robot.running(bundles=shelf.bundles):
        until(lambda: shelf.robot.offered)
    assert ranges == ["", "bytes=65536-"]


HOSTILE = {
    "unsigned": "which is not trusted",
    "another version": "holds version",
    "no zip": "is no intact zip",
    "too large": "bytes, more than 1000",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_must_not_run_is_refused_once_and_reported(shelf: Shelf, kind: str) -> None:
    version = shelf.publish("one")
    bundles = shelf.learner.bundles
    if kind == "unsigned":
        stranger = Maker(shelf.robot.folder / "stranger", shelf.maker.contract)
        folder = stranger("foreign", policy=b"x")
        del bundles[version]
        version = version_of(folder)
        bundles[version] = packed(folder)
    elif kind == "another version":
        bundles["0" * 12] = bundles.pop(version)
        version = "0" * 12
    elif kind == "no zip":
        bundles[version] = b"no zip" * 1000
    elif kind == "too large":
        shelf.bundles["bytes_max"] = 1000
    for _ in range(2):  # a restart does not make it better
        with shelf.robot.running(bundles=shelf.bundles):
            until(lambda: shelf.learner.reports)
            asked = shelf.learner.count("GET", "latest")
            until(lambda asked=asked: shelf.learner.count("GET", "latest") > asked)
    # Said again where the first answer did not come before the end: the same each time.
    (report,) = set(shelf.reports(version))
    assert report[0] == "refused" and HOSTILE[kind] in report[1] and "\n" not in report[1]
    assert not shelf.robot.offered and len(shelf.robot.lines) == 1
    assert shelf.learner.count("GET", version) <= 1
    assert list((shelf.robot.state / "bundles").iterdir()) == []


def test_one_that_is_not_given_is_asked_for_again(shelf: Shelf) -> None:
    version = shelf.publish("one")

    async def gone(request: web.Request) -> web.StreamResponse | None:
        return problem(404, "is not offered") if request.path.endswith(version) else None

    shelf.learner.behave = gone
    with shelf.robot.running(bundles=shelf.bundles):
        shelf.robot.said("is not offered")
        shelf.learner.behave = honest
        until(lambda: shelf.robot.offered)
        until(lambda: shelf.reports(version) == [("fetched", "")])
    assert shelf.learner.count("GET", version) > 1


def test_another_hash_than_announced_is_refused_after_three_tries(shelf: Shelf) -> None:
    version = shelf.publish("one")

    async def lies(request: web.Request) -> web.StreamResponse | None:
        if not request.path.endswith("latest"):
            return None
        return web.json_response({
            "version": version, "sha256": "0" * 64, "published_ns": 1,
            "size": len(shelf.learner.bundles[version]),
        })  # fmt: skip

    shelf.learner.behave = lies
    with shelf.robot.running(bundles=shelf.bundles):
        until(lambda: shelf.reports(version))
    assert "as announced" in shelf.reports(version)[0][1]
    assert shelf.learner.count("GET", version) == 3 and not shelf.robot.offered


def test_a_full_disk_is_no_fault_of_the_bundle(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = shelf.publish("one")
    usage = shutil.disk_usage

    def full(path: Path) -> Any:
        return usage(path)._replace(free=1000)

    monkeypatch.setattr("vla_rl_nodes.link.bundle_watch.shutil.disk_usage", full)
    with shelf.robot.running(bundles=shelf.bundles):
        assert "has 1000 bytes free" in shelf.robot.said("free space on the robot")
        assert not shelf.learner.reports
        monkeypatch.undo()
        until(lambda: shelf.robot.offered)
        until(lambda: shelf.reports(version) == [("fetched", "")])


def test_a_write_error_is_no_fault_of_the_bundle_either(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.publish("one")

    def fails(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vla_rl_nodes.link.bundle_watch.place_bundle", fails)
    with shelf.robot.running(bundles=shelf.bundles):
        shelf.robot.said("cannot be written (no space left on device)")
        assert not shelf.learner.reports
        monkeypatch.undo()
        until(lambda: shelf.robot.offered)


def test_old_versions_go_but_not_those_that_the_policy_holds(shelf: Shelf) -> None:
    shelf.bundles["keep"] = 1
    with shelf.robot.running(bundles=shelf.bundles) as link:
        versions = []
        for number in range(3):
            versions.append(shelf.publish(f"v{number}"))
            until(lambda n=number: len(shelf.robot.offered) == n + 1)
            link.bundle_happened(versions[0], "taken", str(number), {versions[0]})
            until(lambda n=number: len(shelf.reports(versions[0])) == n + 2)
    kept = {p.name for p in (shelf.robot.state / "bundles").iterdir()}
    assert kept == {versions[0], versions[2]}


def test_without_trusted_keys_nothing_starts(shelf: Shelf, tmp_path: Path) -> None:
    shelf.bundles["trusted_keys"] = tmp_path
    with (
        pytest.raises(InputError, match=r"holds no \*\.pub key"),
        shelf.robot.running(bundles=shelf.bundles),
    ):
        pass
