"""A built engine is found by what it was built from, and loaded only when nobody else wrote it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy import build_cache
from vla_rl_nodes.policy.build_cache import (
    SIDECAR,
    EngineKey,
    default_root,
    draft,
    entry,
    keep,
    load,
    read_timings,
    write_timings,
)

KEY = EngineKey("tensorrt", "ab" * 32, "NVIDIA X", "8.7", "tensorrt 10.9", "fp16")
PLAN = bytes(range(256)) * 5


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A cache with one engine of two files."""
    root = tmp_path / "cache" / "engines"
    with draft(root) as folder:
        (folder / "policy.plan").write_bytes(PLAN)
        (folder / "More_0_sm87.engine").write_bytes(b"more")
        keep(root, KEY, folder, candidates=8, difference=0.002)
    return root


def refusal(root: Path, key: EngineKey = KEY, candidates: int = 1) -> str:
    with pytest.raises(InputError) as caught:
        load(root, key, candidates)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_it_comes_back_as_it_was_kept(root: Path) -> None:
    found = load(root, KEY, 8)
    assert found.files == {"policy.plan": PLAN, "More_0_sm87.engine": b"more"}
    assert (found.candidates, found.difference) == (8, 0.002)
    assert found.folder == entry(root, KEY)


@pytest.mark.parametrize(
    "change",
    [
        {"engine": "onnxruntime-tensorrt"},
        {"model_sha256": "cd" * 32},
        {"gpu": "NVIDIA Y"},
        {"compute_capability": "8.6"},
        {"versions": "tensorrt 10.10"},
        {"precision": "fp32"},
        {"format": 2},
    ],
)
def test_whatever_it_depends_on_changes_the_key(root: Path, change: dict[str, object]) -> None:
    other = replace(KEY, **change)  # type: ignore[arg-type]
    assert other.folder_name != KEY.folder_name and set(change) <= set(asdict(KEY))
    assert "for this policy and machine; build it: vla-rl policy build" in refusal(root, other)


def test_it_is_not_for_more_candidates_than_it_was_built_for(root: Path) -> None:
    said = refusal(root, candidates=9)
    assert "was built for 8 candidates, not 9" in said
    assert said.endswith("vla-rl policy build --candidates 9")


def test_another_build_takes_its_place(root: Path) -> None:
    with draft(root) as folder:
        (folder / "policy.plan").write_bytes(b"newer")
        keep(root, KEY, folder, candidates=32, difference=0.0)
    assert load(root, KEY, 32).files == {"policy.plan": b"newer"}
    assert [p.name for p in root.iterdir()] == [KEY.folder_name]


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    root = tmp_path / "engines"

    def build() -> None:
        with draft(root) as folder:
            (folder / "policy.plan").write_bytes(PLAN)
            raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        build()
    assert list(root.iterdir()) == []


def test_nobody_else_can_read_or_write_it(root: Path) -> None:
    for path in (root, entry(root, KEY), *entry(root, KEY).iterdir()):
        assert path.stat().st_mode & 0o077 == 0, path


@given(data=st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_changed_byte_is_refused(root: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["policy.plan", "More_0_sm87.engine"]))
    path = entry(root, KEY) / name
    before = path.read_bytes()
    content = bytearray(before)
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        assert f"{name}: is not the file that was built" in refusal(root)
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("name", ["policy.plan", SIDECAR])
@pytest.mark.parametrize("damage", ["missing", "empty", "longer", "link", "pipe", "folder"])
def test_a_damaged_file_is_refused_by_name(root: Path, name: str, damage: str) -> None:
    path = entry(root, KEY) / name
    content = path.read_bytes()
    path.unlink()
    if damage == "empty":
        path.touch()
    elif damage == "longer":
        path.write_bytes(content + b"}")
    elif damage == "link":
        (root / "elsewhere").write_bytes(content)
        path.symlink_to(root / "elsewhere")
    elif damage == "pipe":
        os.mkfifo(path)
    elif damage == "folder":
        path.mkdir()
    assert name in refusal(root)


@pytest.mark.parametrize("where", ["root", "entry", "policy.plan", SIDECAR])
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_what_others_may_write_is_not_loaded(root: Path, where: str, mode: int) -> None:
    folder = entry(root, KEY)
    path = {"root": root, "entry": folder}.get(where, folder / where)
    path.chmod(path.stat().st_mode | mode)
    assert "can be written by other users" in refusal(root)


@pytest.mark.parametrize("where", ["root", "entry"])
def test_a_linked_folder_is_not_loaded(root: Path, where: str) -> None:
    path = root if where == "root" else entry(root, KEY)
    real = path.rename(path.with_name("real"))
    path.symlink_to(real)
    assert "is a link" in refusal(root)


def test_another_users_engine_is_not_loaded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert "belongs to another user" in refusal(root)


def test_a_sidecar_of_another_engine_is_refused(root: Path) -> None:
    path = entry(root, KEY) / SIDECAR
    data = json.loads(path.read_text())
    data["key"]["gpu"] = "NVIDIA Y"
    path.write_text(json.dumps(data))
    assert f"{SIDECAR}: is for another engine" in refusal(root)


@pytest.mark.parametrize("name", ["../policy.plan", "/etc/passwd", ".hidden", "a/b", ""])
def test_a_sidecar_cannot_lead_out_of_its_folder(root: Path, name: str) -> None:
    (root / "policy.plan").write_bytes(PLAN)
    path = entry(root, KEY) / SIDECAR
    data = json.loads(path.read_text())
    data["files"][name] = data["files"].pop("policy.plan")
    path.write_text(json.dumps(data))
    assert f"{SIDECAR}: is not what was written" in refusal(root)


def test_sizes_are_capped(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_cache, "LARGEST_FILE", 100)
    assert "is larger than 100 bytes" in refusal(root)


def test_timings_come_back_and_are_guarded_alike(root: Path) -> None:
    assert read_timings(root, "timings-x") == b""
    write_timings(root, "timings-x", b"measured")
    assert read_timings(root, "timings-x") == b"measured"
    (root / "timings-x").chmod(0o666)
    with pytest.raises(InputError, match="can be written by other users"):
        read_timings(root, "timings-x")


def test_the_place_is_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere/cache")
    assert default_root() == Path("/somewhere/cache/vla_rl_nodes/engines")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/person")
    assert default_root() == Path("/home/person/.cache/vla_rl_nodes/engines")


def test_a_cache_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written") as caught, draft(tmp_path / "file"):
        pass
    assert "\n" not in str(caught.value)
