"""What `policy run-bag` needs of a bag: ticks, observations, actions, and how the arm began."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.bags.schemas import decode
from vla_rl_nodes.contract.decode import named_vector, stamp_ns
from vla_rl_nodes.contract.observation import Observation
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.labels import reasons_at
from vla_rl_nodes.replay.observe import Match, Rebuilt, read_samples, rebuild
from vla_rl_nodes.replay.recorded_contract import recorded_contract, refuse_other_contract
from vla_rl_nodes.replay.recording import (
    POLICY_COMMAND,
    POLICY_STATUS,
    SAFETY_EXECUTED,
    SAFETY_STATUS,
    Event,
    Recording,
    read_recording,
)
from vla_rl_nodes.replay.run_bag_timing import Reported, Timing, read_timing
from vla_rl_nodes.replay.steps import actions_at, read_ticks
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.state import Source

Array = NDArray[np.float64]
REFERENCE = "safety/reference"
_REMEDY = "give the bag of an episode with a policy running"
_VECTOR = "sensor_msgs/msg/JointState"
_TYPES = {
    **{f"{source}/command": _VECTOR for source in Source},
    "policy/residual": _VECTOR,
    REFERENCE: _VECTOR,
    **{f"{s}/active": "std_msgs/msg/Bool" for s in (Source.INTERVENTION, Source.RESET)},
}


@dataclass(frozen=True)
class Heard:
    """One message as a node heard it: its topic without the namespace, and when it arrived, ns."""

    topic: str
    arrival_ns: int
    message: Any


@dataclass(frozen=True)
class Record:
    """One bag. T ticks; stamps in nanoseconds on the node's clock.

    Attributes:
        place: the bag, as it was given.
        episode_id: of the bag.
        stamps_ns: the ticks [T].
        versions: of the policy that acted at each tick [T].
        reported: what the policy said of each tick [T].
        observations: what it saw, rebuilt [T]; None where it saw nothing or it is not recorded.
        differing: ticks whose rebuilt observation has another hash than the recorded one.
        timing: of its chunks.
        proposed: float32 [T, A], NaN rows where nothing.
        executed: float32 [T, A], NaN rows where nothing.
        reasons: uint32 [T], bit mask of ``safety.reasons.Reason``.
        heard: what else the filter heard, in order of arrival.
        joints: where the arm was measured before its first tick [n], rad.
        gripper_width: the gripper's opening then, m; 0 without a gripper.
        filter_phase_ns: a time at which the filter ticked.
    """

    place: str
    episode_id: str
    stamps_ns: list[int]
    versions: list[str]
    reported: list[Reported]
    observations: list[Observation | None]
    differing: int
    timing: Timing
    proposed: NDArray[np.float32]
    executed: NDArray[np.float32]
    reasons: NDArray[np.uint32]
    heard: list[Heard]
    joints: Array
    gripper_width: float
    filter_phase_ns: int

    @property
    def latency_ns(self) -> dict[int, int]:
        """From a command's stamp to its arrival, by stamp."""
        return {
            (at := stamp_ns(h.message)): max(h.arrival_ns - at, 0)
            for h in self.heard
            if h.topic == POLICY_COMMAND
        }


def read_record(bag: Path, contract: Contract, robot: Robot) -> Record:
    """Reads a bag and rebuilds what its policy saw.

    Args:
        bag: a closed bag, salvaged or not.
        contract: the one that it was recorded with.
        robot: of that contract.

    Raises:
        InputError: damaged, not closed, another contract, no policy, no tick, or no joint state
            from which the filter could be armed.
    """
    reader = EpisodeReader(bag)
    recording = read_recording(reader, contract)
    refuse_other_contract(recorded_contract(reader, recording), str(bag), contract)
    ticks, _ = read_ticks(recording)
    if not ticks:
        raise InputError(bag, f"holds no tick of episode {recording.episode_id}", _REMEDY)
    samples = read_samples(recording, contract)
    seen = [rebuild(contract, samples, tick) for tick in ticks]
    observations = [s.observation if isinstance(s, Rebuilt) else None for s in seen]
    if not any(s is not None for s in observations):
        raise InputError(bag, "gives no observation that its policy saw", "record it again")
    status: dict[int, Event] = {}
    for event in recording.events(POLICY_STATUS):
        status.setdefault(event.stamp_ns, event)
    reported = [Reported.of(status[tick.stamp_ns], str(bag)) for tick in ticks]
    stamps = [tick.stamp_ns for tick in ticks]
    topic = next(t for t in reader.topics if t.endswith(f"/{POLICY_STATUS}"))
    namespace = topic.removesuffix(POLICY_STATUS)
    names = contract.action.names
    joints, width = _beginning(reader, namespace, robot, stamps[0], bag)
    return Record(
        place=str(bag),
        episode_id=recording.episode_id,
        stamps_ns=stamps,
        versions=[tick.policy_version for tick in ticks],
        reported=reported,
        observations=observations,
        differing=sum(isinstance(s, Rebuilt) and s.match is Match.DIFFERS for s in seen),
        timing=read_timing(reported, [s is not None for s in observations]),
        proposed=actions_at(recording, POLICY_COMMAND, names, stamps),
        executed=actions_at(recording, SAFETY_EXECUTED, names, stamps),
        reasons=reasons_at(recording, [*stamps, stamps[-1] + contract.period_ns]),
        heard=_heard(reader, namespace, bag),
        joints=joints,
        gripper_width=width,
        filter_phase_ns=_phase(recording, round(1e9 / contract.rates.filter_hz), stamps[0]),
    )


def _heard(reader: EpisodeReader, namespace: str, bag: Path) -> list[Heard]:
    """The commands, switches and references of a bag in order of arrival."""
    found = []
    wanted = {namespace + topic: topic for topic in _TYPES}
    for raw in reader.raw([topic for topic in wanted if topic in reader.topics]):
        topic = wanted[raw.topic]
        if raw.type_name != _TYPES[topic]:
            raise InputError(
                f"{bag}: {raw.topic}", f"carries {raw.type_name}, not {_TYPES[topic]}",
                "convert it with the version that recorded it",
            )  # fmt: skip
        try:
            message = decode(raw.type_name, raw.data, raw.topic)
        except InputError:
            continue  # as the live filter never heard it
        # The recorder may have been busy; when it was published is nearer to when it was heard.
        published, logged = raw.publish_time_ns, raw.log_time_ns
        sensible = logged - 1_000_000_000 < published <= logged
        found.append(Heard(topic, published if sensible else logged, message))
    return sorted(found, key=lambda heard: heard.arrival_ns)  # stable


def _beginning(
    reader: EpisodeReader, namespace: str, robot: Robot, first_ns: int, bag: Path
) -> tuple[Array, float]:
    """Joints and gripper as they were measured last before the first tick."""
    joints = _newest(reader, namespace + robot.topics.joint_states, robot.joints, first_ns)
    if joints is None:
        raise InputError(
            bag, "holds no joint state before its first tick",
            f"record {robot.topics.joint_states}, the filter is armed where the arm was",
        )  # fmt: skip
    if robot.gripper is None or robot.topics.gripper_joint_states is None:
        return joints, 0.0
    topic = namespace + robot.topics.gripper_joint_states
    fingers = _newest(reader, topic, robot.gripper.joints, first_ns)
    if fingers is None:
        raise InputError(
            bag, "holds no gripper state before its first tick", f"record {topic}"
        )  # fmt: skip
    return joints, min(max(float(fingers.sum()), 0.0), robot.gripper.width_max)


def _newest(reader: EpisodeReader, topic: str, names: Sequence[str], at_ns: int) -> Array | None:
    if topic not in reader.topics:
        return None
    newest: tuple[int, Array] | None = None
    for decoded in reader.messages(topic):
        at = stamp_ns(decoded.message)
        if at > at_ns or (newest is not None and at <= newest[0]):
            continue
        try:
            newest = (at, named_vector(decoded.message, names, topic))
        except InputError:
            continue  # as the live nodes refuse it
    return None if newest is None else newest[1]


def _phase(recording: Recording, period_ns: int, default_ns: int) -> int:
    """A time at which the filter ticked: its statuses that answer no command are stamped so."""
    stamps = [e.stamp_ns for e in recording.events(SAFETY_STATUS)
              if not e.values.get("command_stamp")]  # fmt: skip
    if not stamps:
        return default_ns
    half = period_ns // 2
    off = sorted((at - stamps[0] + half) % period_ns - half for at in stamps)
    return stamps[0] + off[len(off) // 2]
