"""Policies on their way to robots: only those that verify, the same bytes every time."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundles import RECIPE, TRAINING, student

from link.learner_side import CONTRACT, DEADLINE_S, Keys, Learner, problem, wait_for
from vla_rl_nodes.policy.bundle import load_bundle, write_bundle
from vla_rl_nodes.policy.signing import create_key, load_key
from vla_rl_nodes.resources import resource


class Publisher:
    """Writes bundles into the folder that the learner watches, each newer than the last."""

    def __init__(self, base: Path) -> None:
        self.folder = base / "published"
        self.folder.mkdir()
        self.trusted = base / "trusted"
        self.key = base / "maker.pem"
        self.trusted.mkdir()
        shutil.copy(create_key(self.key), self.trusted / "maker.pub")
        create_key(base / "stranger.pem")
        self.stranger = base / "stranger.pem"
        self.drafts = base / "drafts"
        self.count = 0

    def write(self, name: str, key: Path | None = None) -> tuple[str, Path]:
        """A bundle outside of the folder."""
        self.count += 1
        place = self.drafts / name
        version = write_bundle(
            place, CONTRACT, {"policy.onnx": student(CONTRACT, level=self.count / 100),
                              "recipe.yaml": RECIPE},
            recipe="test", training=TRAINING, created_by={"x": "1"},
            key=load_key(key or self.key),
        )  # fmt: skip
        stamp = 1_700_000_000_000_000_000 + self.count * 1_000_000_000
        os.utime(place / "manifest.sig", ns=(stamp, stamp))
        return version, place

    def publish(self, name: str) -> str:
        version, place = self.write(name)
        place.rename(self.folder / name)
        return version


@pytest.fixture(scope="module")
def publisher(tmp_path_factory: pytest.TempPathFactory) -> Publisher:
    return Publisher(tmp_path_factory.mktemp("publisher"))


@pytest.fixture(scope="module")
def learner(publisher: Publisher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Learner]:
    base = tmp_path_factory.mktemp("bundles")
    running = Learner(
        base / "l",
        Keys.make(base / "k", ("fr3", "go2")),
        more={"bundles": str(publisher.folder), "trusted_keys": str(publisher.trusted)},
        rights={"go2": {"contracts": ["1" * 64]}},
    ).start()
    yield running
    assert running.stop() == 0


def latest(learner: Learner, after: str = "", wait: float = 0, robot: str = "fr3") -> object:
    query = f"?after={after}&wait={wait}" if after else f"?wait={wait}"
    answer = learner.ask("GET", f"/v1/bundles/latest{query}", robot=robot)
    return answer.data if answer.status == 200 else answer.status


def test_a_bundle_comes_back_as_it_was_published(
    learner: Learner, publisher: Publisher, tmp_path: Path
) -> None:
    version = publisher.publish("one")
    told = wait_for(lambda: latest(learner, wait=5) != 204 and latest(learner), "the bundle")
    assert told["version"] == version
    got = learner.ask("GET", f"/v1/bundles/{version}")
    assert got.headers["Content-Type"] == "application/zip"
    assert (hashlib.sha256(got.body).hexdigest(), len(got.body)) == (told["sha256"], told["size"])
    with zipfile.ZipFile(io.BytesIO(got.body)) as archive:
        infos = archive.infolist()
        assert [i.filename for i in infos] == sorted(p.name for p in (
            publisher.folder / "one").iterdir())  # fmt: skip
        assert {i.compress_type for i in infos} == {zipfile.ZIP_STORED}
        assert {i.date_time for i in infos} == {(1980, 1, 1, 0, 0, 0)}
        archive.extractall(tmp_path / "out")
    trusted = sorted(publisher.trusted.glob("*.pub"))
    assert load_bundle(tmp_path / "out", CONTRACT, trusted).version == version
    # Another name and other times on the disk change nothing of the zip.
    shutil.copytree(publisher.folder / "one", publisher.folder / "copy")
    shutil.rmtree(publisher.folder / "one")
    wait_for(lambda: sum("offered: " in line for line in learner.log) >= 2, "the copy")
    assert learner.ask("GET", f"/v1/bundles/{version}").body == got.body
    assert latest(learner, after=version) == 204


def test_a_robot_that_waits_is_told_at_once(learner: Learner, publisher: Publisher) -> None:
    before = latest(learner)
    assert isinstance(before, dict)
    got: list[object] = []
    waiting = threading.Thread(
        target=lambda: got.append(latest(learner, before["version"], wait=60))
    )
    waiting.start()
    version = publisher.publish("two")
    waiting.join(DEADLINE_S)
    assert isinstance(got[0], dict) and got[0]["version"] == version
    assert latest(learner, before["version"], wait=0.1) == got[0]
    assert latest(learner, version, wait=0.1) == 204


def test_a_robot_sees_bundles_of_its_own_contracts_only(learner: Learner) -> None:
    known = latest(learner)
    assert isinstance(known, dict)
    assert latest(learner, robot="go2") == 204
    path = f"/v1/bundles/{known['version']}"
    assert problem(learner.ask("GET", path, robot="go2"), 404)


def test_ranges(learner: Learner) -> None:
    known = latest(learner)
    assert isinstance(known, dict)
    path, size = f"/v1/bundles/{known['version']}", known["size"]
    whole = learner.ask("GET", path).body
    for asked, start, stop in (
        ("bytes=0-", 0, size), ("bytes=100-", 100, size), ("bytes=5-9", 5, 10),
        ("bytes=-7", size - 7, size), (f"bytes={size - 1}-", size - 1, size),
        (f"bytes=0-{size * 2}", 0, size),
    ):  # fmt: skip
        got = learner.ask("GET", path, headers={"Range": asked})
        assert (got.status, got.body) == (206, whole[start:stop])
        assert got.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
    for asked in (f"bytes={size}-", "bytes=9-5", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4", ""):
        got = learner.ask("GET", path, headers={"Range": asked})
        assert problem(got, 416)


@pytest.mark.parametrize("kind", ["unsigned", "stranger", "changed", "more", "no model", "link"])
def test_what_does_not_verify_is_not_offered(
    kind: str, learner: Learner, publisher: Publisher
) -> None:
    before = latest(learner)
    _, place = publisher.write(kind, publisher.stranger if kind == "stranger" else None)
    if kind == "unsigned":
        (place / "manifest.sig").unlink()
    elif kind == "changed":
        (place / "policy.onnx").write_bytes(b"x" + (place / "policy.onnx").read_bytes()[1:])
    elif kind == "more":
        (place / "evil.py").write_text("import os\n")
    elif kind == "no model":
        (place / "policy.onnx").unlink()
    elif kind == "link":
        (place / "recipe.yaml").unlink()
        (place / "recipe.yaml").symlink_to("/etc/passwd")
    place.rename(publisher.folder / kind)
    said = f"bundle not offered: {publisher.folder / kind}"
    (line,) = wait_for(lambda: [line for line in learner.log if line.startswith(said)], "the line")
    assert line.count(";") >= 1
    assert latest(learner) == before


def test_reports_are_kept_once(learner: Learner) -> None:
    report = {"state": "taken", "reason": "", "stamp_ns": 5}
    for _ in range(2):
        answer = learner.ask("POST", "/v1/bundles/0123456789ab/state", json.dumps(report).encode())
        assert (answer.status, answer.body) == (204, b"")
    assert sum("bundle 0123456789ab taken on fr3" in line for line in learner.log) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"{}", b'{"state":"eaten","reason":"","stamp_ns":1}',
        b'{"state":"taken","reason":"","stamp_ns":-1}',
        b'{"state":"taken","reason":"","stamp_ns":1e3}',
        b'{"state":"taken","reason":"","stamp_ns":99999999999999999999}',
        b'{"state":"taken","reason":"","stamp_ns":1,"x":1}',
        b'{"state":"taken","stamp_ns":1,"reason":"' + b"x" * 2001 + b'"}', b"[" * 100_000,
    ],
    ids=range(11),
)  # fmt: skip
def test_reports_that_are_none(learner: Learner, body: bytes) -> None:
    assert problem(learner.ask("POST", "/v1/bundles/0123456789ab/state", body), 422)


@pytest.mark.parametrize(
    "path",
    [
        "latest?wait=-1", "latest?wait=61", "latest?wait=nan", "latest?wait=inf", "latest?wait=x",
        "latest?after=..", "latest?after=0123456789AB", "..%2f..", "0123456789abc", "LATEST",
        "%00", "0123456789a%0a",
    ],
)  # fmt: skip
def test_questions_that_are_none(learner: Learner, path: str) -> None:
    assert problem(learner.ask("GET", f"/v1/bundles/{path}"), 400)


def test_a_robot_that_takes_nothing_is_not_waited_for(tmp_path: Path) -> None:
    keys = Keys.make(tmp_path / "k", ["fr3"])
    learner = Learner(
        tmp_path / "l", keys,
        more={"bundles": str(resource("config/policies")), "patience_s": 0.3},
    ).start()  # fmt: skip
    told = wait_for(lambda: latest(learner) != 204 and latest(learner), "the shipped bundle")
    with learner.connect() as channel:
        path = f"/v1/bundles/{told['version']}"
        channel.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        said = f"fr3 GET {path}: the connection was cut"
        wait_for(lambda: said in learner.log, "the line")
        assert learner.ask("GET", "/v1/status").status == 200
    assert learner.stop() == 0


def test_a_bundle_that_is_not_there(learner: Learner) -> None:
    assert problem(learner.ask("GET", "/v1/bundles/ffffffffffff"), 404)
