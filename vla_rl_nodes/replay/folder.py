"""An episode's folder, written whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.episode import (
    HEADER,
    EpisodeData,
    LayoutError,
    header_bytes,
    load_episode,
)
from vla_rl_nodes.replay.npy import npy_parts


def write_episode(episode: EpisodeData, out_dir: Path) -> Path:
    """Writes ``<out_dir>/<episode id>/``: ``episode.json`` and one .npy per array.

    The folder appears whole or not at all. Where it exists with the same content nothing is
    written, so that a conversion or an import may be repeated at will.

    Args:
        episode: its content.
        out_dir: made when it does not exist.

    Returns:
        The episode's folder.

    Raises:
        InputError: the folder exists with other content or cannot be written.
    """
    folder = out_dir / episode.header.episode_id
    if folder.exists():
        return _same(folder, episode)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=out_dir))
        try:
            for name, array in episode.transitions.arrays().items():
                _write(temporary / f"{name}.npy", array)
            (temporary / HEADER).write_bytes(header_bytes(episode.header))
            temporary.chmod(0o755)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        if folder.exists():  # another one was faster
            return _same(folder, episode)
        reason = (error.strerror or "input/output error").lower()
        raise InputError(
            folder, f"cannot be written ({reason})", "free space or choose another folder"
        ) from error
    return folder


def _write(path: Path, array: NDArray[Any]) -> None:
    head, values = npy_parts(array)
    with path.open("wb") as file:
        file.write(head)
        file.write(values.data)


def _same(folder: Path, episode: EpisodeData) -> Path:
    try:
        equal = load_episode(folder).header == episode.header
    except LayoutError:
        raise  # its remedy is another one
    except InputError:
        equal = False  # damaged, or no episode at all
    if not equal:
        raise InputError(folder, "exists with other content", "remove it or choose another folder")
    return folder
