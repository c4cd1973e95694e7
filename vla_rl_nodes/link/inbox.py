"""Stored episodes on their way to the episode store: each once, whatever is killed meanwhile.

The store refuses the same episode twice, so a row is settled only after the store has it; killed
in between, the next run appends it again and is told that it is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.blobs import Blobs
from vla_rl_nodes.link.episode_check import carried_contract
from vla_rl_nodes.link.records import Episode, Records
from vla_rl_nodes.link.recovery import damage
from vla_rl_nodes.replay.convert import build_episode
from vla_rl_nodes.replay.episode import EpisodeData

_LOOK_S = 0.5
_LONGEST_REASON = 500


class Store(Protocol):
    """What the inbox needs of an episode store."""

    def append(self, episode: EpisodeData) -> bool:
        """Commits an episode; False where it is there already."""


class Inbox:
    """Converts what waits and appends it.

    Args:
        folder: the learner's.
        records: its database.
        store: that takes the episodes.
        log: told one line per episode.
    """

    def __init__(
        self, folder: Path, records: Records, store: Store, log: Callable[[str], None]
    ) -> None:
        self._blobs, self._records, self._store, self._log = Blobs(folder), records, store, log

    def take_in(self) -> int:
        """Settles every episode that waits, oldest first, and says how many those were.

        An episode that cannot be converted, or that the store does not take, stays where it is,
        marked with the reason.

        Raises:
            InputError: the database or a disk failed; the episode goes on waiting.
        """
        rows = self._records.waiting()
        for row in rows:
            self._take(row)
        return len(rows)

    def _take(self, row: Episode) -> None:
        name = f"episode {row.robot}/{row.id}"
        try:
            episode = self._converted(row)
        except InputError as error:
            self._refuse(row, name, str(error))
            return
        except (ArithmeticError, LookupError, TypeError, ValueError, MemoryError) as error:
            self._refuse(row, name, f"{name}: cannot be converted ({type(error).__name__})")
            return
        try:
            new = self._store.append(episode)
        except InputError as error:
            if isinstance(error.__cause__, OSError):
                raise
            self._refuse(row, name, str(error))
            return
        self._records.settle(row.robot, row.id, "done")
        self._log(f"{name} in the store: {episode.header.steps} steps{'' if new else ', again'}")

    def _refuse(self, row: Episode, name: str, reason: str) -> None:
        self._records.settle(row.robot, row.id, "refused", reason[:_LONGEST_REASON])
        self._log(f"{name} not in the store: {reason}")

    def _converted(self, row: Episode) -> EpisodeData:
        problem = damage(self._blobs, row)
        if problem is not None:
            raise InputError(f"episode {row.id}", problem, "restore the learner's folder")
        bag = self._blobs.episode(row.robot, row.id)
        contract = carried_contract(EpisodeReader(bag), f"episode {row.id}")
        return build_episode(bag, contract)


def run_inbox(inbox: Inbox) -> None:
    """Takes episodes in as they come, until a disk fails.

    Raises:
        InputError: see :meth:`Inbox.take_in`; open store and database again.
    """
    while True:
        if not inbox.take_in():
            time.sleep(_LOOK_S)
