"""An episode as a robot would record it, with everything that goes wrong on the way to a bag.

The live side is played through ``ingest.observe.Observer``, the class that the nodes use: samples
are given to it in order of arrival, and a tick sees what had arrived by then. So the stamps and
hashes in ``policy/status`` are those of a real run with transport delay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from bag_messages import EVENT, STORE, TRAJECTORY, VECTOR, event, image, trajectory, vector

from vla_rl_nodes.bags.rosbag2 import Topic
from vla_rl_nodes.bags.writer import EpisodeWriter
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract, Stream
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.ingest.observe import Observer

MS = 1_000_000
START_NS = 1_760_000_000_000_000_000
SIM_NAMES = ["q0", "q1", "q2"]


def small_contract() -> Contract:
    """franka_pick with 8x8 images."""
    data = load_contract("franka_pick").model_dump()
    for stream in data["observation"]:
        for transform in stream["transforms"]:
            if transform["resize"] is not None:
                transform["resize"] = {"width": 8, "height": 8}
    return Contract.model_validate(data)


@dataclass(frozen=True)
class Message:
    """One message: its relative topic, header stamp and arrival."""

    topic: str
    type_name: str
    stamp_ns: int
    arrival_ns: int
    body: Any


@dataclass
class Episode:
    """What was recorded and what is true of it."""

    contract: Contract
    episode_id: str
    outcome: str
    end_ns: int
    ticks: list[int]
    messages: list[Message] = field(default_factory=list)
    # Per tick: the stamps and the hash that the live side used; no entry where it was blind.
    live: dict[int, tuple[dict[str, int], str]] = field(default_factory=dict)
    status_values: dict[int, dict[str, str]] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)  # of the bag

    def on(self, topic: str) -> list[Message]:
        """Messages of a topic in order of arrival."""
        return [m for m in self.messages if m.topic == topic]

    def write(self, folder: Path, namespace: str = "/fr3") -> Path:
        """Records the messages in order of arrival and closes the bag."""
        topics = {m.topic: Topic(f"{namespace}/{m.topic}", m.type_name) for m in self.messages}
        with EpisodeWriter(
            folder, self.episode_id, list(topics.values()), contract_yaml="",
            metadata=self.metadata, start_ns=START_NS,
        ) as writer:  # fmt: skip
            for m in self.messages:
                cdr = bytes(STORE.serialize_cdr(m.body, m.type_name))
                if m.arrival_ns % 3 == 0:
                    cdr += b"\x5a" * (m.arrival_ns % 13)  # what rclpy leaves behind a message
                writer.write(
                    topics[m.topic].name, m.type_name, cdr, m.arrival_ns, m.stamp_ns + 100
                )
            writer.close(self.outcome)  # type: ignore[arg-type]
        return folder


def make_episode(
    seed: int, seconds: float = 1.5, outcome: str = "success", contract: Contract | None = None
) -> Episode:
    """A random episode: jittered and dropped samples, heavy-tailed delays, gaps, faults."""
    contract = contract or small_contract()
    rng = np.random.default_rng(seed)
    length = round(seconds * 1e9)
    period = contract.period_ns
    ticks = [START_NS + i * period + int(rng.integers(0, 2 * MS)) for i in range(length // period)]
    if len(ticks) > 12:
        del ticks[8]  # a tick that the policy skipped
    end_ns = ticks[-3] + int(rng.integers(1, period)) if len(ticks) > 4 else ticks[-1] + period
    episode = Episode(contract, f"ep-{seed}", outcome, end_ns, ticks)
    span = (START_NS - 300 * MS, START_NS + length + 200 * MS)
    add = episode.messages.append

    def late(stamp: int, scale_ms: float) -> int:
        return stamp + 200_000 + int(rng.exponential(scale_ms * 1e6))

    # Streams. In the middle, two of them fall silent together, for longer than they may.
    quiet = (START_NS + length // 2, START_NS + length // 2 + 450 * MS)
    for stream in contract.streams:
        rate = {"image": 30.0, "state": 100.0, "reference": 20.0}[
            "image" if stream.kind == "image" else stream.key
        ]
        stamps = np.arange(span[0], span[1], 1e9 / rate).astype(np.int64)
        stamps += rng.integers(0, int(0.9e9 / rate), size=len(stamps))
        for stamp in map(int, stamps):
            silent = stream.key in ("image_wrist", "reference") and quiet[0] <= stamp < quiet[1]
            if silent or rng.random() < 0.06:
                continue
            arrival = late(stamp, 25.0 if stream.kind == "image" else 4.0)
            add(Message(stream.topic, stream.type, stamp, arrival, _sample(rng, stream, stamp)))
            if rng.random() < 0.03:  # twice with one stamp, then another that breaks the contract
                add(Message(stream.topic, stream.type, stamp, arrival + 1,
                            _sample(rng, stream, stamp)))  # fmt: skip
                wrong = (
                    image(stamp + 1, np.zeros((2, 2, 3), dtype=np.uint8))
                    if stream.kind == "image"
                    else vector(stamp + 1, ["nobody"], [1.0])
                )
                add(Message(stream.topic, stream.type, stamp + 1, arrival + 2, wrong))
    _play_live(episode, rng)
    _add_actions(episode, rng, late)
    _add_context(episode, rng, late, span)
    episode.messages.sort(key=lambda m: m.arrival_ns)  # stable
    return episode


def _sample(rng: np.random.Generator, stream: Stream, stamp: int) -> Any:
    if stream.kind == "image":
        pixels = rng.integers(0, 256, size=stream.shape, dtype=np.uint8)
        return image(stamp, pixels, padding=int(rng.integers(0, 5)))
    names = [*stream.names, "another_1", "another_2"]
    order = rng.permutation(len(names))
    return vector(stamp, [names[i] for i in order], rng.normal(size=len(names)))


def _play_live(episode: Episode, rng: np.random.Generator) -> None:
    observer = Observer(episode.contract)
    keys = {stream.topic: stream.key for stream in episode.contract.streams}
    arriving = sorted(episode.messages, key=lambda m: m.arrival_ns)
    index = 0
    for number, tick in enumerate(episode.ticks):
        while index < len(arriving) and arriving[index].arrival_ns <= tick:
            m = arriving[index]
            index += 1
            try:
                observer.add(keys[m.topic], m.body, m.stamp_ns, m.arrival_ns)
            except InputError:
                continue
        values = {"tick": str(number), "episode_id": episode.episode_id}
        seen = observer.observe(tick)
        if not isinstance(seen, str):
            episode.live[tick] = (seen.stamps_ns, seen.sha256)
            values |= {f"stamp.{key}": str(at) for key, at in seen.stamps_ns.items()}
            if rng.random() < 0.9:
                values["observation_sha256"] = seen.sha256
            if rng.random() < 0.85:
                values |= {
                    "chunk_id": str(number // 4), "chunk_index": str(number % 4), "delay": "2",
                    "noise_seed": str(int(rng.integers(0, 2**63 - 1))),
                }  # fmt: skip
        episode.status_values[tick] = values
        version = "v1" if number < 5 else "v2"
        body = event(tick, "running", values, version)
        arrival = tick + int(rng.integers(1, 9 * MS))
        episode.messages.append(Message("policy/status", EVENT, tick, arrival, body))
        if number == 3:  # the report of this tick comes again
            again = event(tick, "running", {**values, "chunk_id": "77"}, "other")
            episode.messages.append(Message("policy/status", EVENT, tick, arrival + 1, again))
    # Ticks of the episode before, whose stamps lie in this one.
    for tick in episode.ticks[:3]:
        body = event(tick + 5, "running", {"episode_id": "ep-before"}, "v0")
        episode.messages.append(Message("policy/status", EVENT, tick + 5, tick + 10, body))


def _add_actions(episode: Episode, rng: np.random.Generator, late: Any) -> None:
    names = list(episode.contract.action.names)
    for topic, share in (
        ("policy/command", 0.95), ("policy/residual", 0.5), ("safety/executed", 0.8),
    ):  # fmt: skip
        for tick in episode.ticks:
            order = rng.permutation(len(names))
            shuffled = [names[i] for i in order]
            if rng.random() < share:
                body = vector(tick, shuffled, rng.normal(size=len(names)))
                episode.messages.append(Message(topic, VECTOR, tick, late(tick, 10.0), body))
            elif rng.random() < 0.5:  # one nanosecond off: belongs to no tick
                body = vector(tick + 1, shuffled, rng.normal(size=len(names)))
                episode.messages.append(Message(topic, VECTOR, tick + 1, tick + 2, body))
            else:
                body = vector(tick, shuffled, [np.nan] * len(names))
                episode.messages.append(Message(topic, VECTOR, tick, tick + 2, body))
    for number, tick in enumerate(episode.ticks[len(episode.ticks) // 3 :][:8]):
        if number in (2, 5):  # lost, or somebody else's turn: that is for the executed to say
            continue
        body = vector(tick, names, rng.normal(size=len(names)))
        episode.messages.append(Message("intervention/command", VECTOR, tick, tick + 3 * MS, body))
    length = episode.contract.action.chunk_length
    for number, tick in enumerate(episode.ticks):
        if number % 3 == 1:
            rows = rng.normal(size=(length if number % 4 else length - 1, len(names)))
            order = rng.permutation(len(names))
            body = trajectory(tick, [names[i] for i in order], rows[:, order])
            episode.messages.append(
                Message("policy/chunk", TRAJECTORY, tick, late(tick, 60.0), body)
            )


def _add_context(
    episode: Episode, rng: np.random.Generator, late: Any, span: tuple[int, int]
) -> None:
    add = episode.messages.append
    for stamp in map(int, np.arange(span[0], span[1], 20 * MS)):
        at = stamp + int(rng.integers(0, 15 * MS))
        if START_NS + 200 * MS <= at < START_NS + 320 * MS:
            continue  # no reward during at least one step
        source = "operator" if stamp // (20 * MS) % 7 == 0 else "sim/predicate"
        body = vector(at, ["success", "reward"], [0.0, rng.normal()], source)
        add(Message("reward", VECTOR, at, late(at, 12.0), body))
    for stamp in map(int, np.arange(START_NS + 60 * MS, span[1], 33 * MS)):
        body = vector(stamp, SIM_NAMES, rng.normal(size=3))
        add(Message("sim/state", VECTOR, stamp, late(stamp, 5.0), body))
    for number, tick in enumerate(episode.ticks):
        if number % 2 == 0:
            values = {"reasons": "action_bound,workspace", "command_stamp": str(tick)}
            # Published late, in a later step: the tick that it names counts.
            body = event(tick, "armed", values)
            add(Message("safety/status", EVENT, tick, late(tick, 90.0), body))
        if number % 5 == 4:
            at = tick + int(rng.integers(0, 30 * MS))
            body = event(at, "holding", {"reasons": " stale_command", "command_stamp": ""})
            add(Message("safety/status", EVENT, at, at + MS, body))
    common = {
        "episode_id": episode.episode_id, "seed": "41", "task": "pick", "robot": "fr3",
        "contract_sha256": episode.contract.sha256,
    }  # fmt: skip
    before = {**common, "episode_id": "ep-before"}
    for message, at, values in (
        ("failure", START_NS - 290 * MS, before),
        ("ready", START_NS - 200 * MS, common),
        ("running", START_NS - MS, common),
        (episode.outcome, episode.end_ns, {**common, "reason": "because"}),
    ):
        add(Message("episode/state", EVENT, at, at + MS, event(at, message, values)))


def ending(episode: Episode) -> Message:
    """The event that ends the episode."""
    return next(m for m in episode.on("episode/state") if m.stamp_ns == episode.end_ns)


def criticise(
    episode: Episode, stamp: int, text: str, source: str = "judge", code: int | None = None
) -> None:
    """Adds a critique as the reward node tells it, a while after what it judged was captured."""
    values = {
        "rewards": "r", "episode_id": episode.episode_id, "judge": "j", "source": source,
        "critique": text, "critique_code": "" if code is None else str(code),
    }  # fmt: skip
    body = event(stamp, "critique", values, "r")
    episode.messages.append(Message("reward/status", EVENT, stamp, stamp + 300 * MS, body))


def reward(episode: Episode, stamp: int, value: float, success: float, source: str = "j") -> None:
    """Adds a reward, told a while after what it judged was captured."""
    body = vector(stamp, ["reward", "success"], [value, success], source)
    episode.messages.append(Message("reward", VECTOR, stamp, stamp + 300 * MS, body))
