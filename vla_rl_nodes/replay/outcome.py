"""How an episode ended and what it earned: outcome, reward, terminated and truncated."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.decode import named_vector, stamp_ns
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.episodes.machine import OUTCOMES, State
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.critique import NO_STEP
from vla_rl_nodes.replay.episode import NO_REWARD
from vla_rl_nodes.replay.recording import EPISODE_STATE, REWARD, Event, Recording


@dataclass(frozen=True)
class Ending:
    """The event that ended an episode; its stamp in nanoseconds is the episode's last instant.

    ``values`` are all that it says, with what the fields here repeat.
    """

    outcome: State
    stamp_ns: int
    reason: str
    seed: int | None
    task: str
    robot: str
    goal: str
    values: Mapping[str, str]


def read_ending(
    recording: Recording,
    contract: Contract,
    closed_as: str | None,
    last_tick_ns: int | None = None,
) -> Ending:
    """The first outcome that ``episode/state`` gives the episode.

    A salvaged bag may have lost it. The episode then counts as aborted at the last control tick
    that is left: what is known of it ends there, so it is truncated. Where the outcome is left, it
    counts, whatever the bag was closed with.

    Args:
        recording: the bag's messages.
        contract: must be the one that the episode was recorded with.
        closed_as: the outcome that the recorder closed the bag with, None when it gave none.
        last_tick_ns: of a salvaged bag, the last control tick that is left, nanoseconds; None in
            a bag that its recorder closed.

    Raises:
        InputError: no outcome, another one than the recorder's, or another contract.
    """
    events = [
        event
        for event in recording.events(EPISODE_STATE)
        if event.values.get("episode_id") == recording.episode_id
    ]
    outcomes = {state.value: state for state in OUTCOMES}
    end = next((event for event in events if event.message in outcomes), None)
    if end is None and last_tick_ns is not None and events:
        _check_contract(recording, events[-1], contract)
        return _ending(events[-1], State.ABORTED, last_tick_ns, "the recording was cut off")
    if end is None:
        raise InputError(
            recording.place,
            f"has no outcome of episode {recording.episode_id}",
            "record the episode until it has ended",
        )
    if closed_as is not None and closed_as != end.message and last_tick_ns is None:
        raise InputError(
            recording.place,
            f"was closed as {closed_as} but {EPISODE_STATE} says {end.message}",
            "keep it apart: its recorder and its episode node disagree",
        )
    _check_contract(recording, end, contract)
    return _ending(end, outcomes[end.message], end.stamp_ns, end.values.get("reason", ""))


def _check_contract(recording: Recording, event: Event, contract: Contract) -> None:
    recorded = event.values.get("contract_sha256", "")
    if recorded != contract.sha256:
        raise InputError(
            recording.place,
            f"was recorded with contract {recorded[:12] or 'unknown'}, not {contract.name}"
            f" {contract.sha256[:12]}",
            "give the contract that is attached to the bag",
        )


def _ending(end: Event, outcome: State, stamp_ns: int, reason: str) -> Ending:
    seed = end.whole_number("seed", EPISODE_STATE, 64)
    return Ending(
        outcome=outcome,
        stamp_ns=stamp_ns,
        reason=reason,
        seed=None if seed is None or seed < 0 else seed,  # the episode node says -1 for none
        task=end.values.get("task", ""),
        robot=end.values.get("robot", ""),
        goal=end.values.get("goal", ""),
        values=end.values,
    )


@dataclass(frozen=True)
class Won:
    """What said of an episode that it succeeded; nothing in any other one.

    Attributes:
        stamps_ns: of the rewards that said so.
        is_last: whether the last step is the one in which the outcome came; else it is lost.
    """

    stamps_ns: frozenset[int] = frozenset()
    is_last: bool = True


NOT_WON = Won()


def read_won(recording: Recording, ending: Ending, since_ns: int, is_last: bool) -> Won:
    """The rewards whose success ended an episode, or would have.

    Args:
        recording: the bag's messages.
        ending: of the episode.
        since_ns: when the policy acted again for the last time. A success before it did not
            count, or the episode would have ended there.
        is_last: see :class:`Won`.
    """
    if ending.outcome is not State.SUCCESS:
        return NOT_WON
    found = set()
    for message in recording.messages[REWARD]:
        success = dict(zip(message.name, message.position, strict=False)).get("success")
        if success == 1.0 and since_ns <= stamp_ns(message) <= ending.stamp_ns:
            found.add(stamp_ns(message))
    return Won(frozenset(found), is_last)


def judged_step(stamps_ns: Sequence[int], at_ns: int, won: Won) -> int:
    """The step that a verdict is of, by the capture stamp of what was judged; -1: of none.

    Step k has what lies in (stamp k, stamp k+1]. A success is the last step's, whenever it was
    captured: a judge takes its time, and the robot goes on until it has spoken.

    Args:
        stamps_ns: the steps' stamps [T+1], ascending.
        at_ns: the verdict's stamp.
        won: see :func:`read_won`.
    """
    if at_ns in won.stamps_ns:
        return len(stamps_ns) - 2 if won.is_last else NO_STEP
    step = bisect_left(stamps_ns, at_ns) - 1
    return step if step < len(stamps_ns) - 1 else NO_STEP


def read_rewards(
    recording: Recording, stamps_ns: Sequence[int], won: Won = NOT_WON
) -> tuple[NDArray[np.float32], NDArray[np.int32], list[str]]:
    """The reward of each step, float32 [T], who gave it, int32 [T], and the table of sources.

    Step k earns the newest reward sample in (stamp k, stamp k+1]; where there is none it is NaN,
    and its source ``NO_REWARD``. A source is the frame_id of the reward's message; the table is
    in the order of the names.

    What ended an episode in success is earned where the episode terminates: in the last step,
    however late it was said, and only there. A judge may have said it several times until the
    outcome was out; the newest counts. The step in which it was captured keeps what was said in
    it before, if that is 0. Any other reward may be part of the one that has moved, since judges
    of differences tell the sum of the step: so as not to count it twice that step has none.

    Args:
        recording: the bag's messages; invalid samples are counted in its ``refused``.
        stamps_ns: the steps' stamps [T+1], ascending.
        won: see :func:`read_won`.
    """
    samples: list[tuple[int, float, str]] = []
    for message in recording.messages[REWARD]:
        try:
            value = float(named_vector(message, ("reward",), REWARD)[0])
        except InputError:
            recording.refused[REWARD] += 1
            continue
        samples.append((stamp_ns(message), value, message.header.frame_id))
    samples.sort(key=lambda entry: entry[0])  # stable: of equal stamps the later arrival is last
    rewards = np.full(len(stamps_ns) - 1, np.nan, dtype=np.float32)
    given: list[str | None] = [None] * len(rewards)
    final: tuple[float, str] | None = None
    for stamp, value, source in samples:
        step = judged_step(stamps_ns, stamp, NOT_WON)
        if stamp in won.stamps_ns:
            final = value, source
            if step != NO_STEP and rewards[step] != 0.0:
                rewards[step], given[step] = np.nan, None
        elif step != NO_STEP:
            rewards[step], given[step] = value, source
    if final is not None and won.is_last:
        rewards[-1], given[-1] = final
    table = sorted({source for source in given if source is not None})
    index = [NO_REWARD if source is None else table.index(source) for source in given]
    return rewards, np.array(index, dtype=np.int32), table


def ends(
    outcome: State, steps: int, last_is_end: bool, breaks: Sequence[int] = ()
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Terminated and truncated, bool [T] each; at most one of them is set in a step.

    Success and failure terminate the last step. A timeout or an abort truncates it; so does the
    loss of the last step, whose successor could not be observed: the task went on behind what is
    left. A break truncates the step before it, and itself: what follows begins anew.

    Args:
        outcome: of the episode.
        steps: T, at least 1.
        last_is_end: whether the last step is the one in which the outcome came.
        breaks: rows that stand for a stretch in which the episode was held.
    """
    terminated = np.zeros(steps, dtype=np.bool_)
    truncated = np.zeros(steps, dtype=np.bool_)
    final = last_is_end and outcome in (State.SUCCESS, State.FAILURE)
    (terminated if final else truncated)[-1] = True
    for row in breaks:
        truncated[max(row - 1, 0) : row + 1] = True
    return terminated, truncated
