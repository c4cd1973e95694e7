"""The contract of the episodes with help: the shipped one, with more time."""

from __future__ import annotations

from pathlib import Path

import yaml

from vla_rl_nodes.contract.load import load_contract, named_file, read_yaml
from vla_rl_nodes.errors import InputError


def with_time_limit(name: str, seconds: float, folder: Path) -> Path:
    """Writes a shipped contract with another time limit, which is no part of its hash: policies
    and bags of one are policies and bags of the other.

    Args:
        name: of the shipped contract.
        seconds: the new limit of an episode.
        folder: made when it does not exist.

    Returns:
        The file's absolute path.

    Raises:
        InputError: no such contract, or the folder cannot be written.
    """
    data = read_yaml(named_file("contracts", name))
    data["episode"]["time_limit_s"] = seconds
    path = folder.absolute() / f"{name}.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise InputError(path, f"cannot be written ({error})", "choose another folder") from error
    if load_contract(path).sha256 != load_contract(name).sha256:
        raise InputError(path, "has another hash than the shipped contract", "report this")
    return path
