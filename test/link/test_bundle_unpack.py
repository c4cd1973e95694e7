"""Zips that mean harm are refused in one line and leave nothing behind."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from bundles import Maker

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.bundle_unpack import place_bundle
from vla_rl_nodes.policy.bundle import load_bundle

ZipMaker = Callable[[zipfile.ZipFile], None]


def packed(folder: Path, change: ZipMaker = lambda archive: None) -> bytes:
    """A bundle's folder as the learner packs it, and something more."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.writestr(zipfile.ZipInfo(path.name), path.read_bytes())
        change(archive)
    return data.getvalue()


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    return Maker(tmp_path_factory.mktemp("bundles"), load_contract("franka_pick"))


@pytest.fixture(scope="module")
def bundle(maker: Maker) -> Path:
    return maker("good", policy=b"a graph that is not opened here")


def place(folder: Path, data: bytes, maker: Maker, version: str = "") -> Path:
    versions = folder / "versions"
    versions.mkdir(exist_ok=True)
    archive = folder / "b.zip"
    archive.write_bytes(data)
    contract: Contract = maker.contract
    keys = sorted(maker.trusted.glob("*.pub"))
    version = version or load_bundle(maker.folder / "good", contract, keys).version
    return place_bundle(archive, version, versions, contract, keys)


def test_a_good_one_appears_whole(tmp_path: Path, maker: Maker, bundle: Path) -> None:
    for _ in range(2):  # the second time it replaces what may have been damaged since
        folder = place(tmp_path, packed(bundle), maker)
        assert {p.name: p.read_bytes() for p in folder.iterdir()} == {
            p.name: p.read_bytes() for p in bundle.iterdir()
        }
        (folder / "policy.onnx").write_bytes(b"damaged")
    assert [p.name for p in (tmp_path / "versions").iterdir()] == [folder.name]


def named(name: str, mode: int = 0o100644, data: bytes = b"x") -> ZipMaker:
    def change(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo("placeholder")
        info.filename = info.orig_filename = name
        info.external_attr = mode << 16
        archive.writestr(info, data)

    return change


def deflated(archive: zipfile.ZipFile) -> None:
    archive.writestr("bomb", bytes(50_000_000), zipfile.ZIP_DEFLATED)


def many(archive: zipfile.ZipFile) -> None:
    for number in range(100):
        archive.writestr(f"f{number}", b"")


HOSTILE: dict[str, tuple[ZipMaker, str]] = {
    "climbs out": (named("../../evil"), "is no plain file name"),
    "absolute": (named("/etc/evil"), "is no plain file name"),
    "backslash": (named("..\\evil"), "is no plain file name"),
    "drive": (named("C:evil"), "is no plain file name"),
    "folder": (named("deep/", 0o040755, b""), "is no plain file name"),
    "in a folder": (named("deep/evil"), "is no plain file name"),
    "hidden": (named(".bashrc"), "is no plain file name"),
    "NUL": (named("evil\0.onnx"), "is no plain file name"),
    "empty name": (named(""), "is no plain file name"),
    "long name": (named("n" * 200), "is no plain file name"),
    "link": (named("evil", 0o120777, b"/etc/passwd"), "is no regular file"),
    "device": (named("evil", 0o020666), "is no regular file"),
    "pipe": (named("evil", 0o010666), "is no regular file"),
    "twice": (named("policy.onnx"), "stands twice"),
    "twice but for the case": (named("POLICY.onnx"), "stands twice"),
    "bomb": (deflated, "is compressed"),
    "many": (many, "holds more than 64 files"),
    "not signed": (named("extra.bin"), "is not named in the manifest"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_one_leaves_nothing(
    tmp_path: Path, maker: Maker, bundle: Path, kind: str
) -> None:
    change, line = HOSTILE[kind]
    with pytest.raises(InputError, match=line) as caught:
        place(tmp_path, packed(bundle, change), maker)
    assert "\n" not in str(caught.value) and "\0" not in str(caught.value)
    assert list((tmp_path / "versions").iterdir()) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.zip", "versions"]


def patched(data: bytes, at: int, form: str, value: int) -> bytes:
    """A zip with a field of its first central entry changed."""
    start = data.index(b"PK\1\2") + at
    size = struct.calcsize(form)
    return data[:start] + struct.pack(form, value) + data[start + size :]


def test_damage_is_told(tmp_path: Path, maker: Maker, bundle: Path) -> None:
    data = packed(bundle)
    middle = data.index(b"a graph that is not") + 3
    for damaged, line in (
        (b"", "is no intact zip"),
        (b"no zip" * 100, "is no intact zip"),
        (data[: len(data) // 2], "is no intact zip"),
        (data[:-10], "is no intact zip"),
        (data[:middle] + b"\xff" + data[middle + 1 :], "is no intact zip .bad crc"),
        (patched(data, 8, "<H", 1), "is encrypted"),
        (patched(data, 10, "<H", 99), "is compressed"),
        (patched(patched(data, 20, "<I", 1 << 30), 24, "<I", 1 << 30), "promises more bytes"),
        (patched(data, 42, "<I", 1 << 30), "is no intact zip"),
    ):
        with pytest.raises(InputError, match=f"(?i){line}"):
            place(tmp_path, damaged, maker)
        assert list((tmp_path / "versions").iterdir()) == []


def test_what_is_not_signed_or_not_for_this_robot_is_refused(
    tmp_path: Path, maker: Maker, bundle: Path
) -> None:
    stranger = Maker(tmp_path / "stranger", maker.contract)
    other = Maker(tmp_path / "other", load_contract("plane"))
    other.key = maker.key
    for folder, version, line in (
        (stranger("foreign", policy=b"x"), "", "which is not trusted"),
        (other("plane", policy=b"x"), "", "contract"),
        (bundle, "0" * 12, "holds version .*, not 000000000000"),
    ):
        with pytest.raises(InputError, match=line):
            place(tmp_path, packed(folder), maker, version)
        assert list((tmp_path / "versions").iterdir()) == []
    unsigned = maker("unsigned", policy=b"y")
    (unsigned / "manifest.sig").unlink()
    with pytest.raises(InputError, match=r"manifest\.sig: is missing"):
        place(tmp_path, packed(unsigned), maker)
