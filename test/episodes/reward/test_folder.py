"""Folders of reward models: what is written, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from vla_rl_nodes.episodes.reward.folder import load_reward_model
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.signing import create_key, public_path

from .models import CONTRACT, folder, loaded, model_bytes

pytestmark = pytest.mark.learner
KIND = "success_classifier"


def test_what_was_written_is_read(tmp_path: Path, key_path: Path) -> None:
    model = loaded(tmp_path / "m", KIND, key_path)
    assert model.model == model_bytes(KIND)
    assert model.source == f"{KIND}/bright_{KIND}@{model.manifest.version}"
    assert len(model.signed_by) == 16
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"]  # no draft is left


def test_the_same_model_gives_the_same_bytes(tmp_path: Path, key_path: Path) -> None:
    for name in ("a", "b"):
        folder(tmp_path / name, KIND, key_path)
    for file in ("model.onnx", "manifest.json", "manifest.sig"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_folder_that_is_there_is_kept(tmp_path: Path, key_path: Path) -> None:
    (tmp_path / "m").mkdir()
    with pytest.raises(InputError, match="is there already"):
        folder(tmp_path / "m", KIND, key_path)


def test_unsigned_is_refused_unless_allowed(tmp_path: Path, key_path: Path) -> None:
    path, keys = folder(tmp_path / "m", KIND, None), [public_path(key_path)]
    with pytest.raises(InputError, match=r"manifest\.sig: is missing"):
        load_reward_model(path, CONTRACT, keys)
    assert load_reward_model(path, CONTRACT, keys, allow_unsigned=True).signed_by == ""


def test_a_wrong_signature_is_refused_even_where_none_is_needed(
    tmp_path: Path, key_path: Path
) -> None:
    other = tmp_path / "other.pem"
    create_key(other)
    path = folder(tmp_path / "m", KIND, other)
    for allow in (False, True):
        with pytest.raises(InputError, match="is not trusted"):
            load_reward_model(path, CONTRACT, [public_path(key_path)], allow)


def test_a_changed_threshold_is_found(tmp_path: Path, key_path: Path) -> None:
    path = folder(tmp_path / "m", KIND, key_path)
    said = json.loads((path / "manifest.json").read_bytes())
    said["threshold"] = 0.01
    (path / "manifest.json").write_text(json.dumps(said, sort_keys=True, indent=2) + "\n")
    with pytest.raises(InputError, match="does not fit the manifest"):
        load_reward_model(path, CONTRACT, [public_path(key_path)])


def test_a_changed_model_is_found(tmp_path: Path, key_path: Path) -> None:
    path = folder(tmp_path / "m", KIND, key_path)
    data = bytearray((path / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (path / "model.onnx").write_bytes(bytes(data))
    with pytest.raises(InputError, match="is not the file that was signed"):
        load_reward_model(path, CONTRACT, [public_path(key_path)])


@pytest.mark.parametrize("what", ["more", "link", "pipe", "gone", "long"])
def test_other_files_are_refused(tmp_path: Path, key_path: Path, what: str) -> None:
    path = folder(tmp_path / "m", KIND, key_path)
    model = path / "model.onnx"
    if what == "more":
        (path / "weights.bin").write_bytes(b"x")
    elif what == "long":
        model.write_bytes(model.read_bytes() + b"x")
    else:
        model.rename(tmp_path / "model.onnx")
        if what == "link":
            model.symlink_to(tmp_path / "model.onnx")
        elif what == "pipe":
            os.mkfifo(model)
    with pytest.raises(InputError):
        load_reward_model(path, CONTRACT, [public_path(key_path)])


def test_no_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no reward model's folder"):
        load_reward_model(tmp_path / "none", CONTRACT, [])
