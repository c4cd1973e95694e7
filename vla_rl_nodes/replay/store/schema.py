"""What every episode of a store has in common, and how a step of it becomes a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vla_rl_nodes.bags.manifest import Count, Sha256
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.episode import EpisodeData, EpisodeHeader

STEP = np.uint64(1 << 62)
FOLLOWED = np.uint64(1 << 63)
_MOST_FLOATS = 62  # the other bits of a row's flags
_WIDE_BYTES = 4096  # from here on an array has a column of its own
_KINDS = "biuf"
_APART = "keep each kind of episode in a store of its own"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ArrayKind(_Strict):
    """One array of an episode.

    Attributes:
        dtype: NumPy's name with byte order, such as ``<f4``.
        shape: of one row.
        per: whether there is a row for each of the T steps or for each of the T+1 observations.
    """

    dtype: str
    shape: list[Count]
    per: Literal["step", "observation"]


class Schema(_Strict):
    """Fixed by a store's first episode.

    Attributes:
        contract_sha256: what an observation, an action and a step are.
        policy_hz: control ticks in a second.
        privileged_names: the columns of the array ``privileged``.
        rows: of a segment; a multiple of the page size.
        fields: the arrays by name.
    """

    store: Literal[1] = 1
    contract_sha256: Sha256
    policy_hz: Annotated[int, Field(ge=1)]
    privileged_names: list[str]
    rows: Annotated[int, Field(ge=1)]
    fields: dict[str, ArrayKind]

    @property
    def wide(self) -> list[str]:
        """The arrays, such as images, that have a column of their own."""
        return [name for name, field in self.fields.items() if _row_bytes(field) >= _WIDE_BYTES]

    @property
    def record(self) -> np.dtype[np.void]:
        """All other arrays side by side, so that a step costs one access and not one for each."""
        wide = set(self.wide)
        narrow = [(n, f.dtype, tuple(f.shape)) for n, f in self.fields.items() if n not in wide]
        narrow.sort(key=lambda entry: -np.dtype(entry[1]).itemsize)  # stable: no padding between
        return np.dtype(narrow, align=True)

    def find(self, name: str) -> ArrayKind:
        """One of the arrays.

        Raises:
            InputError: there is no such array.
        """
        if name not in self.fields:
            known = ", ".join(self.fields)
            raise InputError(f"array '{name}'", "is not in the store", f"give one of {known}")
        return self.fields[name]

    def bit(self, name: str) -> np.uint64:
        """The flag of rows in which an array is finite; none of an array that always is."""
        floats = self._floats()
        return np.uint64(1 << floats.index(name)) if name in floats else np.uint64(0)

    def _floats(self) -> list[str]:
        return [name for name, field in self.fields.items() if field.dtype[1] == "f"]


def schema_of(episode: EpisodeData, rows: int) -> Schema:
    """The schema of a store whose first episode this is.

    Raises:
        InputError: an array that holds neither numbers nor flags, or has another number of rows
            than the episode has steps or observations.
    """
    header = episode.header
    fields = {
        name: _field(header, name, array)
        for name, array in sorted(episode.transitions.arrays().items())
    }
    schema = Schema(
        contract_sha256=header.contract_sha256, policy_hz=header.policy_hz,
        privileged_names=header.privileged_names, rows=rows, fields=fields,
    )  # fmt: skip
    if len(schema._floats()) > _MOST_FLOATS:
        raise InputError(
            f"episode {header.episode_id}", f"has more than {_MOST_FLOATS} float arrays", _APART
        )
    return schema


def check_fits(schema: Schema, episode: EpisodeData) -> None:
    """Compares an episode with the store's schema.

    Raises:
        InputError: in one line, the first field that differs.
    """
    header = episode.header
    for name in ("contract_sha256", "policy_hz", "privileged_names"):
        wanted, given = getattr(schema, name), getattr(header, name)
        if wanted != given:
            raise InputError(
                f"episode {header.episode_id}",
                f"{name} is {_short(given)}, the store's is {_short(wanted)}",
                _APART,
            )
    arrays = episode.transitions.arrays()
    for name in sorted(set(schema.fields) | set(arrays)):
        field = schema.fields.get(name)
        if field is None or name not in arrays:
            problem = "has an array" if field is None else "lacks the array"
            raise InputError(
                f"episode {header.episode_id}", f"{problem} '{name}' unlike the store", _APART
            )
        found = _field(header, name, arrays[name])
        if found != field:
            raise InputError(
                f"episode {header.episode_id}",
                f"array '{name}' is {found.dtype}{found.shape} for each {found.per}, the store's"
                f" is {field.dtype}{field.shape} for each {field.per}",
                _APART,
            )


def rows_of(schema: Schema, episode: EpisodeData) -> dict[str, NDArray[Any]]:
    """The T+1 rows of an episode that fits: ``flags``, ``record`` and the wide arrays.

    The last row is that of the last observation; what a step alone has is zero there. So the next
    observation of a step is the row behind it.
    """
    arrays = episode.transitions.arrays()
    steps = episode.header.steps
    columns: dict[str, NDArray[Any]] = {}
    record = np.zeros(steps + 1, dtype=schema.record)
    for name, field in schema.fields.items():
        array = arrays[name]
        if name in (record.dtype.names or ()):
            record[name][: len(array)] = array
        elif field.per == "observation":
            columns[name] = np.ascontiguousarray(array)
        else:
            columns[name] = np.concatenate([array, np.zeros_like(array[:1])])
    columns["flags"] = flags_of(schema, arrays)
    columns["record"] = record
    return columns


def flags_of(schema: Schema, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.uint64]:
    """What is there in each of the T+1 rows, uint64: a bit for each float array, and two more.

    ``STEP``: the row is a step. ``FOLLOWED``: its successor is there, which is not so where ticks
    are missing behind it, so that the step lasted for more than one and a half periods.
    """
    stamps = arrays["stamp_ns"]
    flags = np.zeros(len(stamps), dtype=np.uint64)
    flags[:-1] |= STEP
    followed = 2 * np.diff(stamps) <= 3 * round(1e9 / schema.policy_hz)
    flags[:-1] |= np.where(followed, FOLLOWED, np.uint64(0))
    for name, field in schema.fields.items():
        if field.dtype[1] == "f":
            whole = np.isfinite(arrays[name]).reshape(len(arrays[name]), -1).all(axis=1)
            flags[: len(whole)] |= np.where(whole, schema.bit(name), np.uint64(0))
    return flags


def _field(header: EpisodeHeader, name: str, array: NDArray[Any]) -> ArrayKind:
    rows: dict[int, Literal["step", "observation"]] = {
        header.steps: "step", header.steps + 1: "observation",
    }  # fmt: skip
    if array.dtype.kind not in _KINDS or array.ndim < 1 or len(array) not in rows:
        raise InputError(
            f"episode {header.episode_id}",
            f"array '{name}' is {array.dtype.str}{list(array.shape)} in an episode of"
            f" {header.steps} steps",
            "give numbers or flags for each step or observation",
        )
    return ArrayKind(dtype=array.dtype.str, shape=list(array.shape[1:]), per=rows[len(array)])


def _row_bytes(field: ArrayKind) -> int:
    return int(np.prod(field.shape, dtype=np.int64)) * np.dtype(field.dtype).itemsize


def _short(value: object) -> str:
    return str(value)[:40]
