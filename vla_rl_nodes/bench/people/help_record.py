"""What an episode's bag says of a person's help: who acted when, and how smoothly."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.contract.decode import stamp_ns
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.demo.limit_check import Violation
from vla_rl_nodes.demo.measure import measure_episode
from vla_rl_nodes.replay.convert import build_episode
from vla_rl_nodes.replay.episode import EpisodeData
from vla_rl_nodes.replay.recording import POLICY_STATUS, SAFETY_EXECUTED
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.limits import load_limits

Actions = NDArray[np.float32]
Flags = NDArray[np.bool_]
Stamps = NDArray[np.int64]

DEVICE = "intervention/device"
NEVER = -1  # in accepted_ns
# Around a hand-over: the command before it, and longer than any blend after it.
BEFORE_NS, AFTER_NS = 100_000_000, 600_000_000
JERKS = ("jerk", "seam")  # what the arm's controller feels as a jerk


@dataclass(frozen=True)
class Evidence:
    """One episode of T control ticks, from its bag alone; times in ns on the nodes' clock.

    Attributes:
        episode_id: of the bag.
        seed: of the episode.
        outcome: success, failure, timeout or aborted, with its reason.
        reason: in words.
        ticks: of the policy in the episode; those that the bag cannot rebuild made no step.
        period_ns: of the control ticks.
        end_ns: when it was over.
        stamps_ns: of the ticks [T].
        proposed: the policy's actions [T, A], NaN rows where there is none; so are the next two.
        human: the person's.
        executed: what the filter accepted.
        intervened: the ticks with an action of the person [T].
        starts: the first tick of each intervention [T].
        ends: the last one of each [T].
        changed: the ticks at which the filter gave a reason to execute something else [T].
        accepted_ns: when the filter published what it executed [T]; :data:`NEVER` where nothing.
        device_ns: when the device said that it was pushed [M], as the bag has it.
        violations: of the robot's limits, by source and quantity.
        commands_missing: commands to the arm that the filter made and the bag does not hold.
        jerks: commanded jerks and leaps beyond the limit.
        jerks_at_hand_over: those of them around the ends of interventions.
    """

    episode_id: str
    seed: int
    outcome: str
    reason: str
    ticks: int
    period_ns: int
    end_ns: int
    stamps_ns: Stamps
    proposed: Actions
    human: Actions
    executed: Actions
    intervened: Flags
    starts: Flags
    ends: Flags
    changed: Flags
    accepted_ns: Stamps
    device_ns: Stamps
    violations: dict[str, int]
    commands_missing: int
    jerks: int
    jerks_at_hand_over: int


def read_evidence(bag: Path, contract: Contract) -> Evidence:
    """Converts a bag and measures its motion.

    Raises:
        InputError: the bag is damaged, not closed, of another contract or without a step.
    """
    converted = build_episode(bag, contract)
    steps = converted.transitions
    measured = measure_episode(
        bag, contract, load_robot(contract.robot), load_limits(contract.name)
    )
    stamps, end_ns = steps.stamp_ns[:-1], int(steps.stamp_ns[-1])
    accepted, device = _published(bag, stamps)
    jerks = [v for v in measured.limits.violations if _is_jerk(v)]
    start_ns = end_ns - round(measured.duration_s * 1e9)
    return Evidence(
        episode_id=converted.header.episode_id,
        seed=-1 if converted.header.seed is None else converted.header.seed,
        outcome=converted.header.outcome,
        reason=converted.header.reason,
        ticks=converted.header.counts["ticks"] - converted.header.counts["after_end"],
        period_ns=contract.period_ns,
        end_ns=end_ns,
        stamps_ns=stamps,
        proposed=steps.action_proposed,
        human=steps.action_intervention,
        executed=steps.action_executed,
        intervened=steps.intervened,
        starts=steps.intervention_start,
        ends=steps.intervention_end,
        changed=steps.safety_reasons != 0,
        accepted_ns=accepted,
        device_ns=device,
        violations=dict(Counter(f"{v.source} {v.quantity}" for v in measured.limits.violations)),
        commands_missing=measured.limits.missing,
        jerks=len(jerks),
        jerks_at_hand_over=_at_hand_overs(converted, jerks, start_ns),
    )


def _is_jerk(violation: Violation) -> bool:
    return violation.source == "commanded" and violation.quantity in JERKS


def _at_hand_overs(episode: EpisodeData, jerks: list[Violation], start_ns: int) -> int:
    steps = episode.transitions
    rows = np.flatnonzero(steps.intervention_start | steps.intervention_end)
    turns = steps.stamp_ns[:-1][rows]
    count = 0
    for jerk in jerks:
        at = start_ns + round(jerk.time_s * 1e9)
        count += bool(((turns - BEFORE_NS <= at) & (at <= turns + AFTER_NS)).any())
    return count


def _published(bag: Path, stamps: Stamps) -> tuple[Stamps, Stamps]:
    """When what was executed at each tick was published, and when the device was pushed."""
    reader = EpisodeReader(bag)
    status = next(topic for topic in reader.topics if topic.endswith(f"/{POLICY_STATUS}"))
    namespace = status.removesuffix(POLICY_STATUS)
    accepted = np.full(len(stamps), NEVER, dtype=np.int64)
    row_of = {int(stamp): row for row, stamp in enumerate(stamps)}
    if namespace + SAFETY_EXECUTED in reader.topics:
        for entry in reader.messages(namespace + SAFETY_EXECUTED):
            row = row_of.get(stamp_ns(entry.message))
            if row is not None and accepted[row] == NEVER:
                accepted[row] = entry.publish_time_ns
    pushed = []
    if namespace + DEVICE in reader.topics:
        for entry in reader.messages(namespace + DEVICE):
            if any(value != 0.0 for value in entry.message.position):
                pushed.append(stamp_ns(entry.message))
    return accepted, np.array(sorted(pushed), dtype=np.int64)
