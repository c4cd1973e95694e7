"""Episodes on a disk: appended whole and durably, read while they grow."""

from __future__ import annotations

import json
import mmap
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from vla_rl_nodes.bags.manifest import Count
from vla_rl_nodes.closable import Closable
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.episode import (
    FIELDS,
    EpisodeData,
    EpisodeHeader,
    Transitions,
    content_sha256,
)
from vla_rl_nodes.replay.store import journal, segments
from vla_rl_nodes.replay.store.journal import REMEDY
from vla_rl_nodes.replay.store.lock import JOURNAL, WriterLock
from vla_rl_nodes.replay.store.schema import Schema, check_fits, flags_of, rows_of, schema_of
from vla_rl_nodes.replay.store.segments import write_all


class StoredEpisode(BaseModel):
    """A committed episode.

    Attributes:
        row: of its first step; its T+1 rows are consecutive, the last one is that of the last
            observation.
        header: as it was converted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    row: Count
    header: EpisodeHeader

    @property
    def steps(self) -> int:
        """T."""
        return self.header.steps


@dataclass(frozen=True)
class Rows:
    """The committed rows, as read-only arrays over the files.

    Attributes:
        flags: uint64 [N], see ``schema.flags_of``.
        record: the narrow arrays, a structured array [N].
        wide: the others by name, [N, ...].
    """

    flags: NDArray[np.uint64]
    record: NDArray[np.void]
    wide: dict[str, NDArray[Any]]

    def column(self, name: str) -> NDArray[Any]:
        """One array over all rows."""
        return self.wide[name] if name in self.wide else self.record[name]


def is_store(folder: Path) -> bool:
    """Whether a folder is a store of episodes."""
    return (folder / JOURNAL).is_file()


class EpisodeStore(Closable):
    """A folder of episodes with the same arrays.

    A store is made from replay folders and can be made again from them. One process writes it;
    any number may read it meanwhile and see what is committed when they :meth:`refresh`. In one
    process it may be appended to in one thread and read in others.

    Args:
        folder: of the store; a writer makes it when it does not exist.
        writable: whether episodes are to be appended.

    Attributes:
        folder: of the store.
        torn_bytes: of the journal, that were no whole record when it was opened: what a killed
            writer, or a disk that lost power, left of an episode that was not committed.

    Raises:
        InputError: no store, another writer is at work, or the store is damaged.
    """

    def __init__(self, folder: Path, writable: bool = False) -> None:
        self.folder = folder
        self.torn_bytes = 0
        self._journal = folder / JOURNAL
        self._change = threading.RLock()
        self._lock = WriterLock(folder) if writable else None
        self._schema: Schema | None = None
        self._segments: segments.Segments | None = None
        self._episodes: list[StoredEpisode] = []
        self._by_id: dict[str, StoredEpisode] = {}
        self._rows: Rows | None = None
        self._steps = 0
        self._end = 0  # of the committed part of the journal
        self._broken = False
        try:
            self._catch_up()
            self.torn_bytes = self._journal.stat().st_size - self._end
            if writable and self.torn_bytes:
                os.truncate(self._journal, self._end)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Lets another writer in; arrays that were handed out stay."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __len__(self) -> int:
        """Committed steps."""
        return self._steps

    @property
    def episodes(self) -> Sequence[StoredEpisode]:
        """The committed episodes in the order in which they came; it grows with the store."""
        return self._episodes

    @property
    def schema(self) -> Schema:
        """What all episodes have in common.

        Raises:
            InputError: the store is empty.
        """
        if self._schema is None:
            raise InputError(self.folder, "holds no episode", "append one first")
        return self._schema

    @property
    def rows(self) -> Rows:
        """All committed rows.

        Raises:
            InputError: the store is empty.
        """
        if self._rows is None:
            raise InputError(self.folder, "holds no episode", "append one first")
        return self._rows

    def find(self, episode_id: str) -> StoredEpisode | None:
        """A committed episode, or None."""
        return self._by_id.get(episode_id)

    def refresh(self) -> int:
        """Takes in what another process has committed since; how many episodes that were.

        Raises:
            InputError: the journal or a segment is damaged.
        """
        if self._lock is not None:
            return 0
        try:
            size = self._journal.stat().st_size
        except OSError as error:
            raise InputError(self._journal, "is gone", REMEDY) from error
        return 0 if size == self._end else self._catch_up()

    def append(self, episode: EpisodeData) -> bool:
        """Commits an episode: when this returns, it is on the disk; otherwise it is not there.

        Args:
            episode: complete; its arrays must fit the store's and its own hash.

        Returns:
            False where it is stored already.

        Raises:
            InputError: another content under the same id, arrays unlike the store's or unlike
                their hash, a store that was opened to be read, or a disk that is full or fails.
        """
        with self._change:
            if self._lock is None or self._broken:
                problem = "has failed" if self._broken else "was opened to be read"
                raise InputError(self.folder, problem, "open it as a writer")
            header = episode.header
            held = self.find(header.episode_id)
            if held is not None:
                if held.header.content_sha256 == header.content_sha256:
                    return False
                raise InputError(
                    f"episode {header.episode_id}",
                    f"is in {self.folder} with other content",
                    "keep that, or make the store again from its replay folders",
                )
            schema = self._schema or schema_of(episode, mmap.PAGESIZE)
            check_fits(schema, episode)
            found = content_sha256(episode.transitions.arrays(), header.critiques)
            if found != header.content_sha256:
                raise InputError(
                    f"episode {header.episode_id}",
                    "has other arrays or critiques than its content_sha256 says",
                    "convert the episode's bag again",
                )
            self._commit(schema, episode)
            return True

    def episode(self, episode_id: str) -> EpisodeData:
        """A committed episode as it was appended, checked against its hash.

        Raises:
            InputError: unknown, or damaged on the disk.
        """
        stored = self.find(episode_id)
        if stored is None:
            raise InputError(
                f"episode {episode_id}", f"is not in {self.folder}", "append it first"
            )
        arrays = self._arrays(stored)
        flags = self.rows.flags[stored.row : stored.row + stored.steps + 1]
        found = content_sha256(arrays, stored.header.critiques)
        whole = found == stored.header.content_sha256
        if not whole or not np.array_equal(flags, flags_of(self.schema, arrays)):
            assert self._segments is not None
            raise InputError(
                self._segments.path(stored.row), f"holds episode {episode_id} damaged", REMEDY
            )
        named: dict[str, Any] = {n: arrays.pop(n) for n in FIELDS if n in arrays}
        named.setdefault("privileged", None)
        return EpisodeData(stored.header, Transitions(observations=arrays, **named))

    def verify(self) -> list[str]:
        """Reads everything that is committed; one line for each damaged episode."""
        damage = []
        for stored in tuple(self._episodes):
            try:
                self.episode(stored.header.episode_id)
            except InputError as error:
                damage.append(str(error))
        return damage

    def _arrays(self, stored: StoredEpisode) -> dict[str, NDArray[Any]]:
        first = stored.row
        return {
            name: self.rows.column(name)[
                first : first + stored.steps + (field.per == "observation")
            ].copy()
            for name, field in self.schema.fields.items()
        }

    def _commit(self, schema: Schema, episode: EpisodeData) -> None:
        number = len(self._episodes) + 1
        row = self._next_row()
        header = episode.header
        stored = StoredEpisode(row=row, header=header)
        data = journal.encode(number, _json(stored))
        if number == 1:
            data = journal.encode(0, _json(schema)) + data
        held = self._segments or segments.Segments(self.folder / segments.FOLDER, schema)
        try:
            held.write(row, rows_of(schema, episode))
            held.arrays(row + stored.steps + 1)  # what is committed can be read
            self._write_record(data)
        except OSError as error:
            reason = (error.strerror or "input/output error").lower()
            raise InputError(
                self.folder, f"cannot be written ({reason}), {header.episode_id} is not stored",
                "free space and append it again",
            ) from error  # fmt: skip
        self._end += len(data)
        self._schema, self._segments = schema, held
        self._take_in([stored])

    def _write_record(self, data: bytes) -> None:
        descriptor = os.open(self._journal, os.O_RDWR | os.O_CLOEXEC)
        try:
            try:
                write_all(descriptor, memoryview(data), self._end)
                os.fsync(descriptor)
            except OSError:
                self._broken = True  # until it is clear that no part of it will be read again
                os.ftruncate(descriptor, self._end)
                os.fsync(descriptor)
                self._broken = False
                raise
        finally:
            os.close(descriptor)

    def _catch_up(self) -> int:
        """Reads the journal from where it was read before."""
        with self._change:
            count = len(self._episodes)
            begun = 0 if not count else count + 1
            payloads, end = journal.read_records(self._journal, self._end, begun)
            if not begun:
                if len(payloads) < 2:
                    return 0  # a schema alone binds nobody
                self._schema = cast("Schema", self._parse(Schema, payloads.pop(0)))
                self._segments = segments.Segments(self.folder / segments.FOLDER, self._schema)
            new = [cast("StoredEpisode", self._parse(StoredEpisode, p)) for p in payloads]
            row = self._next_row()
            for stored in new:
                if stored.row != row or stored.header.episode_id in self._by_id:
                    raise InputError(
                        self._journal,
                        f"has episode {stored.header.episode_id} in a wrong place",
                        REMEDY,
                    )
                row += stored.steps + 1
            self._take_in(new)
            self._end = end
            return len(new)

    def _take_in(self, new: Sequence[StoredEpisode]) -> None:
        """Makes committed episodes visible: the rows first, then the episodes that name them."""
        if not new:
            return
        assert self._segments is not None
        arrays = self._segments.arrays(new[-1].row + new[-1].steps + 1)
        flags, record = arrays.pop("flags"), arrays.pop("record")
        self._rows = Rows(flags, record, arrays)
        for stored in new:
            self._by_id[stored.header.episode_id] = stored
            self._steps += stored.steps
            self._episodes.append(stored)

    def _next_row(self) -> int:
        if not self._episodes:
            return 0
        return self._episodes[-1].row + self._episodes[-1].steps + 1

    def _parse(self, model: type[BaseModel], payload: bytes) -> BaseModel:
        try:
            return model.model_validate_json(payload)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(str(part) for part in first["loc"]) or "a record"
            raise InputError(
                self._journal, f"{key}: {first['msg'].lower()}", "read it with the version that"
                " wrote it, or " + REMEDY,
            ) from error  # fmt: skip


def _json(model: BaseModel) -> bytes:
    text = json.dumps(model.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return text.encode()
