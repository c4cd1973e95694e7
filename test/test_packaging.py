"""What the package needs, what the lock file pins and what the README installs are the same."""

from __future__ import annotations

import re
from importlib.metadata import requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = requires("vla_rl_nodes") or []


def needed(*extras: str) -> set[str]:
    """Names of the packages that the package needs, with some of its extras."""
    found = set()
    for line in OURS:
        extra = re.search(r"""extra == ['"](\w+)['"]""", line)
        if extra is None or extra[1] in extras:
            found.add(plain(re.split(r"[\s;<>=!~\[]", line)[0]))
    return found


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_readme_installs_for_colcon_what_the_nodes_need() -> None:
    text = (ROOT / "README.md").read_text()
    command = re.search(r"pip install -c src/\S+ (.*?)\ncolcon build", text, re.DOTALL)
    assert command is not None
    given = {plain(word.strip('"').split("<")[0]) for word in command[1].replace("\\", "").split()}
    assert given == needed("sim") | {"setuptools", "colcon-common-extensions"}


@pytest.mark.parametrize("extra", ["", "ros", "sim", "learner", "dev"])
def test_everything_is_pinned(extra: str) -> None:
    pins = (ROOT / "requirements.lock").read_text()
    pinned = {plain(name) for name in re.findall(r"^([\w.-]+)==", pins, re.MULTILINE)}
    assert needed(extra) - pinned == set()
