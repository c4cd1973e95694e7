"""Whose bundles this machine accepts: the public keys in one folder, and nobody else's."""

from __future__ import annotations

from pathlib import Path

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.resources import resource


def trusted_keys(folder: Path | None = None) -> list[Path]:
    """The public key files (``*.pub``) of a folder; None for the keys that are shipped.

    Raises:
        InputError: the folder holds no key, so that no bundle could be accepted.
    """
    place = resource("config/keys") if folder is None else folder.expanduser()
    keys = sorted(place.glob("*.pub"))
    if not keys:
        raise InputError(place, "holds no *.pub key", "put the trusted public keys there")
    return keys
