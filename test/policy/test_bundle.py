"""Nothing but the signed files of a bundle for this contract is ever accepted."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy import bundle as bundle_module
from vla_rl_nodes.policy.bundle import MANIFEST, MODEL, SIGNATURE, load_bundle, sign_bundle
from vla_rl_nodes.policy.manifest import version
from vla_rl_nodes.policy.signing import create_key, load_key

Make = Callable[..., Path]


def refusal(path: Path, contract: Contract, keys: list[Path]) -> str:
    with pytest.raises(InputError) as caught:
        load_bundle(path, contract, keys)
    line = str(caught.value)
    assert "\n" not in line and str(path) in line and "; " in line
    return line


def resigned(path: Path, key_path: Path, change: Callable[[dict[str, object]], None]) -> None:
    """Changes the manifest and signs it again, as its maker could."""
    manifest = json.loads((path / MANIFEST).read_text())
    change(manifest)
    (path / MANIFEST).write_text(json.dumps(manifest))
    sign_bundle(path, load_key(key_path))


def test_a_bundle_comes_back_as_written(
    make_bundle: Make, contract: Contract, trusted: list[Path]
) -> None:
    path = make_bundle()
    bundle = load_bundle(path, contract, trusted)
    assert bundle.model == (path / MODEL).read_bytes()
    assert bundle.version == version((path / MANIFEST).read_bytes())
    assert bundle.manifest.noise_shape == [16, 5]
    assert bundle.manifest.training.windows == 90
    assert bundle.signed_by == (path / SIGNATURE).read_text().split()[1]


def test_the_same_content_gives_the_same_bytes(make_bundle: Make) -> None:
    first, second = make_bundle("first"), make_bundle("second")
    for name in (MANIFEST, SIGNATURE, MODEL):
        assert (first / name).read_bytes() == (second / name).read_bytes()


@given(data=st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_changed_byte_is_refused(
    make_bundle: Make, contract: Contract, trusted: list[Path], tmp_path: Path, data: st.DataObject
) -> None:
    if not (tmp_path / "whole").exists():
        make_bundle("whole")
    path = tmp_path / "tampered"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(tmp_path / "whole", path)
    target = path / data.draw(st.sampled_from(sorted(os.listdir(path))))
    content = bytearray(target.read_bytes())
    where = data.draw(st.integers(0, len(content) - 1))
    content[where] ^= data.draw(st.integers(1, 255))
    target.write_bytes(content)
    refusal(path, contract, trusted)


@pytest.mark.parametrize("name", [MANIFEST, SIGNATURE, MODEL, "recipe.yaml"])
@pytest.mark.parametrize("damage", ["missing", "empty", "longer", "link", "pipe", "folder"])
def test_a_damaged_file_is_refused_by_name(
    make_bundle: Make, contract: Contract, trusted: list[Path], name: str, damage: str
) -> None:
    path = make_bundle()
    target = path / name
    content = target.read_bytes()
    target.unlink()
    if damage == "empty":
        target.touch()
    elif damage == "longer":
        target.write_bytes(content + b"\n")
    elif damage == "link":
        (path.parent / "elsewhere").write_bytes(content)
        target.symlink_to(path.parent / "elsewhere")
    elif damage == "pipe":
        os.mkfifo(target)
    elif damage == "folder":
        target.mkdir()
    # A manifest that was changed shows as a signature that does not fit it.
    named = SIGNATURE if name == MANIFEST and damage in ("empty", "longer") else name
    assert named in refusal(path, contract, trusted)


@pytest.mark.parametrize("extra", ["notes.txt", ".hidden", "policy.onnx.bak"])
def test_an_extra_file_is_refused(
    make_bundle: Make, contract: Contract, trusted: list[Path], extra: str
) -> None:
    path = make_bundle()
    (path / extra).write_bytes(b"more")
    assert f"{extra}: is not named in the manifest" in refusal(path, contract, trusted)


def test_another_key_is_refused_until_it_is_trusted(
    make_bundle: Make, contract: Contract, trusted: list[Path], tmp_path: Path
) -> None:
    path = make_bundle()
    other = create_key(tmp_path / "other.pem")
    assert "not trusted" in refusal(path, contract, [other])
    sign_bundle(path, load_key(tmp_path / "other.pem"))
    assert load_bundle(path, contract, [other]).path == path
    assert "not trusted" in refusal(path, contract, trusted)


def test_no_trusted_key_means_no_bundle(make_bundle: Make, contract: Contract) -> None:
    assert "no key is trusted" in refusal(make_bundle(), contract, [])


def test_a_foreign_contract_is_refused(
    make_bundle: Make, contract: Contract, trusted: list[Path]
) -> None:
    changed = contract.rates.model_copy(update={"policy_hz": 10})
    foreign = contract.model_copy(update={"rates": changed})
    foreign.__dict__.pop("sha256", None)  # the copy took the cached hash along
    assert "is for contract franka_pick" in refusal(make_bundle(), foreign, trusted)


def test_a_signed_manifest_cannot_lead_out_of_its_folder(
    make_bundle: Make, contract: Contract, trusted: list[Path], key_path: Path
) -> None:
    path = make_bundle()
    (path.parent / "outside.onnx").write_bytes((path / MODEL).read_bytes())

    def escape(manifest: dict[str, object]) -> None:
        files = manifest["files"]
        assert isinstance(files, dict)
        files["../outside.onnx"] = files[MODEL]

    resigned(path, key_path, escape)
    assert "files" in refusal(path, contract, trusted)


def test_a_signed_manifest_needs_a_model(
    make_bundle: Make, contract: Contract, trusted: list[Path], key_path: Path
) -> None:
    path = make_bundle()
    resigned(path, key_path, lambda m: m["files"].pop(MODEL))  # type: ignore[attr-defined]
    assert "names no policy.onnx" in refusal(path, contract, trusted)


def test_sizes_are_capped(
    make_bundle: Make,
    contract: Contract,
    trusted: list[Path],
    key_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = make_bundle()
    monkeypatch.setattr(bundle_module, "LARGEST_FILE", 100)
    assert "is over" in refusal(path, contract, trusted)
    (path / MANIFEST).write_bytes(b" " * (bundle_module.LARGEST_MANIFEST + 1))
    assert "is larger than" in refusal(path, contract, trusted)


def test_a_bundle_is_never_written_over(make_bundle: Make) -> None:
    path = make_bundle()
    before = (path / SIGNATURE).read_bytes()
    with pytest.raises(InputError, match="is there already"):
        make_bundle(gain=0.5)
    assert (path / SIGNATURE).read_bytes() == before
    assert sorted(p.name for p in path.parent.iterdir()) == ["bundle"]


def test_a_refused_file_name_leaves_nothing_behind(make_bundle: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="files"):
        make_bundle(files={"../escape.onnx": b"x"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_what_is_no_folder_is_refused(
    contract: Contract, trusted: list[Path], tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "bundle"
    if kind == "file":
        path.write_bytes(b"PK")
    assert "is no bundle folder" in refusal(path, contract, trusted)
