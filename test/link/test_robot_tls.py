"""The robot speaks to its learner and to nobody who only looks like it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from pathlib import Path

import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.bandwidth import TokenBucket
from vla_rl_nodes.link.client import LearnerClient, LinkError
from vla_rl_nodes.link.fields import Certificates
from vla_rl_nodes.link.robot_tls import robot_context

from .fake_learner import FakeLearner
from .robot_certificates import Authority


def greet(files: Certificates, url: str, patience_s: float = 20.0) -> None:
    async def run() -> None:
        tls = robot_context(files)
        async with LearnerClient(url, tls, patience_s, TokenBucket(0)) as client:
            await client.status()

    asyncio.run(run())


def server(authority: Authority, kind: str) -> ssl.SSLContext:
    """What answers at the learner's address."""
    if kind == "right":
        return authority.learner()
    if kind == "expired":
        return authority.learner(days=-1)
    if kind == "another host's":
        return authority.learner(host="192.0.2.7")
    if kind == "a name's":
        return authority.learner(host="learner.example")
    if kind == "a robot's":
        return authority.learner(uri="urn:vla-rl:robot:fr3")
    if kind == "of no role":
        return authority.learner(uri="https://127.0.0.1")
    if kind == "nearly a learner's":
        return authority.learner(uri="urn:vla-rl:learner:x")
    if kind == "foreign":
        return Authority(authority.folder / "other").learner()
    if kind == "TLS 1.2":
        context = authority.learner()
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context
    raise AssertionError(kind)


BAD = {
    "expired": "is not trusted (certificate has expired)",
    "another host's": "is not trusted (ip address mismatch",
    "a name's": "is not trusted (ip address mismatch",
    "a robot's": "is not trusted (its certificate is not a learner's)",
    "of no role": "is not trusted (its certificate is not a learner's)",
    "nearly a learner's": "is not trusted (its certificate is not a learner's)",
    "foreign": "is not trusted (",
    "TLS 1.2": "cannot be reached (it broke off the connection)",
}


def test_the_right_learner_is_spoken_to(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with FakeLearner(server(authority, "right")) as learner:
        greet(authority.robot(), learner.url)
        assert learner.seen == [("GET", "/v1/status")]


@pytest.mark.parametrize("kind", BAD)
def test_nobody_else_hears_a_request(tmp_path: Path, kind: str) -> None:
    authority = Authority(tmp_path)
    with FakeLearner(server(authority, kind)) as learner:
        with pytest.raises(LinkError) as caught:
            greet(authority.robot(), learner.url)
        assert BAD[kind] in str(caught.value) and "\n" not in str(caught.value)
        assert learner.seen == []


def test_a_learner_that_does_not_know_this_robot_is_named(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "a"), Authority(tmp_path / "b")
    files = other.robot().model_copy(update={"authority": authority.path})
    with FakeLearner(authority.learner()) as learner:
        with pytest.raises(LinkError, match=r"check both certificates|cannot be reached"):
            greet(files, learner.url)
        assert learner.seen == []


def test_no_learner_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match=r"cannot be reached .*; start the learner"):
        greet(Authority(tmp_path).robot(), "https://127.0.0.1:1")


def test_a_port_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(LinkError, match=r"stood still for 0\.3 s"):
            greet(Authority(tmp_path).robot(), url, 0.3)


def test_a_port_that_speaks_no_tls_is_named(tmp_path: Path) -> None:
    def speak() -> None:
        client, _ = plain.accept()
        with client:
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            client.recv(1 << 16)

    with socket.create_server(("127.0.0.1", 0)) as plain:
        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{plain.getsockname()[1]}"
        with pytest.raises(LinkError, match=r"ended the connection \(.*\); check both"):
            greet(Authority(tmp_path).robot(), url)
        thread.join(10.0)


def test_unusable_files_are_named(tmp_path: Path) -> None:
    files = Authority(tmp_path).robot()
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("none")
    gone = tmp_path / "gone.pem"
    _, key = Authority(tmp_path / "b").issue("x", "urn:x")
    for change, line in (
        ({"authority": gone}, "gone.pem: no such file"),
        ({"authority": rubbish}, "rubbish.pem: holds no certificate"),
        ({"certificate": gone}, "gone.pem: no such file"),
        ({"key": gone}, "gone.pem: no such file"),
        ({"certificate": rubbish}, "rubbish.pem: is no certificate with the key fr3.key"),
        ({"key": key}, "fr3.pem: is no certificate with the key x.key"),
    ):
        with pytest.raises(InputError, match=line):
            robot_context(files.model_copy(update=change))
