from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import yaml

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.episode import load_episode
from vla_rl_nodes.replay.export import video
from vla_rl_nodes.replay.export.command import export_command, import_command


def _options(**values: Any) -> Namespace:
    return Namespace(**({"images": None, "json": True, "mapping": None} | values))


@pytest.mark.parametrize("form", ["lerobot", "robomimic", "rlds"])
def test_every_format_is_told_in_one_object(
    form: str, folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert export_command(_options(episodes=folders, format=form, out=out)) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["out"] == str(out) and result["format"] == form and out.is_dir()
    assert result["episodes"] == 3 and result["left_out"] == []
    assert result["exported"] + result["dropped_without_action"] == result["steps"]
    again = _options(episodes=folders, format=form, out=out)
    with pytest.raises(InputError, match="exists already"):
        export_command(again)


def test_there_and_back(
    folders: list[Path], small: Contract, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_command(
        _options(episodes=folders, format="lerobot", out=tmp_path / "d", images="png", json=False)
    )
    assert "had no executed action" in capsys.readouterr().out
    contract = tmp_path / "contract.yaml"
    contract.write_text(yaml.safe_dump(small.model_dump(exclude_none=True)))
    options = _options(dataset=tmp_path / "d", out=tmp_path / "back", contract=str(contract))
    assert import_command(options) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["problems"] == []
    loaded = [load_episode(Path(name)) for name in result["episodes"]]
    assert sum(e.header.steps for e in loaded) == result["steps"] > 0


@pytest.mark.parametrize(
    ("form", "images"),
    [("rlds", "video"), ("robomimic", "jpeg"), ("lerobot", "gif"), ("csv", None)],
)
def test_wrong_options_are_one_line(
    form: str, images: str | None, folders: list[Path], tmp_path: Path
) -> None:
    options = _options(episodes=folders, format=form, out=tmp_path / "out", images=images)
    with pytest.raises(InputError, match=f"is '{images or form}'; "):
        export_command(options)
    assert list(tmp_path.iterdir()) == []


def test_video_without_pyav_says_what_is_missing(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(video.importlib, "import_module", missing)
    options = _options(episodes=folders, format="lerobot", out=tmp_path / "out", images="video")
    with pytest.raises(InputError, match="needs the package 'av', which is not installed; run"):
        export_command(options)
    assert list(tmp_path.iterdir()) == []


def test_the_robot_s_side_needs_none_of_these_packages() -> None:
    code = (
        "import sys, vla_rl_nodes.cli, vla_rl_nodes.replay.convert, vla_rl_nodes.replay.check\n"
        "import vla_rl_nodes.replay.export.command\n"
        "print({'pyarrow', 'h5py', 'google_crc32c', 'torch', 'av'} & set(sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "set()"
