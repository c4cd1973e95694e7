"""Whatever a robot that is let in sends: one line of problem+json, and nothing has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from link.learner_side import CONTRACT, Keys, Learner, make_bag, problem, wait_for

EPISODE_MAX = 1 << 20
ROBOTS = ("fr3", "ur5e", "go2")


@pytest.fixture(scope="module")
def learner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Learner]:
    base = tmp_path_factory.mktemp("hostile")
    running = Learner(
        base / "learner",
        Keys.make(base / "keys", ROBOTS),
        more={"episode_bytes_max": EPISODE_MAX, "patience_s": 1.0},
        rights={"ur5e": {"quota_bytes": 50_000}, "go2": {"contracts": []}},
    ).start()
    yield running
    assert running.stop() == 0
    assert not [line for line in running.log if " 500 " in line]


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], bytes]:
    _, text, data = make_bag(tmp_path_factory.mktemp("bag") / "b", "good")
    return json.loads(text), data


@pytest.fixture
def unchanged(learner: Learner) -> Iterator[None]:
    """Files, rows and promises are those of before, and the learner still answers."""
    before = (learner.files(), learner.rows(), learner.ask("GET", "/v1/status").data["used_bytes"])
    yield
    status = learner.ask("GET", "/v1/status")
    assert status.status == 200
    assert (learner.files(), learner.rows(), status.data["used_bytes"]) == before


@pytest.fixture
def opened(learner: Learner, request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, bytes]:
    """An upload of which the first 1000 bytes have come: its id and its file."""
    number = hashlib.sha256(request.node.name.encode()).hexdigest()[:12]
    _, text, data = make_bag(tmp_path / "bag", f"ep-{number}")
    assert learner.offer(f"ep-{number}", text).data == {"state": "open", "offset": 0}
    assert learner.part(f"ep-{number}", 0, data[:1000]).data == {"state": "open", "offset": 1000}
    return f"ep-{number}", data


PATHS = [
    "..", "%2e%2e", "%2E%2E%2F%2E%2E%2Fetc%2Fpasswd", "a%2Fb", "%00", "a%00b", "a" * 129,
    "a" * 3000, ".hidden", "-rf", "%C3%A4", "%EF%BC%8E%EF%BC%8E", "a%0Ab", "a%20b", "%ff",
    "a%5Cb", "good%0a", "%25",
]  # fmt: skip


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("name", PATHS, ids=lambda name: name[:20])
def test_names_that_lead_elsewhere(name: str, learner: Learner) -> None:
    headers = {"Upload-Offset": "0", "Content-SHA256": hashlib.sha256(b"x").hexdigest()}
    for method, body in (("PUT", b"x"), ("PATCH", b"x"), ("GET", None)):
        answer = learner.ask(method, f"/v1/episodes/{name}", body, headers)
        assert problem(answer, 400)


def changed(**fields: Any) -> Callable[[dict[str, Any]], bytes]:
    return lambda manifest: json.dumps({**manifest, **fields}).encode()


def told(**metadata: str) -> Callable[[dict[str, Any]], bytes]:
    def change(manifest: dict[str, Any]) -> bytes:
        return json.dumps({**manifest, "metadata": {**manifest["metadata"], **metadata}}).encode()

    return change


MANIFESTS: dict[str, tuple[int, Callable[[dict[str, Any]], bytes]]] = {
    "empty": (422, lambda m: b""),
    "no JSON": (422, lambda m: b"\xff\xfe{"),
    "a list": (422, lambda m: b"[]"),
    "nested": (422, lambda m: b"[" * 200_000),
    "nested objects": (422, lambda m: b'{"a":' * 50_000),
    "nested in a field": (422, lambda m: b'{"topics":' + b"[" * 250_000),
    "a long number": (422, lambda m: b'{"size":' + b"9" * 250_000 + b"}"),
    "a bomb of keys": (
        422, lambda m: json.dumps({**m, "dropped": {str(i): -1 for i in range(15_000)}}).encode()
    ),
    "too large": (413, lambda m: changed(metadata={"x": "y" * (1 << 18)})(m)),
    "another id": (422, changed(episode_id="other")),
    "another file": (422, changed(file="other.mcap")),
    "a path as file": (422, changed(file="../good.mcap")),
    "an absolute file": (422, changed(file="/etc/passwd.mcap")),
    "another robot": (422, told(robot="ur5e")),
    "another contract": (422, told(contract_sha256="1" * 64)),
    "no contract": (422, changed(metadata={"robot": "fr3"})),
    "no robot": (422, changed(metadata={"contract_sha256": CONTRACT.sha256})),
    "negative size": (422, changed(size=-1)),
    "size as text": (422, changed(size="12")),
    "NaN as size": (422, lambda m: changed(size=1)(m).replace(b'"size": 1', b'"size": NaN')),
    "over the largest": (413, changed(size=EPISODE_MAX + 1)),
    "absurd size": (413, changed(size=1 << 62)),
    "size beyond 64 bits": (413, changed(size=1 << 70)),
    "no sha256": (422, changed(sha256="")),
    "sha256 in capitals": (422, changed(sha256="A" * 64)),
    "unknown outcome": (422, changed(outcome="won")),
    "unknown key": (422, changed(more=1)),
    "another layout": (422, changed(manifest=2)),
    "surrogates": (422, lambda m: json.dumps({**m, "outcome": "\ud800"}).encode()),
}  # fmt: skip


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("kind", MANIFESTS)
def test_offers_that_are_refused(
    kind: str, learner: Learner, bag: tuple[dict[str, Any], bytes]
) -> None:
    status, change = MANIFESTS[kind]
    assert problem(learner.offer("good", change(bag[0])), status)


@pytest.mark.usefixtures("unchanged")
def test_a_robot_without_contracts_brings_nothing(
    learner: Learner, bag: tuple[dict[str, Any], bytes]
) -> None:
    said = problem(learner.offer("good", told(robot="go2")(bag[0]), "go2"), 422)
    assert "is not taken from this robot" in said


def test_the_quota_counts_what_is_under_way(learner: Learner, tmp_path: Path) -> None:
    sizes = {}
    for name in ("q1", "q2"):
        _, text, data = make_bag(tmp_path / name, name, robot="ur5e", size=15_000)
        sizes[name] = len(data)
        answer = learner.offer(name, text, "ur5e")
        assert answer.status == (200 if sum(sizes.values()) <= 50_000 else 413)
    assert sizes["q1"] + sizes["q2"] <= 50_000
    assert learner.ask("GET", "/v1/status", robot="ur5e").data["used_bytes"] == sum(sizes.values())
    _, text, _ = make_bag(tmp_path / "q3", "q3", robot="ur5e", size=15_000)
    assert "quota" in problem(learner.offer("q3", text, "ur5e"), 413)
    assert problem(learner.ask("GET", "/v1/episodes/q3", robot="ur5e"), 404)


HUGE = ["-1", "+1000", " ", "", "0x3e8", "1e3", "1000.0", "1000,1000", "9" * 17, "9" * 400, "१०००"]


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize("offset", HUGE, ids=lambda text: text[:12] or "empty")
def test_offsets_that_are_no_number(
    offset: str, learner: Learner, opened: tuple[str, bytes], unchanged: None
) -> None:
    name, data = opened
    headers = {
        "Upload-Offset": offset.encode().decode("latin-1"),
        "Content-SHA256": hashlib.sha256(data[1000:]).hexdigest(),
    }
    assert problem(learner.ask("PATCH", f"/v1/episodes/{name}", data[1000:], headers), 400)


@pytest.mark.parametrize("offset", [0, 1, 500, 999, 1001, 2000, 1 << 40, 10**15])
def test_parts_that_lie_elsewhere(
    offset: int, learner: Learner, opened: tuple[str, bytes], unchanged: None
) -> None:
    name, data = opened
    answer = learner.part(name, offset, data[offset : offset + 1000])
    assert problem(answer, 409)
    assert answer.data["offset"] == 1000


@pytest.mark.parametrize("sha256", ["0" * 64, "", "x" * 64, "A" * 64, "0" * 63, "0" * 65])
def test_parts_with_another_hash(
    sha256: str, learner: Learner, opened: tuple[str, bytes], unchanged: None
) -> None:
    name, data = opened
    headers = {"Upload-Offset": "1000", "Content-SHA256": sha256}
    assert problem(learner.ask("PATCH", f"/v1/episodes/{name}", data[1000:], headers), 400)


def test_a_part_behind_the_end(
    learner: Learner, opened: tuple[str, bytes], unchanged: None
) -> None:
    name, data = opened
    assert problem(learner.part(name, 1000, data[1000:] + b"\0"), 413)


def test_a_part_of_an_episode_that_was_not_offered(learner: Learner, unchanged: None) -> None:
    assert problem(learner.part("never", 0, b"x"), 404)
    assert problem(learner.part("good", 0, b"x", robot="go2"), 404)


def test_another_robot_s_episode_is_not_there(
    learner: Learner, opened: tuple[str, bytes], unchanged: None
) -> None:
    name, data = opened
    assert problem(learner.ask("GET", f"/v1/episodes/{name}", robot="go2"), 404)
    assert problem(learner.part(name, 1000, data[1000:], robot="go2"), 404)


def test_the_same_id_with_another_content(
    learner: Learner, opened: tuple[str, bytes], unchanged: None, tmp_path: Path
) -> None:
    _, text, _ = make_bag(tmp_path / "other", opened[0], size=3001)
    assert problem(learner.offer(opened[0], text), 409)


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([line, "Host: localhost", *headers, "", ""]).encode("latin-1") + body


HASH = "Content-SHA256: " + hashlib.sha256(b"x" * 100).hexdigest()
PATCH = "PATCH /v1/episodes/{id} HTTP/1.1"
RAW: dict[str, tuple[int | None, bytes]] = {
    "no length": (411, request(PATCH, "Upload-Offset: 1000", HASH)),
    "chunked": (
        411,
        request(PATCH, "Upload-Offset: 1000", HASH, "Transfer-Encoding: chunked",
                body=b"64\r\n" + b"x" * 100 + b"\r\n0\r\n\r\n"),
    ),
    "both lengths": (
        400,
        request(PATCH, "Upload-Offset: 1000", HASH, "Content-Length: 100",
                "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    ),
    "two lengths": (
        400,
        request(PATCH, "Upload-Offset: 1000", HASH, "Content-Length: 100", "Content-Length: 99",
                body=b"x" * 100),
    ),
    "negative length": (
        400, request(PATCH, "Upload-Offset: 1000", HASH, "Content-Length: -1", body=b"x")
    ),
    "huge length": (
        413, request(PATCH, "Upload-Offset: 1000", HASH, f"Content-Length: {1 << 62}", body=b"x")
    ),
    "a part too large": (
        413,
        request(PATCH, "Upload-Offset: 1000", HASH, f"Content-Length: {(1 << 16) + 1}",
                body=b"x" * ((1 << 16) + 1)),
    ),
    "less than announced, then nothing": (
        408, request(PATCH, "Upload-Offset: 1000", HASH, "Content-Length: 101", body=b"x" * 100)
    ),
    "more than announced": (
        400,
        request(PATCH, "Upload-Offset: 1000", HASH, "Content-Length: 99", body=b"x" * 100),
    ),
    "compressed": (
        415,
        request(PATCH, "Upload-Offset: 1000", HASH, "Content-Encoding: gzip",
                "Content-Length: 100", body=b"x" * 100),
    ),
    "two offsets": (
        400,
        request(PATCH, "Upload-Offset: 1000", "Upload-Offset: 1000", HASH, "Content-Length: 100",
                body=b"x" * 100),
    ),
    "a long header": (400, request(PATCH, "X: " + "y" * 10_000)),
    "many headers": (400, request(PATCH, *(f"X{i}: y" for i in range(500)))),
    "a long line": (400, request(f"GET /{'x' * 10_000} HTTP/1.1")),
    "no method": (400, b"\x00\x01\x02\r\n\r\n"),
    "another protocol": (400, b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    "half a header": (None, b"GET /v1/status HTTP/1.1\r\nHost: loc"),
    "nothing": (None, b""),
    "another method": (405, request("DELETE /v1/episodes/{id} HTTP/1.1", "Connection: close")),
    "another path": (404, request("GET /v2/status HTTP/1.1", "Connection: close")),
    "a path outside": (404, request("GET /../../etc/passwd HTTP/1.1", "Connection: close")),
    "another expectation": (
        417, request("GET /v2/status HTTP/1.1", "Expect: tea", "Connection: close")
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", RAW)
def test_bytes_that_are_no_honest_request(
    kind: str, learner: Learner, opened: tuple[str, bytes], unchanged: None
) -> None:
    status, data = RAW[kind]
    received = learner.talk(data.replace(b"{id}", opened[0].encode()))
    if status is None:  # the learner hangs up by itself
        assert received == b""
        return
    head, _, body = received.rpartition(b"\r\n\r\n")
    statuses = [
        int(line.split()[1]) for line in head.split(b"\r\n") if line.startswith(b"HTTP/1.")
    ]
    assert statuses[-1] == status, received
    found = json.loads(body)
    assert found["status"] == status and found["detail"] and found["remedy"]


def test_a_connection_that_is_cut_in_a_part_leaves_nothing(
    learner: Learner, opened: tuple[str, bytes], unchanged: None
) -> None:
    name, data = opened
    sha256 = hashlib.sha256(data[1000:]).hexdigest()
    line = f"PATCH /v1/episodes/{name} HTTP/1.1"
    headers = ["Upload-Offset: 1000", f"Content-SHA256: {sha256}"]
    for have in (0, 1, 500, len(data) - 1001):
        before = len(learner.log)
        with learner.connect() as channel:
            body = data[1000 : 1000 + have]
            channel.sendall(
                request(line, *headers, f"Content-Length: {len(data) - 1000}", body=body)
            )
        wait_for(
            lambda start=before: any("cut" in line for line in learner.log[start:]), "the line"
        )  # type: ignore[misc]


def test_many_idle_connections_of_one_robot_hold_up_nobody(learner: Learner) -> None:
    held = [learner.connect("go2") for _ in range(60)]
    try:
        assert learner.ask("GET", "/v1/status").status == 200
        wait_for(lambda: any("too many connections" in line for line in learner.log), "the line")
    finally:
        for channel in held:
            channel.close()
    wait_for(lambda: answers(learner, "go2"), "room for another connection")


def answers(learner: Learner, robot: str) -> bool:
    try:
        return learner.ask("GET", "/v1/status", robot=robot).status == 200
    except OSError:
        return False
