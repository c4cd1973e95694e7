"""What the learner does with its folder before it listens, after whatever ended it last time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from vla_rl_nodes.bags.manifest import MANIFEST, Manifest
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.blobs import Blobs
from vla_rl_nodes.link.episode_check import check_episode
from vla_rl_nodes.link.records import CONTRACT_KEY, Episode, Records, robot_of


def recover(blobs: Blobs, records: Records, log: Callable[[str], None]) -> None:
    """Makes files and rows agree; the row is the truth.

    An upload goes on where its bytes ended. An episode without a row is checked from its first
    byte and gets one, or is set aside. A row whose file is gone or has another size is reported.

    Args:
        blobs: the files.
        records: the database.
        log: told one line for each thing that was found.

    Raises:
        InputError: the folder or the database cannot be used.
    """
    try:
        blobs.prepare()
        known = {(row.robot, row.id) for row in records.episodes()}
        for robot, episode_id in list(blobs.episodes()):
            if (robot, episode_id) not in known:
                _adopt(blobs, records, robot, episode_id, log)
        for row in records.episodes():
            blobs.forget(row.robot, row.id)
            problem = damage(blobs, row)
            if problem is not None:
                log(f"DAMAGE: episode {row.robot}/{row.id} {problem}")
    except OSError as error:
        reason = (error.strerror or "failed").lower()
        raise InputError(
            error.filename or blobs.folder, f"cannot be used ({reason})", "check the folder"
        ) from error


def damage(blobs: Blobs, row: Episode, whole: bool = False) -> str | None:
    """Why a stored episode's file is not what its row says; None where it is.

    Args:
        blobs: the files.
        row: of the episode.
        whole: read the file and compare its hash, not only its size.
    """
    file = stored_file(blobs, row)
    try:
        if file.stat().st_size != row.size:
            return f"has {file.stat().st_size} bytes, not {row.size}"
        if not (file.parent / MANIFEST).is_file():
            return "has no manifest"
        if whole:
            with file.open("rb") as opened:
                found = hashlib.file_digest(opened, "sha256").hexdigest()
            if found != row.sha256:
                return f"has sha256 {found[:12]}, not {row.sha256[:12]}"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({(error.strerror or 'failed').lower()})"
    return None


def stored_file(blobs: Blobs, row: Episode) -> Path:
    """The bag of a stored episode."""
    return blobs.episode(row.robot, row.id) / f"{row.id}.mcap"


def _adopt(
    blobs: Blobs, records: Records, robot: str, episode_id: str, log: Callable[[str], None]
) -> None:
    folder = blobs.episode(robot, episode_id)
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
        told = (manifest.episode_id, robot_of(manifest.metadata))
        if told != (episode_id, robot) or CONTRACT_KEY not in manifest.metadata:
            raise InputError(f"episode {episode_id}", "has another one's manifest", "look at it")
        check_episode(folder / f"{episode_id}.mcap", manifest)
    except (InputError, ValidationError, OSError) as error:
        reason = error if isinstance(error, InputError) else type(error).__name__
        place = blobs.set_aside(robot, episode_id)
        log(f"episode {robot}/{episode_id} set aside in {place}: {reason}")
        return
    records.add(robot, manifest)
    log(f"episode {robot}/{episode_id} stored: found whole, sha256 {manifest.sha256}")
