"""What became of a device in trouble: was it said, was the robot held, was it given back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.bench.people.deeds import Line
from vla_rl_nodes.contract.decode import stamp_ns
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.demo.measure import measure_episode
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.limits import load_limits

STATUS = "intervention/status"
LOST = "lost"
STOPPING_S = 0.5  # from the word that the device is lost until the arm has to be at rest
AT_REST_RAD_S = 0.02
# From the trouble until it has to be said; a frozen device needs the time of its own rule.
SAY_WITHIN_S = {"unplugged": 0.75, "frozen": 2.0, "noisy": 1.0, "nan": 0.5}


@dataclass(frozen=True)
class TroubleVerdict:
    """What became of one trouble; times in s.

    Attributes:
        kind: of the trouble.
        outcome: of the episode.
        said_after_s: from the trouble until ``intervention/status`` said so; None where it never
            did.
        said: in its words.
        held_speed: the fastest joint from :data:`STOPPING_S` after that until the robot was given
            back or taken again, rad/s; None where there was no such time.
        back_after_s: from the end of the trouble until the state was no longer lost; None where
            the episode ended before.
        violations: of the robot's limits in the whole episode.
        faults: what is not as it must be, in words.
    """

    kind: str
    outcome: str
    said_after_s: float | None
    said: str
    held_speed: float | None
    back_after_s: float | None
    violations: dict[str, int]
    faults: tuple[str, ...]

    def figures(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "faults": list(self.faults)}


def judge_trouble(bag: Path, contract: Contract, lines: Sequence[Line]) -> TroubleVerdict | None:
    """The verdict of one episode's bag; None where no trouble came in it.

    Args:
        bag: a closed bag's folder.
        contract: of the episode.
        lines: what the person noted of the episode.

    Raises:
        InputError: the bag is damaged, not closed, or of another contract.
    """
    begun = next((line for line in lines if line.what == "trouble"), None)
    if begun is None:
        return None
    over = next((line.at_ns for line in lines if line.what == "trouble_over"), None)
    measured = measure_episode(
        bag, contract, load_robot(contract.robot), load_limits(contract.name)
    )
    states = _states(bag)
    lost = next(((at, why) for at, what, why in states
                 if what == LOST and at >= begun.at_ns), None)  # fmt: skip
    said_after = held = back_after = None
    said, faults = "", []
    counts = measured.limits.counts
    if lost is None:
        faults.append("nobody said that the device is lost")
    else:
        said_after, said = (lost[0] - begun.at_ns) / 1e9, lost[1]
        if said_after > SAY_WITHIN_S[begun.why]:
            faults.append(f"it took {said_after:.2f} s to say that the device is lost")
        back = next((at for at, what, _ in states if at > lost[0] and what != LOST), None)
        if back is not None and over is not None:
            back_after = (back - over) / 1e9
        start_ns = _start_ns(bag)
        until_s = np.inf if back is None else (back - start_ns) / 1e9
        motion = measured.limits.measured
        there = (motion.times_s >= (lost[0] - start_ns) / 1e9 + STOPPING_S) & (
            motion.times_s < min(until_s, measured.duration_s)
        )
        if there.any():
            held = float(np.abs(motion.velocities[there]).max())
            if not held < AT_REST_RAD_S:
                faults.append(f"the arm went on at {held:.3f} rad/s")
    if counts:
        faults.append("limits were violated: " + ", ".join(f"{k} {v}" for k, v in counts.items()))
    return TroubleVerdict(
        begun.why, measured.outcome, said_after, said, held, back_after, counts, tuple(faults)
    )


def _states(bag: Path) -> list[tuple[int, str, str]]:
    """Time, state and reason of each ``intervention/status``, in order of publication."""
    reader = EpisodeReader(bag)
    topic = next((name for name in reader.topics if name.endswith(f"/{STATUS}")), None)
    found = []
    for entry in reader.messages(topic) if topic is not None else ():
        for status in entry.message.status[:1]:
            reason = next((v.value for v in status.values if v.key == "reason"), "")
            found.append((entry.publish_time_ns, status.message, reason))
    return sorted(found)


def _start_ns(bag: Path) -> int:
    """When the episode began to run."""
    reader = EpisodeReader(bag)
    topic = next(name for name in reader.topics if name.endswith("/episode/state"))
    episode = reader.metadata.get("episode_id")
    for entry in reader.messages(topic):
        for status in entry.message.status[:1]:
            ids = [value.value for value in status.values if value.key == "episode_id"]
            if status.message == "running" and episode in ids:
                return stamp_ns(entry.message)
    return 0
