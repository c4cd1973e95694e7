"""Whether a file that a robot sent is the episode that its manifest promises.

Runs as a process of its own beside the learner (``python -m``): whatever is in a file, reading it
neither holds up other robots nor takes the learner down.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import tempfile
from pathlib import Path

from vla_rl_nodes.bags.manifest import Manifest
from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.bags.writer import CONTRACT_ATTACHMENT
from vla_rl_nodes.contract.load import LARGEST_FILE, load_yaml
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.records import CONTRACT_KEY, KIND_KEY, ROBOT_KEY

_REMEDY = "send the episode as its recorder closed it"
_MEMORY = 8 << 30  # bytes of addresses, far above what a chunk of a real bag takes


def check_episode(file: Path, manifest: Manifest) -> None:
    """Reads a whole MCAP file and compares it with its manifest.

    Checked are the file's SHA-256 and size, every CRC in it, its episode, robot, outcome,
    contract and number of messages, and that the contract that it carries has the hash it names.

    Args:
        file: named ``*.mcap``.
        manifest: as it was offered; its metadata names the robot and the contract.

    Raises:
        InputError: the first thing that is wrong, in one line.
    """
    place = f"episode {manifest.episode_id}"
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != manifest.sha256 or file.stat().st_size != manifest.size:
        raise InputError(
            place, f"came with sha256 {found[:12]}, not {manifest.sha256[:12]}", "send it again"
        )
    try:
        reader = EpisodeReader(file)
    except InputError as error:
        raise InputError(place, f"is no intact bag: {error.problem}", _REMEDY) from error
    inside = reader.metadata
    for key, wanted in (
        ("episode_id", manifest.episode_id),
        ("outcome", manifest.outcome),
        *((key, manifest.metadata.get(key)) for key in (KIND_KEY, ROBOT_KEY, CONTRACT_KEY)),
    ):
        if inside.get(key) != wanted:
            raise InputError(
                place, f"says {key} '{str(inside.get(key))[:80]}', not '{wanted}'", _REMEDY
            )
    counts = {name: topic.count for name, topic in reader.topics.items()}
    if counts != {name: t.messages for name, t in manifest.topics.items() if t.messages}:
        raise InputError(place, "holds other messages than its manifest counts", _REMEDY)
    contract = carried_contract(reader, place)
    if contract.sha256 != manifest.metadata[CONTRACT_KEY]:
        raise InputError(
            place, f"carries contract {contract.sha256[:12]}, not the one that it names", _REMEDY
        )


def carried_contract(reader: EpisodeReader, place: str) -> Contract:
    """The contract that a bag was recorded with, from the bag itself.

    Raises:
        InputError: it carries none, or none that can be read.
    """
    text = reader.attachments.get(CONTRACT_ATTACHMENT, b"")
    if not text or len(text) > LARGEST_FILE:
        raise InputError(place, "carries no contract", _REMEDY)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / CONTRACT_ATTACHMENT
        path.write_bytes(text)
        try:
            return load_yaml(path, Contract)
        except InputError as error:
            raise InputError(
                place, f"carries a contract that cannot be read: {error.problem}", _REMEDY
            ) from error


def main() -> None:
    """Checks files as they are named on stdin, one JSON object a line, until stdin ends.

    In: ``{"file": path, "manifest": text}``. Out: ``null``, or the parts of an InputError.
    """
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    for line in sys.stdin:
        task = json.loads(line)
        try:
            check_episode(Path(task["file"]), Manifest.model_validate_json(task["manifest"]))
            answer = None
        except InputError as error:
            answer = [error.place, error.problem, error.remedy]
        except (MemoryError, RecursionError) as error:
            answer = ["episode", f"cannot be read ({type(error).__name__})", _REMEDY]
        try:
            print(json.dumps(answer), flush=True)
        except BrokenPipeError:  # whoever asked has died
            os._exit(1)  # a usual exit would flush the pipe once more


if __name__ == "__main__":
    main()
