"""The messages of an episode's bag that replay needs, by topic, and the events among them."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vla_rl_nodes.bags.columns import Columns
from vla_rl_nodes.bags.reader import COLUMNS, MESSAGES, EpisodeReader, Hold, What
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
REWARD_STATUS = "reward/status"
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
    REWARD_STATUS: _EVENT,
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
    contract or their own type, which the live nodes refuse too. ``columns`` are the messages of
    an observation stream as arrays, where all of them have one layout. Of the streams whose topics
    are ``from_source`` the bag holds what the camera sent, not what the policy saw.
    """

    episode_id: str
    place: str
    messages: Mapping[str, Sequence[Any]]
    refused: Counter[str] = field(default_factory=Counter)
    columns: Mapping[str, Columns] = field(default_factory=dict)
    from_source: frozenset[str] = frozenset()

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


class _Messages(dict[str, list[Any]]):
    """Deserialised messages; those of which there are columns only when they are asked for."""

    def __init__(self, reader: EpisodeReader, full_names: Mapping[str, str]) -> None:
        super().__init__()
        self._reader = reader
        self._full_names = full_names

    def __missing__(self, topic: str) -> list[Any]:
        full = self._full_names[topic]
        type_name = self._reader.topics[full].type_name
        self[topic] = [decode(type_name, cdr, full) for cdr in self._reader.cdr(full)]
        return self[topic]


def replay_topics(contract: Contract) -> Hold:
    """What an ``EpisodeReader`` has to hold so that replay need not read the bag again."""
    streams = tuple(f"/{stream.topic}" for stream in contract.streams)
    cameras = [stream.source for stream in contract.streams if stream.source is not None]
    recorded = [camera.topic for camera in cameras if camera.record == "source"]
    others = tuple(f"/{topic}" for topic in (*_TYPES, *recorded))

    def hold(topic: str) -> What | None:
        if topic.endswith(streams):
            return COLUMNS
        return MESSAGES if topic.endswith(others) else None

    return hold


def read_recording(reader: EpisodeReader, contract: Contract) -> Recording:
    """The topics that replay needs: streams as arrays where they can be, the rest deserialised.

    Args:
        reader: of an episode's bag; opened with :func:`replay_topics` it is not read again.
        contract: of the episode.

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
    types: dict[str, str] = {**_TYPES, **{s.topic: s.type for s in contract.streams}}
    wanted = {namespace + topic: topic for topic in types}
    from_source = set()
    for stream in contract.streams:
        camera = stream.source
        if camera is None or namespace + stream.topic in reader.topics:
            continue
        if namespace + camera.topic in reader.topics:
            del wanted[namespace + stream.topic]
            wanted[namespace + camera.topic] = stream.topic
            types[stream.topic] = camera.type
            from_source.add(stream.topic)
    for full, relative in wanted.items():
        content = reader.topics.get(full)
        if content is not None and content.type_name != types[relative]:
            raise InputError(
                f"{reader.path}: {full}",
                f"carries {content.type_name}, not {types[relative]}",
                "convert it with the version that recorded it",
            )
    streams = {stream.topic for stream in contract.streams} - from_source
    there = {full: topic for full, topic in wanted.items() if full in reader.topics}
    reader.hold({f: COLUMNS if topic in streams else MESSAGES for f, topic in there.items()})
    messages = _Messages(reader, {topic: full for full, topic in wanted.items()})
    columns: dict[str, Columns] = {}
    refused: Counter[str] = Counter()
    for full, topic in wanted.items():
        if full in there and topic in streams and reader.has_layout(full):
            with contextlib.suppress(InputError):  # a text that is none: each message tells
                columns[topic] = reader.columns(full)
                continue
        decoded: list[Any] = []
        for cdr in reader.cdr(full) if full in there else ():
            try:
                decoded.append(decode(types[topic], cdr, full))
            except InputError:
                refused[topic] += 1
        messages[topic] = decoded
    return Recording(
        episode_id, str(reader.path), messages, refused, columns, frozenset(from_source)
    )


def _namespace(reader: EpisodeReader) -> str:
    ending = "/" + POLICY_STATUS
    found = [topic.removesuffix(POLICY_STATUS) for topic in reader.topics if
             topic.endswith(ending)]  # fmt: skip
    if len(found) != 1:
        problem = "holds no policy/status" if not found else f"holds {len(found)} robots"
        raise InputError(reader.path, problem, "record one robot's episode with a policy running")
    return found[0]
