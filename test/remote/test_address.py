"""Which addresses are accepted, and what is sent to them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote.address import Address, check_address, is_loopback
from vla_rl_nodes.remote.spec import Server

HTTP, WS = ("http", "https"), ("ws", "wss")
KEY = {"environment": "SOME_KEY", "scheme": "Bearer"}


def address(url: str, schemes: tuple[str, str] = HTTP, **server: Any) -> Address:
    return check_address("p.yaml", Server.model_validate({"url": url, **server}), schemes, "/act")


@pytest.mark.parametrize(
    ("url", "schemes", "host", "port", "path", "encrypted"),
    [
        ("http://127.0.0.1:8000", HTTP, "127.0.0.1", 8000, "/act", False),
        ("http://localhost", HTTP, "localhost", 80, "/act", False),
        ("http://[::1]:7/other", HTTP, "::1", 7, "/other", False),
        ("ws://127.9.9.9:8000/", WS, "127.9.9.9", 8000, "/act", False),
        ("https://gpu.example.org", HTTP, "gpu.example.org", 443, "/act", True),
        ("wss://gpu.example.org:8443/pi", WS, "gpu.example.org", 8443, "/pi", True),
    ],
)
def test_accepted(
    url: str, schemes: tuple[str, str], host: str, port: int, path: str, encrypted: bool
) -> None:
    found = address(url, schemes)
    assert (found.host, found.port, found.path) == (host, port, path)
    assert (found.tls is not None) == encrypted


def test_an_encrypted_connection_checks_the_certificate_and_the_name() -> None:
    tls = address("https://gpu.example.org").tls
    assert tls is not None and tls.check_hostname and tls.verify_mode.name == "CERT_REQUIRED"


@pytest.mark.parametrize(
    ("url", "schemes", "server", "said"),
    [
        ("http://10.0.0.2:8000", HTTP, {}, "in clear"),
        ("ws://gpu:8000", WS, {}, "in clear"),
        ("http://localhost.example.org", HTTP, {}, "in clear"),
        ("http://0.0.0.0:8000", HTTP, {}, "in clear"),
        ("http://2130706433:8000", HTTP, {}, "in clear"),
        ("http://10.0.0.2", HTTP, {"allow_unencrypted": True, "api_key": KEY}, "the key in clear"),
        ("ws://127.0.0.1", HTTP, {}, "not http or https"),
        ("http://127.0.0.1", WS, {}, "not ws or wss"),
        ("file:///etc/passwd", HTTP, {}, "not http or https"),
        ("127.0.0.1:8000", HTTP, {}, "not http or https"),
        ("http://user:secret@127.0.0.1", HTTP, {}, "a user or a password"),
        ("http://127.0.0.1?key=1", HTTP, {}, "a query or a fragment"),
        ("http://127.0.0.1#a", HTTP, {}, "a query or a fragment"),
        ("http://127.0.0.1:99999", HTTP, {}, "is no URL"),
        ("http://[::1", HTTP, {}, "is no URL"),
        ("http://", HTTP, {}, "names no host"),
        ("http://127.0.0.1/a\r\nX: y", HTTP, {}, "names no host in plain letters"),
        ("http://127.0.0.1/é", HTTP, {}, "names no host in plain letters"),
        ("https://gpu", HTTP, {"ca_file": "/nowhere.pem"}, "is no certificate"),
    ],
)
def test_refused(url: str, schemes: tuple[str, str], server: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        address(url, schemes, **server)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_unencrypted_network_must_be_allowed() -> None:
    assert address("http://10.0.0.2:8000", allow_unencrypted=True).host == "10.0.0.2"


@given(st.text(max_size=60).map(lambda tail: "http://" + tail) | st.text(min_size=1, max_size=60))
def test_any_text(url: str) -> None:
    try:
        found = address(url)
    except InputError:
        return
    assert found.tls is not None or is_loopback(found.host)


def test_the_key_comes_from_the_environment_and_is_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOME_KEY", "k-123")
    found = address("https://gpu", api_key=KEY)
    assert found.headers == {"Authorization": "Bearer k-123"}
    assert "k-123" not in repr(found)


@pytest.mark.parametrize("value", [None, "", "a b", "a\r\nHost: b", "schlüssel"])
def test_a_key_that_cannot_be_sent(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is None:
        monkeypatch.delenv("SOME_KEY", raising=False)
    else:
        monkeypatch.setenv("SOME_KEY", value)
    with pytest.raises(InputError, match="SOME_KEY: holds no key"):
        address("https://gpu", api_key=KEY)
