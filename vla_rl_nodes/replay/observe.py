"""Observations rebuilt from a bag by the code that builds them live, and compared by hash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any

from numpy.typing import NDArray

from vla_rl_nodes.contract.align import newest_at_or_before
from vla_rl_nodes.contract.decode import stamp_ns
from vla_rl_nodes.contract.observation import (
    Observation,
    assemble,
    digest,
    sample,
    source_sample,
)
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.columns import sample_columns
from vla_rl_nodes.replay.recording import Recording
from vla_rl_nodes.replay.steps import Tick


class Match(IntEnum):
    """Whether a rebuilt observation has the hash that the policy recorded."""

    DIFFERS = 0
    EQUAL = 1
    NO_HASH = 2


class Unbuilt(Enum):
    """Why a tick has no observation."""

    NOT_BUILT_LIVE = "not_built_live"
    NOT_RECORDED = "sample_not_recorded"
    FUTURE = "sample_after_tick"


@dataclass(frozen=True)
class Rebuilt:
    """The observation of one tick.

    ``rule_differs``: the alignment rule over all samples of the bag would have chosen another
    one for some stream, since live a sample may arrive after the tick that it was captured before.
    """

    observation: Observation
    match: Match
    rule_differs: bool


class StreamSamples:
    """The valid samples of one stream by capture stamp; of two with one stamp the first counts,
    as in the live buffer."""

    def __init__(self) -> None:
        self._values: dict[int, NDArray[Any]] = {}
        self._stamps: list[int] | None = None

    def add(self, stamp: int, value: NDArray[Any]) -> bool:
        """Keeps a sample; False when its stamp is there already."""
        if stamp in self._values:
            return False
        self._values[stamp] = value
        self._stamps = None
        return True

    def at(self, stamp: int) -> NDArray[Any] | None:
        """The sample captured exactly then."""
        return self._values.get(stamp)

    @property
    def stamps(self) -> Sequence[int]:
        """Capture stamps in ascending order, nanoseconds."""
        if self._stamps is None:
            self._stamps = sorted(self._values)
        return self._stamps

    def newest(self, at_ns: int, max_age_ns: int) -> int | None:
        """The stamp that the alignment rule chooses for a time, or None."""
        index = newest_at_or_before(self.stamps, at_ns, max_age_ns)
        return None if index is None else self.stamps[index]


def read_samples(recording: Recording, contract: Contract) -> dict[str, StreamSamples]:
    """The samples of every stream; messages that break the contract are counted as refused."""
    streams: dict[str, StreamSamples] = {}
    for stream in contract.streams:
        samples = streams[stream.key] = StreamSamples()
        columns = recording.columns.get(stream.topic)
        together = None if columns is None else sample_columns(stream, columns)
        if together is not None:
            for stamp, value, valid in zip(*together, strict=True):
                if not valid or not samples.add(stamp, value):
                    recording.refused[stream.topic] += 1
            continue
        make = source_sample if stream.topic in recording.from_source else sample
        for message in recording.messages[stream.topic]:
            try:
                kept = samples.add(stamp_ns(message), make(stream, message))
            except InputError:
                kept = False
            if not kept:
                recording.refused[stream.topic] += 1
    return streams


def rebuild(
    contract: Contract, streams: dict[str, StreamSamples], tick: Tick
) -> Rebuilt | Unbuilt:
    """The observation that the policy built at a tick, from the stamps that it recorded."""
    values: dict[str, NDArray[Any]] = {}
    differs = False
    for stream in contract.streams:
        stamp = tick.sample_stamps_ns.get(stream.key)
        if stamp is None:
            return Unbuilt.NOT_BUILT_LIVE
        if stamp > tick.stamp_ns:
            return Unbuilt.FUTURE
        value = streams[stream.key].at(stamp)
        if value is None:
            return Unbuilt.NOT_RECORDED
        values[stream.key] = value
        differs |= streams[stream.key].newest(tick.stamp_ns, stream.max_age_ns) != stamp
    observation = assemble(contract, values)
    if tick.observation_sha256 is None:
        return Rebuilt(observation, Match.NO_HASH, differs)
    equal = digest(observation) == tick.observation_sha256
    return Rebuilt(observation, Match.EQUAL if equal else Match.DIFFERS, differs)


def by_rule(
    contract: Contract, streams: dict[str, StreamSamples], at_ns: int
) -> Observation | None:
    """The observation that the alignment rule alone gives at a time, or None."""
    values: dict[str, NDArray[Any]] = {}
    for stream in contract.streams:
        stamp = streams[stream.key].newest(at_ns, stream.max_age_ns)
        value = None if stamp is None else streams[stream.key].at(stamp)
        if value is None:
            return None
        values[stream.key] = value
    return assemble(contract, values)
