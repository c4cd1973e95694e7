"""HTTP against real servers on loopback that behave in many ways."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote.address import check_address
from vla_rl_nodes.remote.http_link import HttpLink
from vla_rl_nodes.remote.spec import Server

from .certificates import certificate
from .server import HttpServer


def link(url: str, **server: Any) -> HttpLink:
    spec = Server.model_validate({"url": url, "largest_answer": 4096} | server)
    address = check_address("p", spec, ("http", "https"), "/act")
    return HttpLink(address, 2.0, spec.largest_answer)


def opened(url: str, **server: Any) -> HttpLink:
    found = link(url, **server)
    found.open()
    return found


def request(connection: socket.socket) -> bytes:
    """All of a request: bytes left unread when a socket is closed would reset the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += (more := connection.recv(65536))
        if not more:
            return b""
    head, _, body = data.partition(b"\r\n\r\n")
    left = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]) - len(body)
    while left > 0:
        data += (more := connection.recv(left))
        left -= len(more) or left
    return data


@contextmanager
def raw(
    speak: Callable[[socket.socket], None], hung_up: threading.Event | None = None
) -> Iterator[str]:
    """A server that reads one request and then speaks as it likes, on each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    try:
                        if request(connection):
                            speak(connection)
                    except OSError:
                        continue
                if hung_up is not None:
                    hung_up.set()

        threading.Thread(target=run, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def test_one_connection_carries_many_requests() -> None:
    with HttpServer(lambda message: message) as server, opened(server.url) as kept:
        for n in range(3):
            assert kept.exchange(b'{"n": %d}' % n, 2.0) == b'{"n": %d}' % n
    assert server.bodies == [b'{"n": 0}', b'{"n": 1}', b'{"n": 2}']


def test_a_connection_that_the_server_has_ended_meanwhile_is_made_anew() -> None:
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n42"
    hung_up = threading.Event()
    with raw(lambda connection: connection.sendall(body), hung_up) as url, opened(url) as kept:
        assert kept.exchange(b"{}", 2.0) == b"42"
        # The server hangs up after each answer without having said so.
        assert hung_up.wait(5.0)
        assert kept.exchange(b"{}", 2.0) == b"42"


def test_chunked_answers() -> None:
    body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n"
    with raw(lambda connection: connection.sendall(body)) as url, opened(url) as kept:
        assert kept.exchange(b"{}", 2.0) == b"[1]"


@pytest.mark.parametrize("size", [4096, 4097, 100_000])
def test_an_answer_over_the_cap_is_refused(size: int) -> None:
    with HttpServer(lambda m: m, lambda data: b" " * size) as server, opened(server.url) as kept:
        if size == 4096:
            assert len(kept.exchange(b"{}", 2.0)) == size
        else:
            with pytest.raises(InputError, match="more than 4096 bytes"):
                kept.exchange(b"{}", 2.0)


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ({"status": 500}, r"refused the request \(HTTP status 500\)"),
        ({"status": HTTPStatus.TEMPORARY_REDIRECT, "headers": {"Location": "http://10.0.0.1/act"}},
         "HTTP status 307, a redirect, which is not followed"),
        ({"headers": {"Content-Encoding": "gzip"}}, "an encoded body"),
        ({"cut": 3}, "broke off"),
    ],
)  # fmt: skip
def test_answers_that_are_none(server: dict[str, Any], said: str) -> None:
    with (
        HttpServer(lambda m: [1, 2, 3], **server) as running,
        opened(running.url) as kept,
        pytest.raises(InputError, match=said),
    ):
        kept.exchange(b"{}", 2.0)
    assert len(running.bodies) == 1


@pytest.mark.parametrize(
    ("says", "said"),
    [
        (b"", "cannot be reached"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "cannot be reached"),
        (b"HTTP/1.1 200 OK\r\n\r\n[1]", "has no length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n[1]", "has no length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1", "cannot be reached"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "cannot be reached"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", "cannot be reached"),
    ],
)
def test_what_speaks_no_http(says: bytes, said: str) -> None:
    with (
        raw(lambda connection: connection.sendall(says)) as url,
        opened(url) as kept,
        pytest.raises(InputError, match=said) as caught,
    ):
        kept.exchange(b"{}", 2.0)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n"
                                  b"Content-Length: 999\r\n\r\n"])  # fmt: skip
def test_an_answer_in_drops_does_not_move_the_deadline(head: bytes) -> None:
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(head)
        while not stop.wait(0.02):
            connection.sendall(b"a")

    with raw(drip) as url, opened(url) as kept:
        with pytest.raises(InputError, match=r"gave no answer within 0\.3 s"):
            kept.exchange(b"{}", 0.3)
        stop.set()


def test_a_server_that_says_nothing() -> None:
    stop = threading.Event()

    def wait(_: socket.socket) -> None:
        stop.wait()

    with raw(wait) as url, opened(url) as kept:
        with pytest.raises(InputError, match=r"gave no answer within 0\.1 s"):
            kept.exchange(b"{}", 0.1)
        stop.set()


def test_a_key_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLA_KEY", "abc")
    heads: list[bytes] = []

    def speak(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            connection, _ = listening.accept()
            with connection:
                heads.append(request(connection))
                speak(connection)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        key = {"environment": "VLA_KEY", "scheme": "Bearer"}
        with opened(url, api_key=key) as kept:
            kept.exchange(b"{}", 2.0)
        thread.join(5.0)
    assert b"\r\nAuthorization: Bearer abc\r\n" in heads[0]
    assert heads[0].startswith(b"POST /act HTTP/1.1\r\n")


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(InputError, match="cannot be reached"):
        link(f"http://127.0.0.1:{port}").open()


def test_encryption_with_a_certificate_that_is_known(tmp_path: Path) -> None:
    file, tls = certificate(tmp_path)
    with HttpServer(lambda m: m, tls=tls) as server:
        url = server.url.replace("http://", "https://")
        with opened(url, ca_file=str(file)) as kept:
            assert kept.exchange(b'{"a": 1}', 2.0) == b'{"a": 1}'
        with pytest.raises(InputError, match="certificate"):
            link(url).open()
