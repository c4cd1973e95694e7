"""The certificates: what they may be used for, who may read the keys, and what is never lost."""

from __future__ import annotations

import json
import ssl
import stat
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from vla_rl_nodes.cli import main
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.events import tell
from vla_rl_nodes.link.fields import Certificates
from vla_rl_nodes.link.identity import learner_context
from vla_rl_nodes.link.key_folder import make_keys
from vla_rl_nodes.link.keys import fingerprint, load_certificate, new_authority, new_robot
from vla_rl_nodes.link.settings import LearnerSettings, Robot

HOSTS = ["learner.local", "10.0.0.7", "fd00::7"]


def extension(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> x509.ExtensionType:
    return certificate.extensions.get_extension_for_class(kind).value


def test_the_learner_s_certificate(tmp_path: Path) -> None:
    make_keys(tmp_path / "k", ["fr3"], HOSTS, 30)
    made = load_certificate(tmp_path / "k" / "learner" / "learner.crt")
    names = extension(made, x509.SubjectAlternativeName)
    assert isinstance(names, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.DNSName) == ["learner.local"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7", "fd00::7"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:vla-rl:learner"]
    assert list(extension(made, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.SERVER_AUTH]  # type: ignore[call-overload]
    days = (made.not_valid_after_utc - made.not_valid_before_utc).total_seconds() / 86_400
    assert 30 <= days < 30.1


def test_a_robot_s_certificate(tmp_path: Path) -> None:
    made = make_keys(tmp_path / "k", ["fr3"], HOSTS, 30)
    robot = load_certificate(tmp_path / "k" / "robots" / "fr3" / "robot.crt")
    authority = load_certificate(tmp_path / "k" / "ca.crt")
    robot.verify_directly_issued_by(authority)
    names = extension(robot, x509.SubjectAlternativeName)
    assert isinstance(names, x509.SubjectAlternativeName)
    assert [n.value for n in names] == ["urn:vla-rl:robot:fr3"]
    assert robot.subject.rfc4514_string() == "CN=fr3"
    assert list(extension(robot, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.CLIENT_AUTH]  # type: ignore[call-overload]
    limits = extension(robot, x509.BasicConstraints)
    assert isinstance(limits, x509.BasicConstraints) and not limits.ca
    assert made.robots == {"fr3": [fingerprint(robot)]}


def test_private_keys_are_their_owner_s(tmp_path: Path) -> None:
    make_keys(tmp_path / "k", ["fr3", "ur5e"], HOSTS, 30)
    keys = sorted(path for path in (tmp_path / "k").rglob("*.key"))
    assert [path.name for path in keys] == ["ca.key", "learner.key", "robot.key", "robot.key"]
    for path in keys:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    robot = {path.name for path in (tmp_path / "k" / "robots" / "fr3").iterdir()}
    assert robot == {"robot.crt", "robot.key", "ca.crt"}


def test_a_robot_is_added_to_the_same_authority(tmp_path: Path) -> None:
    make_keys(tmp_path / "k", ["fr3"], HOSTS, 30)
    before = contents(tmp_path / "k")
    made = make_keys(tmp_path / "k", ["ur5e"], [], 30)
    assert not made.authority_made and made.learner is None and list(made.robots) == ["ur5e"]
    assert {k: v for k, v in contents(tmp_path / "k").items() if "ur5e" not in k} == before


@pytest.mark.parametrize(
    ("robots", "hosts", "problem"),
    [
        (["ur5e", "fr3"], [], "robots/fr3: is there already; keep it, or give --renew"),
        (["ur5e"], ["learner.local"], "learner: is there already"),
        (["../x"], [], "is no name for a robot"),
        (["x" * 65], [], "is no name for a robot"),
        (["ur5e"], ["http://x"], "is no host name and no address"),
        (["ur5e"], ["x:8443"], "is no host name and no address"),
        ([], [], "--robot: is missing"),
    ],
)
def test_what_is_refused_changes_nothing(
    tmp_path: Path, robots: list[str], hosts: list[str], problem: str
) -> None:
    make_keys(tmp_path / "k", ["fr3"], HOSTS, 30)
    before = contents(tmp_path / "k")
    with pytest.raises(InputError) as error:
        make_keys(tmp_path / "k", robots, hosts, 30)
    assert problem in str(error.value)
    assert contents(tmp_path / "k") == before


def test_without_a_host_no_authority_is_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--host: is missing"):
        make_keys(tmp_path / "k", ["fr3"], [], 30)
    assert not (tmp_path / "k").exists()


def test_a_renewed_robot_may_show_both_until_the_old_one_ends(tmp_path: Path) -> None:
    first = make_keys(tmp_path / "k", ["fr3"], HOSTS, 30).robots["fr3"]
    old = (tmp_path / "k" / "robots" / "fr3" / "robot.key").read_bytes()
    second = make_keys(tmp_path / "k", ["fr3"], [], 30, renew=True).robots["fr3"]
    assert second[0] == first[0] and len(second) == 2
    assert (tmp_path / "k" / "robots" / "fr3" / "robot.key").read_bytes() != old
    kept = tmp_path / "k" / "robots" / f".fr3~{first[0][:16]}" / "robot.key"
    assert kept.read_bytes() == old


def test_the_authority_s_key_must_be_private_and_its_own(tmp_path: Path) -> None:
    make_keys(tmp_path / "k", ["fr3"], HOSTS, 30)
    key = tmp_path / "k" / "ca.key"
    key.chmod(0o644)
    with pytest.raises(InputError, match="can be read by other users"):
        make_keys(tmp_path / "k", ["ur5e"], [], 30)
    key.unlink()
    with pytest.raises(InputError, match=r"ca\.key: cannot be read"):
        make_keys(tmp_path / "k", ["ur5e"], [], 30)
    make_keys(tmp_path / "other", ["fr3"], HOSTS, 30)
    (tmp_path / "other" / "ca.key").rename(key)
    with pytest.raises(InputError, match=r"is not the key of ca\.crt"):
        make_keys(tmp_path / "k", ["ur5e"], [], 30)


def test_no_certificate_outlives_its_authority() -> None:
    authority = new_authority(days=2)
    robot = new_robot(authority, "fr3", 30)
    assert robot.certificate.not_valid_after_utc == authority.certificate.not_valid_after_utc


def test_the_command_prints_what_learner_yaml_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["learner", "keys", "--out", str(tmp_path / "k"), "--host", "localhost",
               "--robot", "fr3", "--robot", "ur5e", "--contract", "franka_pick"]  # fmt: skip
    assert main(command) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    settings = LearnerSettings.model_validate({"folder": "data", **printed})
    assert set(settings.robots) == {"fr3", "ur5e"}
    assert isinstance(settings.robots["fr3"], Robot) and len(settings.robots["fr3"].contracts) == 1
    context = learner_context(settings.certificates, tell)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert main(command) == 2
    assert "is there already" in capsys.readouterr().err
    assert main([*command[:6], "--robot", "go2", "--days", "3", "--json", "--renew"]) == 0
    assert list(json.loads(capsys.readouterr().out)["robots"]) == ["go2"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [("authority", "holds no certificate"), ("certificate", "is no certificate with the key"),
     ("key", "is no certificate with the key")],
)  # fmt: skip
def test_files_that_are_no_certificates_are_one_line(
    tmp_path: Path, name: str, problem: str
) -> None:
    make_keys(tmp_path / "k", ["fr3"], HOSTS, 30)
    folder = tmp_path / "k" / "learner"
    files = {
        "authority": folder / "ca.crt", "certificate": folder / "learner.crt",
        "key": folder / "learner.key",
    }  # fmt: skip
    files[name].write_text("x")
    with pytest.raises(InputError, match=problem):
        learner_context(Certificates(**files), tell)
    files[name].unlink()
    with pytest.raises(InputError, match="no such file"):
        learner_context(Certificates(**files), tell)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
