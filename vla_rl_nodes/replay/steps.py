"""The control ticks of an episode, and the actions that carry a tick's stamp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.decode import named_vector, stamp_ns
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.recording import POLICY_STATUS, Event, Recording

_STAMP_KEY = "stamp."
ABSENT = -1  # in whole-number fields, where the policy gave none


@dataclass(frozen=True)
class Tick:
    """One control tick as the policy reported it. Stamps in nanoseconds.

    ``sample_stamps_ns`` are the capture stamps, by stream key, of the observation that the policy
    built, empty where it could build none; ``observation_sha256`` is its hash, or None.
    """

    stamp_ns: int
    sample_stamps_ns: Mapping[str, int]
    observation_sha256: str | None
    policy_version: str
    chunk_id: int
    chunk_index: int
    delay: int
    noise_seed: int


def read_ticks(recording: Recording) -> tuple[list[Tick], int]:
    """The episode's ticks in order of their stamps, and how many came twice.

    The policy reports every tick once in ``policy/status``; the header's stamp is the tick. Of
    two reports with one stamp the first that arrived counts.

    Raises:
        InputError: a report whose values are no numbers.
    """
    ticks: dict[int, Tick] = {}
    repeated = 0
    for event in recording.events(POLICY_STATUS):
        if event.values.get("episode_id") != recording.episode_id:
            continue
        if event.stamp_ns in ticks:
            repeated += 1
            continue
        ticks[event.stamp_ns] = _tick(event)
    return [ticks[stamp] for stamp in sorted(ticks)], repeated


def _tick(event: Event) -> Tick:
    def number(key: str, bits: int = 32) -> int:
        value = event.whole_number(key, POLICY_STATUS, bits)
        return ABSENT if value is None else value

    samples: dict[str, int] = {}
    for key in event.values:
        if key.startswith(_STAMP_KEY):
            stamp = event.whole_number(key, POLICY_STATUS, 64)
            if stamp is not None:
                samples[key.removeprefix(_STAMP_KEY)] = stamp
    return Tick(
        stamp_ns=event.stamp_ns,
        sample_stamps_ns=samples,
        observation_sha256=event.values.get("observation_sha256") or None,
        policy_version=event.hardware_id,
        chunk_id=number("chunk_id"),
        chunk_index=number("chunk_index"),
        delay=number("delay"),
        noise_seed=number("noise_seed", 64),
    )


def actions_at(
    recording: Recording, topic: str, names: Sequence[str], stamps_ns: Sequence[int]
) -> NDArray[np.float32]:
    """The action vectors on a topic whose header stamp equals a tick's, float32 [T, A].

    A row is NaN where no valid vector has that stamp: nothing is interpolated or filled in. Of
    two with one stamp the first that arrived counts; the filter refuses the second, too.

    Args:
        recording: the bag's messages; invalid vectors are counted in its ``refused``.
        topic: relative, such as ``policy/command``.
        names: the action's axes, in order.
        stamps_ns: the ticks [T].
    """
    rows = np.full((len(stamps_ns), len(names)), np.nan, dtype=np.float32)
    where = {stamp: row for row, stamp in enumerate(stamps_ns)}
    for message in recording.messages[topic]:
        row = where.get(stamp_ns(message))
        if row is None:
            continue
        try:
            if not np.isnan(rows[row]).all():
                raise InputError(topic, "came twice with one stamp", "check for two publishers")
            rows[row] = named_vector(message, names, topic)
        except InputError:
            recording.refused[topic] += 1
    return rows
