"""The robot's bounded disk: which bags go when, and that none goes before it is stored."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from vla_rl_nodes.bags.durable import sync_folder
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.closed_episodes import closed_episode
from vla_rl_nodes.link.ledger import Entry, Ledger
from vla_rl_nodes.link.robot_settings import Disk

_PREFIX, _SUFFIX = ".", ".stored"


class DiskPolicy:
    """Keeps the bags within their bounds.

    Stored episodes are kept up to ``keep_bytes`` and then deleted, those that were stored first
    before the others. An episode that is not stored is never deleted: above ``max_bytes`` of
    them the bridge says so, and the recorder has to stop.

    Args:
        bags: folder of the recorder.
        ledger: says what is stored.
        settings: the bounds.
    """

    def __init__(self, bags: Path, ledger: Ledger, settings: Disk) -> None:
        self._bags, self._ledger, self._settings = bags, ledger, settings

    def sweep(self) -> None:
        """Removes what an earlier run had begun to delete: it had been stored before."""
        if self._bags.is_dir():
            for folder in self._bags.glob(f"{_PREFIX}*{_SUFFIX}"):
                shutil.rmtree(folder, ignore_errors=True)

    def delete_surplus(self) -> dict[str, str]:
        """Deletes stored episodes above ``keep_bytes``.

        Returns:
            By folder, one line for each that is not what was stored and is therefore kept.
        """
        kept: dict[str, str] = {}
        surplus = self._ledger.totals().stored_bytes - self._settings.keep_bytes
        if surplus <= 0:
            return kept
        for entry in self._ledger.stored():
            if surplus <= 0:
                break
            try:
                self._delete(entry)
                surplus -= entry.size
            except InputError as error:
                kept[entry.folder] = str(error)
        return kept

    def _delete(self, entry: Entry) -> None:
        folder = self._bags / entry.folder
        manifest = closed_episode(folder).manifest
        if (manifest.episode_id, manifest.sha256) != (entry.id, entry.sha256):
            raise InputError(folder, "is not the episode that was stored", "look at its manifest")
        # The name says that it was stored, so a kill in between leaves nothing in doubt.
        leaving = self._bags / f"{_PREFIX}{entry.folder}{_SUFFIX}"
        try:
            if leaving.exists():
                shutil.rmtree(leaving)
            os.rename(folder, leaving)
            sync_folder(self._bags)
            self._ledger.deleted(entry)
            shutil.rmtree(leaving)
        except OSError as error:
            reason = (error.strerror or "failed").lower()
            raise InputError(
                folder, f"cannot be deleted ({reason})", "check the rights of the folder"
            ) from error
