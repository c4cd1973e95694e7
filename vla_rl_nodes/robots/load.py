"""Finds and validates a robot's description by name or path."""

from __future__ import annotations

from pathlib import Path

from vla_rl_nodes.contract.load import load_yaml, named_file
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.resources import resource
from vla_rl_nodes.robots.model import Robot


def load_robot(name_or_path: str | Path) -> Robot:
    """A robot by the name of a shipped file (``fr3``, ``ur5e``, ``go2``) or by path.

    Its ``urdf`` comes back as an absolute path. In the file it is absolute, or relative to the
    file's folder, or the path of a packaged file such as ``urdf/fr3.urdf``.

    Raises:
        InputError: the file is missing or wrong, or its URDF is not there.
    """
    path = named_file("robots", name_or_path)
    robot = load_yaml(path, Robot)
    return robot.model_copy(update={"urdf": str(_find_urdf(path, robot.urdf))})


def _find_urdf(path: Path, urdf: str) -> Path:
    written = Path(urdf).expanduser()
    beside = path.resolve().parent / written  # an absolute path stays as it is
    if beside.is_file():
        return beside
    if written.is_absolute():
        raise InputError(f"{path}: urdf", f"{urdf} is not a file", "correct the path")
    try:
        return resource(urdf)
    except InputError as error:
        raise InputError(
            f"{path}: urdf",
            f"{urdf} is neither beside this file nor packaged",
            "correct the path",
        ) from error
