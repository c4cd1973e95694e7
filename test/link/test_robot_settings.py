"""robot.yaml is read strictly, and the shipped example is a good one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.robot_settings import Bundles, Disk, Upload, load_robot_settings
from vla_rl_nodes.resources import resource

GOOD: dict[str, Any] = {
    "robot": "fr3", "learner": "https://learner.example:8443",
    "certificates": {"authority": "ca.crt", "certificate": "/keys/r.crt", "key": "~/r.key"},
    "bags": "bags", "state": "state",
}  # fmt: skip


def load(folder: Path, **changes: Any) -> Any:
    path = folder / "robot.yaml"
    path.write_text(json.dumps({**GOOD, **changes}))
    return load_robot_settings(path)


def test_paths_count_from_the_file(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.bags == tmp_path / "bags" and settings.ledger.parent == tmp_path / "state"
    assert settings.certificates.authority == tmp_path / "ca.crt"
    assert settings.certificates.certificate == Path("/keys/r.crt")
    assert settings.certificates.key == Path.home() / "r.key"
    assert settings.bundles.take == "never"


def test_the_example_shows_the_defaults() -> None:
    settings = load_robot_settings(resource("config/link/robot.yaml"))
    assert settings.upload == Upload() and settings.disk == Disk()
    assert settings.bundles == Bundles()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"learner": "http://learner.example:8443"}, "learner: is no address of a learner; write"),
        ({"learner": "https://user@learner.example"}, "is no address"),
        ({"learner": "https://learner.example/v1"}, "is no address"),
        ({"learner": "https://learner.example:99999"}, "is no address"),
        ({"learner": "https://"}, "is no address"),
        ({"robot": "../fr3"}, "robot: "),
        ({"state": "bags/state"}, "state lies in the folder of the bags"),
        ({"state": "bags"}, "state lies in the folder of the bags"),
        ({"bundles": {"take": "always"}}, "bundles.take: "),
        ({"bundles": {"takes": "auto"}}, "did you mean 'take'"),
        ({"upload": {"bytes_per_s": -1}}, "upload.bytes_per_s: "),
        ({"upload": {"patience_s": 0}}, "upload.patience_s: "),
        ({"disk": {"keep_bytes": "10 GB"}}, "disk.keep_bytes: "),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, changes: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError, match=line) as caught:
        load(tmp_path, **changes)
    assert "\n" not in str(caught.value)
