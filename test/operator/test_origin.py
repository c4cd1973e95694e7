"""Other pages in the same browser reach nothing here."""

from __future__ import annotations

import pytest

from vla_rl_nodes.operator.origin import host_refused, origin_refused


@pytest.mark.parametrize(
    ("host", "own", "good"),
    [
        ("127.0.0.1:8420", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("localhost:9000", "127.0.0.1", True),  # through a tunnel
        ("LOCALHOST:1", "127.0.0.1", True),
        ("[::1]:8420", "::1", True),
        ("192.168.1.10:8420", "192.168.1.10", True),
        ("robot1.lab:8420", "192.168.1.10", True),
        ("192.168.1.11:8420", "192.168.1.10", False),
        ("evil.example:8420", "127.0.0.1", False),  # a name that was made to point here
        ("127.0.0.1.evil.example", "127.0.0.1", False),
        ("localhost.evil.example", "127.0.0.1", False),
        ("localhost.", "127.0.0.1", False),
        ("2130706433", "127.0.0.1", False),
        ("0x7f.1", "127.0.0.1", False),
        ("", "127.0.0.1", False),
        (None, "127.0.0.1", False),
        ("a b", "127.0.0.1", False),
        ("localhost:8420@evil", "127.0.0.1", False),
        ("[::1", "::1", False),
    ],
)  # fmt: skip
def test_hosts(host: str | None, own: str, good: bool) -> None:
    assert host_refused(host, own, ("robot1.lab",)) is not good


@pytest.mark.parametrize(
    ("headers", "good"),
    [
        ({"Host": "localhost:1", "Origin": "http://localhost:1"}, True),
        ({"Host": "localhost:1", "Origin": "http://LOCALHOST:1"}, True),
        ({"Host": "localhost:1"}, True),  # no browser
        ({"Host": "localhost:1", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Host": "localhost:1", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Host": "localhost:1", "Sec-Fetch-Site": "same-site"}, False),
        ({"Host": "localhost:1", "Origin": "https://localhost:1"}, False),
        ({"Host": "localhost:1", "Origin": "http://localhost:2"}, False),
        ({"Host": "localhost:1", "Origin": "http://evil.example"}, False),
        ({"Host": "localhost:1", "Origin": "null"}, False),
        ({"Host": "localhost:1", "Origin": ""}, False),
    ],
)  # fmt: skip
def test_origins(headers: dict[str, str], good: bool) -> None:
    assert origin_refused(headers, "http") is not good
