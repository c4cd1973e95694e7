"""Commands through the safety filter without a robot behind it: an open loop.

The filter is armed where the bag's arm stood before its first tick, and from then on follows its
own commands: its reference is the sum of what it has accepted, not where the recorded arm went.
Its measurements are its own plan, of an arm that follows without error and feels no force, whose
driver, wrench, emergency stop and enabling switch never fall silent. So whatever trips, trips
because of what was commanded. With the recorded joints instead, a policy that goes elsewhere than
the recorded one would be stopped for a tracking error that no arm would have had. What the
recorded surroundings did (``NOT_REPLAYED``) is told from the record alone.

What a person or the reset commanded is replayed as it was recorded, residuals too.
"""

from __future__ import annotations

from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from operator import or_
from statistics import median_low

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.decode import named_vector, stamp_ns
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.run_bag_record import REFERENCE, Heard, Record
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.filter import SafetyFilter
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.output import FilterOutput
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.state import Instant, Source, State

Array = NDArray[np.float64]
NOT_REPLAYED = reduce(or_, (
    Reason.STALE_STATE, Reason.FUTURE_STAMP, Reason.TRACKING_ERROR, Reason.TICK_OVERRUN,
    Reason.WRENCH, Reason.CLOCK_JUMP, Reason.E_STOP, Reason.DEADMAN, Reason.NOT_ARMED,
    Reason.DISARMED,
))  # fmt: skip
_USUAL_LATENCY_NS = 1_000_000  # of a command, where none is recorded
_STOPPED = (State.STOPPED, State.FAULTED, State.STOPPING)


@dataclass(frozen=True)
class Stop:
    """Where the filter stopped for good: the tick's row, and why."""

    row: int
    reasons: Reason
    message: str


@dataclass(frozen=True)
class Filtered:
    """What the filter made of the commands at the ticks [T].

    Attributes:
        executed: what it accepted [T, A], NaN rows where nothing.
        reasons: uint32 [T], bit mask of ``Reason``.
        reference_names: of the target's components [R].
        drift: how far its target was from the recorded one [T, R], NaN where none was recorded.
        stop: where it stopped, None where it went on to the end.
    """

    executed: Array
    reasons: NDArray[np.uint32]
    reference_names: tuple[str, ...]
    drift: Array
    stop: Stop | None


class _Body:
    """The arm of an open loop: it is where it was commanded to be."""

    def __init__(self, record: Record, robot: Robot, limits: SafetyLimits) -> None:
        self.q: Array = record.joints.copy()
        self._robot, self._limits = robot, limits

    def measured(self, safety: SafetyFilter, at: Instant) -> None:
        """Tells the filter of everything that it watches."""
        safety.measured(at.ros_ns, at, self._robot.joints, self.q.tolist())
        if self._limits.wrench is not None:
            safety.wrench(at.ros_ns, at, np.zeros(3), np.zeros(3))
        if self._limits.body is not None:
            safety.body(at.ros_ns, at, np.array([0.0, 0.0, 1.0]))
        if self._limits.e_stop_timeout_s is not None:
            safety.e_stop(False, at)
        if self._limits.deadman_timeout_s is not None:
            safety.deadman(True, at)

    def follow(self, output: FilterOutput) -> None:
        """Goes where it is commanded; a base's joints stay."""
        if output.q_command is not None and len(output.q_command) == len(self.q):
            self.q = output.q_command.copy()


def run_filter(
    record: Record, actions: Array, contract: Contract, robot: Robot, limits: SafetyLimits
) -> Filtered:
    """Sends a policy's actions, and the recorded commands of others, through a new filter.

    Args:
        record: of the bag.
        actions: of the policy at its ticks [T, A], NaN rows where none.
        contract: action layout and rates.
        robot: of that contract.
        limits: what is allowed.

    Raises:
        InputError: the filter cannot be armed where the recorded arm began.
    """
    period = round(1e9 / contract.rates.filter_hz)
    safety = SafetyFilter(robot, Kinematics(robot), contract, limits)
    body = _Body(record, robot, limits)
    inputs = _inputs(record, actions, contract)
    first = record.stamps_ns[0]
    # The last of the filter's ticks before the policy's first.
    begin = record.filter_phase_ns + (first - record.filter_phase_ns) // period * period - period
    end = record.stamps_ns[-1] + contract.period_ns
    start = Instant(begin, begin)
    body.measured(safety, start)
    try:
        safety.arm(start, body.q, record.gripper_width)
    except InputError as error:
        raise InputError(
            record.place, f"the filter cannot be armed where its arm began: {error.problem}",
            "give the limits that it was recorded with",
        ) from error  # fmt: skip
    names = safety.reference_names
    rows = {at: row for row, at in enumerate(record.stamps_ns)}
    executed = np.full(actions.shape, np.nan)
    reasons = np.zeros(len(rows), dtype=np.uint32)
    targets = np.full((len(rows), len(names)), np.nan)
    stop, row, given = None, 0, 0
    for at in range(begin + period, end, period):
        now = Instant(at, at)
        while row + 1 < len(rows) and record.stamps_ns[row + 1] <= at:
            row += 1
        body.measured(safety, now)
        while given < len(inputs) and inputs[given].arrival_ns <= at:
            _hand(safety, inputs[given])
            given += 1
        output = safety.tick(now)
        body.follow(output)
        accepted = output.executed
        bits = output.reasons | output.cause | (NONE if accepted is None else accepted.reasons)
        of = rows.get(accepted.stamp_ns, row) if accepted is not None else row
        reasons[of] |= int(bits)
        if accepted is not None and accepted.stamp_ns in rows:
            executed[of] = accepted.values
        if accepted is not None and output.reference is not None:
            targets[of] = output.reference
        if stop is None and output.state in _STOPPED:
            stop = Stop(row, output.cause, "; ".join(output.messages))
    recorded = _recorded_targets(record, names, contract.period_ns)
    return Filtered(executed, reasons, names, targets - recorded, stop)


@dataclass(frozen=True)
class _Command:
    topic: str
    arrival_ns: int
    stamp_ns: int
    names: tuple[str, ...]
    values: Array


def _inputs(record: Record, actions: Array, contract: Contract) -> list[Heard | _Command]:
    """What the filter hears, in order of arrival: the policy's actions, and the record's rest."""
    latency = record.latency_ns
    usual = median_low(latency.values()) if latency else _USUAL_LATENCY_NS
    names = contract.action.names
    policy = [
        _Command(
            f"{Source.POLICY}/command", stamp + latency.get(stamp, usual), stamp, names, values
        )
        for stamp, values in zip(record.stamps_ns, actions, strict=True)
        if np.isfinite(values).all()
    ]
    begin = record.stamps_ns[0] - contract.period_ns
    others = [h for h in record.heard if h.topic not in (f"{Source.POLICY}/command", REFERENCE)]
    # What is switched on when the episode begins is heard at its beginning.
    before = {h.topic: h for h in others if h.arrival_ns < begin and h.topic.endswith("/active")}
    kept = [*before.values(), *(h for h in others if h.arrival_ns >= begin)]
    inputs: list[Heard | _Command] = [*kept, *policy]
    return sorted(inputs, key=lambda heard: heard.arrival_ns)  # stable: the residual first


def _hand(safety: SafetyFilter, heard: Heard | _Command) -> None:
    arrival = Instant(heard.arrival_ns, heard.arrival_ns)
    source, _, what = heard.topic.partition("/")
    if isinstance(heard, _Command):
        safety.command(Source.POLICY, heard.stamp_ns, arrival, heard.names, heard.values.tolist())
    elif what == "active":
        safety.engage(Source(source), bool(heard.message.data), arrival)
    else:
        at, names, values = stamp_ns(heard.message), heard.message.name, heard.message.position
        if what == "residual":
            safety.residual(at, arrival, names, values)
        else:
            safety.command(Source(source), at, arrival, names, values)


def _recorded_targets(record: Record, names: tuple[str, ...], period_ns: int) -> Array:
    """The first target that the recorded filter told in the period after a tick began [T, R]."""
    targets = np.full((len(record.stamps_ns), len(names)), np.nan)
    told: dict[int, Array] = {}
    for heard in record.heard:
        if heard.topic == REFERENCE:
            with suppress(InputError):  # as the policy refused it
                told[stamp_ns(heard.message)] = named_vector(heard.message, names, REFERENCE)
    stamps = sorted(told)
    for row, at in enumerate(record.stamps_ns):
        index = bisect_left(stamps, at)
        if index < len(stamps) and stamps[index] < at + period_ns:
            targets[row] = told[stamps[index]]
    return targets
