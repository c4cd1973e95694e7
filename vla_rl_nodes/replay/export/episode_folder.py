"""The folder of an episode that was not converted from a bag."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.episode import (
    HEADER,
    EpisodeData,
    LayoutError,
    header_bytes,
    load_episode,
    npy_bytes,
)


def write_episode(episode: EpisodeData, out_dir: Path) -> Path:
    """Writes ``<out_dir>/<episode id>/`` as ``convert`` does: whole or not at all, and not again.

    Raises:
        InputError: the folder exists with other content or cannot be written.
    """
    folder = out_dir / episode.header.episode_id
    if folder.exists():
        return _same(folder, episode)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".importing-", dir=out_dir))
        try:
            for name, array in episode.transitions.arrays().items():
                (temporary / f"{name}.npy").write_bytes(npy_bytes(array))
            (temporary / HEADER).write_bytes(header_bytes(episode.header))
            load_episode(temporary)  # what is written here can be read by everyone
            temporary.chmod(0o755)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        if folder.exists():  # another import was faster
            return _same(folder, episode)
        reason = (error.strerror or "input/output error").lower()
        raise InputError(
            folder, f"cannot be written ({reason})", "free space or choose another folder"
        ) from error
    return folder


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
