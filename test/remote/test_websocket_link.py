"""The websocket against a real server on loopback that behaves in many ways."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.utils import accept_key

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote.address import check_address
from vla_rl_nodes.remote.spec import Server
from vla_rl_nodes.remote.websocket_link import WebsocketLink

from .certificates import certificate
from .server import WebsocketServer, pack, unpack


def link(url: str, **server: Any) -> WebsocketLink:
    spec = Server.model_validate({"url": url, "largest_answer": 4096} | server)
    return WebsocketLink(check_address("p", spec, ("ws", "wss"), "/"), 2.0, spec.largest_answer)


def echo(message: Any) -> Any:
    if message == "fail":
        raise RuntimeError("no\x1b[31m such thing")
    return message


@pytest.fixture
def server() -> Iterator[WebsocketServer]:
    with WebsocketServer(echo, {"who": "me"}) as running:
        yield running


def test_metadata_first_and_then_one_answer_for_each_request(server: WebsocketServer) -> None:
    opened = link(server.url)
    assert unpack(opened.open()) == {"who": "me"}
    for n in range(3):
        assert unpack(opened.exchange(pack({"n": n}), 2.0)) == {"n": n}
    assert server.connections == 1
    opened.close()
    opened.close()


def test_a_text_is_a_refusal_in_one_plain_line(server: WebsocketServer) -> None:
    opened = link(server.url)
    opened.open()
    with pytest.raises(InputError) as caught:
        opened.exchange(pack("fail"), 2.0)
    assert "refused the request (RuntimeError: no[31m such thing)" in str(caught.value)
    with pytest.raises(InputError, match="is not connected"):
        opened.exchange(pack("again"), 2.0)


@pytest.mark.parametrize("largest", [1024, 4096])
def test_an_answer_over_the_cap_is_refused(server: WebsocketServer, largest: int) -> None:
    opened = link(server.url, largest_answer=largest)
    opened.open()
    fits = b"x" * (largest - 3)  # bin16 has a header of three bytes
    assert len(opened.exchange(pack(fits), 2.0)) == largest
    with pytest.raises(InputError, match=f"more than {largest} bytes"):
        opened.exchange(pack(fits + b"x"), 2.0)


def test_no_answer_in_time() -> None:
    ready = threading.Event()
    with WebsocketServer(lambda message: ready.wait() and message) as server:
        opened = link(server.url)
        opened.open()
        with pytest.raises(InputError, match=r"gave no answer within 0\.1 s"):
            opened.exchange(pack(1), 0.1)
        with pytest.raises(InputError, match="is not connected"):
            opened.exchange(pack(1), 0.1)
        ready.set()
        # What is answered too late goes to the connection that was closed, never to a new one.
        opened.open()
        assert unpack(opened.exchange(pack(2), 2.0)) == 2
        opened.close()


def test_a_server_that_does_not_even_read() -> None:
    """A request larger than what the system takes over hangs in the sending."""
    done = threading.Event()

    def speak(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            head = connection.recv(65536).decode()
            key = next(x.split(": ")[1] for x in head.split("\r\n") if "Sec-WebSocket-Key" in x)
            answer = f"Upgrade: websocket\r\nSec-WebSocket-Accept: {accept_key(key)}\r\n\r\n"
            start = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
            connection.sendall((start + answer).encode() + b"\x82\x01\x80")  # an empty map
            done.wait()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=speak, args=(listening,), daemon=True).start()
        opened = link(f"ws://127.0.0.1:{listening.getsockname()[1]}")
        assert opened.open() == b"\x80"
        with pytest.raises(InputError, match=r"gave no answer within 0\.3 s"):
            opened.exchange(b"\0" * (64 << 20), 0.3)
        done.set()


def test_a_broken_connection(server: WebsocketServer) -> None:
    opened = link(server.url)
    opened.open()
    server.hang_up()
    with pytest.raises(InputError, match="cannot be reached"):
        opened.exchange(pack(1), 2.0)
    opened.open()
    assert unpack(opened.exchange(pack(3), 2.0)) == 3
    opened.close()


def test_nobody_there(server: WebsocketServer) -> None:
    server.close()
    with pytest.raises(InputError, match="cannot be reached"):
        link(server.url).open()


def test_a_key_is_sent_and_a_wrong_one_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PI_KEY", "abc")
    key = {"environment": "PI_KEY", "scheme": "Api-Key"}
    with WebsocketServer(echo, key="Api-Key abc") as server:
        opened = link(server.url, api_key=key)
        opened.open()
        assert unpack(opened.exchange(pack(1), 2.0)) == 1
        opened.close()
        monkeypatch.setenv("PI_KEY", "secret")
        with pytest.raises(InputError) as caught:
            link(server.url, api_key=key).open()
    assert "opens no websocket" in str(caught.value) and "401" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_no_proxy_of_the_environment_is_asked(
    server: WebsocketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    opened = link(server.url)
    opened.open()
    assert unpack(opened.exchange(pack(1), 2.0)) == 1
    opened.close()


def test_encryption_with_a_certificate_that_is_known(tmp_path: Path) -> None:
    file, tls = certificate(tmp_path)
    with WebsocketServer(echo, tls=tls) as server:
        url = server.url.replace("ws://", "wss://")
        opened = link(url, ca_file=str(file))
        opened.open()
        assert unpack(opened.exchange(pack({"a": 1}), 2.0)) == {"a": 1}
        opened.close()
        with pytest.raises(InputError, match="certificate"):
            link(url).open()
