"""The page's settings: nothing is open by mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.operator.page_settings import PageSettings, is_loopback, load_page_settings
from vla_rl_nodes.resources import resource


def test_the_shipped_file_is_for_this_machine_alone() -> None:
    settings = load_page_settings(resource("config/operator/page.yaml"))
    assert settings == PageSettings()
    assert is_loopback(settings.listen.host) and settings.token_file is None


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.10", "::", "robot.lab"])
def test_another_address_needs_a_token(tmp_path: Path, host: str) -> None:
    file = tmp_path / "page.yaml"
    file.write_text(f'listen: {{host: "{host}"}}\n')
    with pytest.raises(InputError, match="name a token_file"):
        load_page_settings(file)
    file.write_text(f'listen: {{host: "{host}"}}\ntoken_file: token\n')
    assert load_page_settings(file).token_file == tmp_path / "token"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "text",
    [
        "port: 80", "viewers_max: 0", "viewers_max: true", "pictures: {hz: .inf}",
        "hosts: [UPPER]", "hosts: ['a b']", "listen: {port: 70000}", "tls: {certificate: a}",
    ],
)  # fmt: skip
def test_wrong_keys_are_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "page.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as told:
        load_page_settings(file)
    assert "\n" not in str(told.value) and "page.yaml" in str(told.value)


def test_paths_count_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "page.yaml"
    file.write_text("tls: {certificate: c.crt, key: /k.key}\nhosts: [robot1.lab]\n")
    settings = load_page_settings(file)
    assert settings.tls is not None and settings.tls.certificate == tmp_path / "c.crt"
    assert settings.tls.key == Path("/k.key") and settings.hosts == ("robot1.lab",)
