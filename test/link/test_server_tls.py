"""Who gets through: certificates that a learner must refuse, each in one line of its log."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from link.learner_side import Keys, Learner, problem, wait_for
from vla_rl_nodes.link import key_folder
from vla_rl_nodes.link.keys import Pair, issued, new_authority, new_learner, new_robot
from vla_rl_nodes.link.protocol import LEARNER_ROLE, ROBOT_ROLE

CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


@pytest.fixture(scope="module")
def learner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Learner]:
    base = tmp_path_factory.mktemp("tls")
    running = Learner(base / "learner", Keys.make(base / "keys")).start()
    yield running
    assert running.ask("GET", "/v1/status").status == 200  # whatever came
    assert running.rows() == []
    assert running.stop() == 0


@pytest.fixture(scope="module")
def authority(learner: Learner) -> Pair:
    return key_folder._load_authority(learner.keys.folder)


def uris(*names: str) -> list[x509.GeneralName]:
    return [x509.UniformResourceIdentifier(name) for name in names]


def shown(folder: Path, pair: Pair) -> Path:
    """A folder of one robot, for the plain client."""
    place = folder / "robots" / "x"
    place.mkdir(parents=True)
    (place / "robot.crt").write_bytes(pair.certificate.public_bytes(Encoding.PEM))
    (place / "robot.key").write_bytes(
        pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return folder / "robots"


def refused_in_tls(learner: Learner, pair: Pair | None, folder: Path, said: str) -> None:
    before = len(learner.log)
    robot = None if pair is None else "x"
    with pytest.raises((OSError, http.client.HTTPException)):
        learner.ask(
            "GET", "/v1/status", robot=robot, folder=None if pair is None else shown(folder, pair)
        )
    line = wait_for(lambda: next(iter(learner.log[before:]), None), "a line")
    assert line.startswith("connection refused: ") and said in line


NOW = datetime.now(UTC)
FOREIGN = new_authority()
STRANGERS: dict[str, tuple[str, Callable[[Pair], Pair | None]]] = {
    "none": ("did not return a certificate", lambda ca: None),
    "expired": (
        "expired",
        lambda ca: issued(
            ca, "fr3", uris(ROBOT_ROLE + "fr3"), CLIENT, 3, start=NOW - timedelta(days=4)
        ),
    ),
    "not yet valid": (
        "not yet valid",
        lambda ca: issued(
            ca, "fr3", uris(ROBOT_ROLE + "fr3"), CLIENT, 3, start=NOW + timedelta(days=2)
        ),
    ),
    "foreign authority": ("", lambda ca: new_robot(FOREIGN, "fr3", 3)),
    "its own authority": ("", lambda ca: FOREIGN),
    "a learner": ("purpose", lambda ca: new_learner(ca, ["localhost"], 3)),
    "no names": ("", lambda ca: issued(ca, "fr3", [], CLIENT, 3)),
    "a robot that signs": ("", lambda ca: new_robot(new_robot(ca, "fr3", 3), "fr3", 3)),
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_certificates_that_tls_refuses(
    kind: str, learner: Learner, authority: Pair, tmp_path: Path
) -> None:
    said, make = STRANGERS[kind]
    refused_in_tls(learner, make(authority), tmp_path, said)


IMPOSTORS: dict[str, tuple[str, Callable[[Pair], Pair]]] = {
    "no role": (
        "is not a robot's", lambda ca: issued(ca, "fr3", [x509.DNSName("fr3")], CLIENT, 3)
    ),
    "learner's role": (
        "is not a robot's", lambda ca: issued(ca, "fr3", uris(LEARNER_ROLE), CLIENT, 3)
    ),
    "two roles": (
        "is not a robot's",
        lambda ca: issued(
            ca, "fr3", uris(ROBOT_ROLE + "fr3", ROBOT_ROLE + "ur5e"), CLIENT, 3
        ),
    ),
    "two names": (
        "is not a robot's", lambda ca: issued(ca, "ur5e", uris(ROBOT_ROLE + "fr3"), CLIENT, 3)
    ),
    "a longer role": (
        "is not a robot's", lambda ca: issued(ca, "fr3", uris("x" + ROBOT_ROLE + "fr3"), CLIENT, 3)
    ),
    "unknown robot": ("does not list", lambda ca: new_robot(ca, "go2", 3)),
    "other fingerprint": ("is not listed for robot fr3", lambda ca: new_robot(ca, "fr3", 3)),
}  # fmt: skip


@pytest.mark.parametrize("kind", IMPOSTORS)
def test_certificates_that_the_learner_does_not_know(
    kind: str, learner: Learner, authority: Pair, tmp_path: Path
) -> None:
    said, make = IMPOSTORS[kind]
    folder = shown(tmp_path, make(authority))
    for method, path in (
        ("GET", "/v1/status"), ("PUT", "/v1/episodes/a"), ("GET", "/v1/bundles/latest"),
        ("GET", "/elsewhere"),
    ):  # fmt: skip
        answer = learner.ask(method, path, b"{}", robot="x", folder=folder)
        assert said in problem(answer, 403)


def test_a_robot_cannot_be_another_one(learner: Learner) -> None:
    assert learner.ask("GET", "/v1/status", robot="fr3").data["robot"] == "fr3"
    assert learner.ask("GET", "/v1/status", robot="ur5e").data["robot"] == "ur5e"


def test_tls_1_2_is_refused(learner: Learner) -> None:
    context = learner.keys.context("fr3")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", learner.port)) as raw, pytest.raises(ssl.SSLError):
        context.wrap_socket(raw, server_hostname="localhost")


def test_without_tls_nothing_is_answered(learner: Learner) -> None:
    with socket.create_connection(("127.0.0.1", learner.port), timeout=30) as raw:
        raw.sendall(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        try:
            while piece := raw.recv(4096):
                received += piece
        except ConnectionError:
            pass
    assert b"HTTP" not in received


def test_taking_a_fingerprint_out_revokes_it_also_on_an_open_connection(
    learner: Learner, tmp_path: Path
) -> None:
    prints = learner.keys.fingerprints["ur5e"]
    with learner.connect("ur5e") as channel:
        asked = b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"
        channel.sendall(asked)
        assert channel.recv(1 << 16).startswith(b"HTTP/1.1 200")
        learner.keys.fingerprints["ur5e"] = ["0" * 64]
        learner.write_config()
        wait_for(lambda: learner.ask("GET", "/v1/status", robot="ur5e").status == 403, "revoked")
        channel.sendall(asked)
        assert channel.recv(1 << 16).startswith(b"HTTP/1.1 403")
    assert learner.ask("GET", "/v1/status").status == 200
    # A file with a mistake lets nobody in again, and nobody out.
    shutil.copy(learner.config, tmp_path / "good")
    learner.config.write_text("robots: {ur5e: {}}\n")
    wait_for(lambda: any("settings not taken" in line for line in learner.log), "a line")
    assert learner.ask("GET", "/v1/status", robot="ur5e").status == 403
    assert learner.ask("GET", "/v1/status").status == 200
    learner.keys.fingerprints["ur5e"] = prints
    learner.write_config()
    wait_for(lambda: learner.ask("GET", "/v1/status", robot="ur5e").status == 200, "let in again")
