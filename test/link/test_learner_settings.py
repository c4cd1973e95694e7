"""learner.yaml: what it must say, and how a running learner follows it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.settings import SettingsFile, load_learner_settings
from vla_rl_nodes.resources import resource

BASE = """
certificates: {authority: ca.crt, certificate: l.crt, key: l.key}
folder: data
"""
A, B = "a" * 64, "b" * 64


def written(folder: Path, more: str = "") -> Path:
    draft = folder / "draft"
    draft.write_text(BASE + more)
    os.replace(draft, folder / "learner.yaml")
    return folder / "learner.yaml"


def test_nobody_is_let_in_who_is_not_named(tmp_path: Path) -> None:
    settings = load_learner_settings(written(tmp_path))
    assert settings.robots == {} and settings.bundles is None and settings.store is None
    assert settings.listen.host == "127.0.0.1"
    assert settings.folder == tmp_path / "data"
    assert settings.certificates.key == tmp_path / "l.key"


def test_the_shipped_example_is_valid() -> None:
    settings = load_learner_settings(resource("config/link/learner.yaml"))
    assert settings.robots == {}
    assert settings.part_bytes == 4 << 20


def test_a_fingerprint_may_stand_alone_or_in_a_list(tmp_path: Path) -> None:
    more = f"""
robots:
  fr3: {{certificate_sha256: {A}, contracts: [{B}], quota_bytes: 5}}
  ur5e: {{certificate_sha256: [{B}], quota_bytes: 5}}
"""
    robots = load_learner_settings(written(tmp_path, more)).robots
    assert robots["fr3"].certificate_sha256 == (A,) and robots["fr3"].contracts == (B,)
    assert robots["ur5e"].certificate_sha256 == (B,) and robots["ur5e"].contracts == ()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("robot: {}", "did you mean 'robots'"),
        (f"robots: {{../x: {{certificate_sha256: {A}, quota_bytes: 1}}}}", "robots"),
        ("robots: {x: {certificate_sha256: abc, quota_bytes: 1}}", "robots.x.certificate_sha256"),
        ("robots: {x: {certificate_sha256: [], quota_bytes: 1}}", "needs 1 to 8 fingerprints"),
        (f"robots: {{x: {{certificate_sha256: {A}}}}}", "quota_bytes: is missing"),
        (f"robots: {{x: {{certificate_sha256: {A}, quota_bytes: -1}}}}", "quota_bytes"),
        (f"robots: {{x: {{certificate_sha256: {A}, quota_bytes: 1}},"
         f" y: {{certificate_sha256: {A}, quota_bytes: 1}}}}", "have one certificate"),
        ("part_bytes: 0", "part_bytes"),
        ("listen: {port: 99999}", "listen.port"),
        ("patience_s: 0.0", "patience_s"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_that_names_it(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        load_learner_settings(written(tmp_path, more))
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_running_learner_follows_the_file_and_survives_mistakes_in_it(tmp_path: Path) -> None:
    file = SettingsFile(written(tmp_path))
    assert file.reload() is None
    one = f"robots: {{fr3: {{certificate_sha256: {A}, quota_bytes: 5}}}}"
    written(tmp_path, one)
    assert file.reload() == "settings taken: 1 robots"
    assert list(file.current.robots) == ["fr3"]
    written(tmp_path, "robots: 5")
    line = file.reload()
    assert line is not None and line.startswith("settings not taken: ")
    assert list(file.current.robots) == ["fr3"] and file.reload() is None
    (tmp_path / "learner.yaml").unlink()
    line = file.reload()
    assert line is not None and "settings not taken" in line
    written(tmp_path, "listen: {port: 1}")
    line = file.reload()
    assert line == "settings taken: 0 robots; listen from the next start on"
    assert file.current.robots == {} and file.current.listen.port == 8443
    assert file.reload(force=True) is not None
