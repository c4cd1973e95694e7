"""What stands beside a step: its chunk, the filter's reasons, privileged state and critiques."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.align import newest_at_or_before
from vla_rl_nodes.contract.decode import named_vector, stamp_ns
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.critique import NO_STEP, Critique, that_fit
from vla_rl_nodes.replay.outcome import Won, judged_step
from vla_rl_nodes.replay.recording import (
    POLICY_CHUNK,
    REWARD_STATUS,
    SAFETY_STATUS,
    SIM_STATE,
    Recording,
)
from vla_rl_nodes.safety.reasons import Reason


def chunks_at(
    recording: Recording, contract: Contract, stamps_ns: Sequence[int]
) -> NDArray[np.float32]:
    """The chunks whose first action belongs to a tick, float32 [T, H, A], NaN where none does.

    Args:
        recording: the bag's messages; chunks of another shape, with values that are not finite
            or with a stamp that another one had are counted in its ``refused``.
        contract: gives the axes A and the chunk length H.
        stamps_ns: the ticks [T].
    """
    names, length = contract.action.names, contract.action.chunk_length
    chunks = np.full((len(stamps_ns), length, len(names)), np.nan, dtype=np.float32)
    where = {stamp: row for row, stamp in enumerate(stamps_ns)}
    found: set[int] = set()
    for message in recording.messages[POLICY_CHUNK]:
        row = where.get(stamp_ns(message))
        if row is None:
            continue
        given = list(message.joint_names)
        try:
            order = [given.index(name) for name in names]
            values = np.array([point.positions for point in message.points], dtype=np.float64)
            whole = values.shape == (length, len(given)) and len(set(given)) == len(given)
        except ValueError:  # an axis is missing, or rows have different lengths
            whole = False
        if not whole or row in found or not np.isfinite(values[:, order]).all():
            recording.refused[POLICY_CHUNK] += 1
            continue
        chunks[row] = values[:, order]
        found.add(row)
    return chunks


def reasons_at(recording: Recording, stamps_ns: Sequence[int]) -> NDArray[np.uint32]:
    """Why the filter changed or refused an action, a bit mask of ``Reason`` for each step.

    A status about an accepted command names the command's tick and counts for it; another one,
    such as a refusal or a stop, counts for the step during which it was published.

    Args:
        recording: the bag's messages.
        stamps_ns: the steps' stamps [T+1], ascending.

    Raises:
        InputError: a reason that this version does not know.
    """
    masks = np.zeros(len(stamps_ns) - 1, dtype=np.uint32)
    where = {stamp: row for row, stamp in enumerate(stamps_ns[:-1])}
    for event in recording.events(SAFETY_STATUS):
        bits = _mask(event.values.get("reasons", ""))
        tick = event.whole_number("command_stamp", SAFETY_STATUS, 64)
        if tick is None:
            row = bisect_right(stamps_ns, event.stamp_ns) - 1
            if 0 <= row < len(masks):
                masks[row] |= bits
        elif tick in where:
            masks[where[tick]] |= bits
    return masks


def by_policy(recording: Recording, stamps_ns: Sequence[int]) -> NDArray[np.bool_]:
    """Steps in which the filter says that the policy's command was executed, bool [T].

    At a take-over a person's command may carry the stamp of a tick whose own command has been
    executed already; the filter then refuses the person's.

    Args:
        recording: the bag's messages.
        stamps_ns: the ticks [T].
    """
    told = {
        event.whole_number("command_stamp", SAFETY_STATUS, 64)
        for event in recording.events(SAFETY_STATUS)
        if event.values.get("source") == "policy"
    }
    return np.array([stamp in told for stamp in stamps_ns], dtype=np.bool_)


def _mask(names: str) -> int:
    mask = Reason(0)
    for name in filter(None, (part.strip() for part in names.split(","))):
        try:
            mask |= Reason[name.upper()]
        except KeyError as error:
            raise InputError(
                SAFETY_STATUS,
                f"gives the unknown reason '{name}'",
                "convert the bag with the version that recorded it",
            ) from error
    return int(mask)


def privileged_at(
    recording: Recording, contract: Contract, stamps_ns: Sequence[int]
) -> tuple[NDArray[np.float64], list[str]] | None:
    """The simulator's state at each tick, float64 [T, P], and its names; None without any.

    The newest state at or before the tick, no older than the oldest sample that the contract
    allows; NaN where there is none.
    """
    states: dict[int, NDArray[np.float64]] = {}
    names: list[str] = []
    for message in recording.messages[SIM_STATE]:
        names = names or list(message.name)
        try:
            states[stamp_ns(message)] = named_vector(message, names, SIM_STATE)
        except InputError:
            recording.refused[SIM_STATE] += 1
    if not states:
        return None
    stamps = sorted(states)
    oldest = max(stream.max_age_ns for stream in contract.streams)
    rows = np.full((len(stamps_ns), len(names)), np.nan, dtype=np.float64)
    for row, at in enumerate(stamps_ns):
        index = newest_at_or_before(stamps, at, oldest)
        if index is not None:
            rows[row] = states[stamps[index]]
    return rows, names


def critiques_at(
    recording: Recording, stamps_ns: Sequence[int], won: Won, breaks: Collection[int]
) -> tuple[list[Critique], int]:
    """What judges said in words, in the order of steps and stamps, and how many had no room.

    A critique goes to the step that a reward with its stamp would go to. One that judged no step
    is kept all the same.

    Args:
        recording: the bag's messages; a critique without its words or its source, or with a code
            that is no number of 64 bits, is counted in its ``refused``.
        stamps_ns: the steps' stamps [T+1], ascending.
        won: see :func:`vla_rl_nodes.replay.outcome.read_won`.
        breaks: rows that stand for a stretch in which the episode was held.
    """
    found = []
    for event in recording.events(REWARD_STATUS):
        values = event.values
        if event.message != "critique" or values.get("episode_id") != recording.episode_id:
            continue
        step = judged_step(stamps_ns, event.stamp_ns, won)
        try:
            found.append(
                Critique(
                    step=NO_STEP if step in breaks else step,
                    stamp_ns=event.stamp_ns,
                    source=values["source"],
                    text=values["critique"],
                    code=event.whole_number("critique_code", REWARD_STATUS, 64),
                )
            )
        except (InputError, KeyError):
            recording.refused[REWARD_STATUS] += 1
    kept = that_fit(found)
    return sorted(kept, key=lambda c: (c.step, c.stamp_ns)), len(found) - len(kept)
