"""The messages of an episode's bag that replay needs, by topic, and the events among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.bags.schemas import decode
from vla_rl_nodes.contract.decode import stamp_ns
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError

POLICY_STATUS = "policy/status"
POLICY_CHUNK = "policy/chunk"
POLICY_COMMAND = "policy/command"
POLICY_RESIDUAL = "policy/residual"
INTERVENTION_COMMAND = "intervention/command"
SAFETY_EXECUTED = "safety/executed"
SAFETY_STATUS = "safety/status"
EPISODE_STATE = "episode/state"
REWARD = "reward"
SIM_STATE = "sim/state"

_EVENT = "diagnostic_msgs/msg/DiagnosticArray"
_VECTOR = "sensor_msgs/msg/JointState"
_TYPES = {
    POLICY_STATUS: _EVENT,
    POLICY_CHUNK: "trajectory_msgs/msg/JointTrajectory",
    POLICY_COMMAND: _VECTOR,
    POLICY_RESIDUAL: _VECTOR,
    INTERVENTION_COMMAND: _VECTOR,
    SAFETY_EXECUTED: _VECTOR,
    SAFETY_STATUS: _EVENT,
    EPISODE_STATE: _EVENT,
    REWARD: _VECTOR,
    SIM_STATE: _VECTOR,
}


@dataclass(frozen=True)
class Event:
    """One diagnostic_msgs event: its header stamp in nanoseconds, its text and its values."""

    stamp_ns: int
    message: str
    hardware_id: str
    values: Mapping[str, str]

    def whole_number(self, key: str, place: str, bits: int) -> int | None:
        """A value as a signed number of so many bits; None where it is absent or empty.

        Raises:
            InputError: another text, or a number that does not fit.
        """
        text = self.values.get(key, "")
        if text == "":
            return None
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or not -(1 << (bits - 1)) <= number < 1 << (bits - 1):
            raise InputError(
                f"{place} at {self.stamp_ns}",
                f"'{key}' is '{text[:40]}', not a whole number of {bits} bits",
                "check its publisher",
            )
        return number


@dataclass
class Recording:
    """What an episode's bag says, with topics relative to the robot's namespace.

    ``messages`` are in order of arrival. ``refused`` counts messages per topic that break the
    contract or their own type, which the live nodes refuse too.
    """

    episode_id: str
    place: str
    messages: dict[str, list[Any]]
    refused: Counter[str] = field(default_factory=Counter)

    def events(self, topic: str) -> list[Event]:
        """The events on a topic; a message that does not hold exactly one is refused."""
        found = []
        for message in self.messages[topic]:
            if len(message.status) != 1:
                self.refused[topic] += 1
                continue
            status = message.status[0]
            values = {entry.key: entry.value for entry in status.values}
            found.append(Event(stamp_ns(message), status.message, status.hardware_id, values))
        return found


def read_recording(reader: EpisodeReader, contract: Contract) -> Recording:
    """Deserialises the topics that replay needs.

    Raises:
        InputError: the bag is no episode, holds no policy status or that of two robots, or a
            topic has another type than the graph gives it.
    """
    episode_id = reader.metadata.get("episode_id")
    if episode_id is None:
        raise InputError(
            reader.path, "names no episode", "give a bag that this package's recorder wrote"
        )
    namespace = _namespace(reader)
    types = {**_TYPES, **{stream.topic: stream.type for stream in contract.streams}}
    wanted = {namespace + topic: topic for topic in types}
    for full, relative in wanted.items():
        content = reader.topics.get(full)
        if content is not None and content.type_name != types[relative]:
            raise InputError(
                f"{reader.path}: {full}",
                f"carries {content.type_name}, not {types[relative]}",
                "convert it with the version that recorded it",
            )
    recording = Recording(episode_id, str(reader.path), {topic: [] for topic in types})
    for raw in reader.raw([full for full in wanted if full in reader.topics]):
        topic = wanted[raw.topic]
        try:
            message = decode(raw.type_name, raw.data, raw.topic)
        except InputError:
            recording.refused[topic] += 1
            continue
        recording.messages[topic].append(message)
    return recording


def _namespace(reader: EpisodeReader) -> str:
    ending = "/" + POLICY_STATUS
    found = [topic.removesuffix(POLICY_STATUS) for topic in reader.topics if
             topic.endswith(ending)]  # fmt: skip
    if len(found) != 1:
        problem = "holds no policy/status" if not found else f"holds {len(found)} robots"
        raise InputError(reader.path, problem, "record one robot's episode with a policy running")
    return found[0]
