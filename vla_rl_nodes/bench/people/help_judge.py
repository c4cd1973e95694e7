"""Holds an episode's bag against what the scripted person did in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vla_rl_nodes.bench.people.deeds import Help
from vla_rl_nodes.bench.people.help_record import NEVER, Actions, Evidence, Flags

# A hand on the cap later than this before the end may be too late to be executed at all.
TICKS_TO_BE_SEEN = 3
AFTER_LETTING_GO_NS = 1_000_000_000  # an intervention can begin while the cap springs back
SAME = 1e-6  # of two float32 actions, in their units


@dataclass(frozen=True)
class Verdict:
    """One episode, judged.

    Attributes:
        steps: control ticks that became transitions.
        intervened: those with an action of the person.
        complete: those of them with proposed, human and executed action.
        takeover_ticks: of each take-over: from the device's first message of it to the first
            command of the person that the filter executed, in control ticks.
        takeover_ticks_in_bag: the same from the device's message in the bag.
        handback_ticks: of each hand-back: control ticks without any action until the policy's.
        release_s: of each hand-back: from when the hand was off the cap until then.
        expected: interventions that the person made.
        recorded: interventions in the converted episode.
        too_late: take-overs so near the end that nothing of them could be executed, and was not.
        jerks: commanded jerks and leaps beyond the robot's limit.
        faults: what is not as it must be, in words.
    """

    steps: int
    intervened: int
    complete: int
    takeover_ticks: tuple[float, ...]
    takeover_ticks_in_bag: tuple[float, ...]
    handback_ticks: tuple[int, ...]
    release_s: tuple[float, ...]
    expected: int
    recorded: int
    too_late: int
    jerks: int
    faults: tuple[str, ...]


def judge(evidence: Evidence, done: Sequence[Help]) -> Verdict:
    """What the bag shows of the times that he helped, and what it does not."""
    faults: list[str] = []
    his, complete = _his(evidence, faults)
    starts = [int(row) for row in np.flatnonzero(evidence.starts)]
    takeovers, in_bag = [], []
    expected = too_late = 0
    for help_ in done:
        felt = help_.felt_ns
        if felt is None:
            continue  # let go before the device felt it: nothing was asked for
        row = _start_of(evidence, help_, starts)
        if row is None:
            if int((evidence.stamps_ns >= felt).sum()) < TICKS_TO_BE_SEEN:
                too_late += 1
                continue
            expected += 1
            faults.append(f"the take-over at {_when(evidence, felt)} is not in the bag")
            continue
        starts.remove(row)
        expected += 1
        first = _first_executed(evidence, his, row)
        if first is None:
            faults.append(f"nothing of the take-over at {_when(evidence, felt)} was executed")
            continue
        accepted = int(evidence.accepted_ns[first])
        takeovers.append((accepted - felt) / evidence.period_ns)
        said = _said(evidence, felt, accepted)
        if said is None:
            faults.append(f"the bag lacks the device's push at {_when(evidence, felt)}")
        else:
            in_bag.append((accepted - said) / evidence.period_ns)
    faults += [
        f"an intervention begins at {_when(evidence, int(evidence.stamps_ns[row]))} that nobody"
        " made"
        for row in starts
    ]
    if evidence.jerks:
        faults.append(
            f"{evidence.jerks} commanded jerks beyond the limit,"
            f" {evidence.jerks_at_hand_over} of them at hand-overs"
        )
    held, released = _hand_backs(evidence, done)
    return Verdict(
        steps=len(evidence.stamps_ns),
        intervened=int(evidence.intervened.sum()),
        complete=complete,
        takeover_ticks=tuple(takeovers),
        takeover_ticks_in_bag=tuple(in_bag),
        handback_ticks=held,
        release_s=released,
        expected=expected,
        recorded=int(evidence.starts.sum()),
        too_late=too_late,
        jerks=evidence.jerks,
        faults=tuple(faults),
    )


def _his(evidence: Evidence, faults: list[str]) -> tuple[Flags, int]:
    """The steps at which the person's action was executed, and how many have all three."""
    there = evidence.intervened
    proposed, human, executed = (
        np.isfinite(actions).all(axis=1)
        for actions in (evidence.proposed, evidence.human, evidence.executed)
    )
    for what, has in (("proposed", proposed), ("human", human), ("executed", executed)):
        lacking = int((there & ~has).sum())
        if lacking:
            faults.append(f"{lacking} intervened steps have no {what} action")
    same = _same(evidence.executed, evidence.human)
    others: Flags = there & human & executed & ~same & ~evidence.changed
    if others.any():
        faults.append(
            f"at {int(others.sum())} intervened steps something else than the person's action was"
            " executed, without a reason"
        )
    return there & executed & ~others, int((there & proposed & human & executed).sum())


def _same(one: Actions, other: Actions) -> Flags:
    return np.asarray((np.abs(one - other) <= SAME).all(axis=1), dtype=np.bool_)


def _start_of(evidence: Evidence, help_: Help, starts: Sequence[int]) -> int | None:
    """The recorded intervention that began while he helped."""
    assert help_.felt_ns is not None
    last = evidence.end_ns if help_.let_go_ns is None else help_.let_go_ns + AFTER_LETTING_GO_NS
    return next((row for row in starts if help_.felt_ns <= evidence.stamps_ns[row] <= last), None)


def _first_executed(evidence: Evidence, his: Flags, start: int) -> int | None:
    """The first step of an intervention at which the person's action was executed."""
    ends = np.flatnonzero(evidence.ends[start:])
    stop = start + int(ends[0]) + 1 if len(ends) else len(evidence.stamps_ns)
    rows = np.flatnonzero(his[start:stop] & (evidence.accepted_ns[start:stop] != NEVER))
    return start + int(rows[0]) if len(rows) else None


def _said(evidence: Evidence, felt_ns: int, accepted_ns: int) -> int | None:
    """When the device's first message of a push came, as the bag has it."""
    # The same message on its way: it is never in the bag before it was sent.
    rows = np.flatnonzero((evidence.device_ns >= felt_ns) & (evidence.device_ns <= accepted_ns))
    return int(evidence.device_ns[rows[0]]) if len(rows) else None


def _hand_backs(
    evidence: Evidence, done: Sequence[Help]
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Ticks without an action behind each intervention, and the time since the hand was off."""
    acted: Flags = np.asarray(np.isfinite(evidence.executed).all(axis=1), dtype=np.bool_)
    held, released = [], []
    for row in np.flatnonzero(evidence.ends):
        others = np.flatnonzero(acted[row + 1 :] & ~evidence.intervened[row + 1 :])
        if not len(others):
            continue  # the episode ended under his hand
        held.append(int(others[0]))
        back = int(evidence.stamps_ns[row + 1 + int(others[0])])
        gone = [h.let_go_ns for h in done if h.let_go_ns is not None and h.let_go_ns <= back]
        if gone:
            released.append((back - max(gone)) / 1e9)
    return tuple(held), tuple(released)


def _when(evidence: Evidence, at_ns: int) -> str:
    return f"{(at_ns - int(evidence.stamps_ns[0])) / 1e9:.2f} s"
