"""The bags that are measured: sensor noise from a seed, not zeros, so that nothing packs well."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mcap.writer import CompressionType, Writer
from numpy.typing import NDArray

from vla_rl_nodes.bags.rosbag2 import Topic
from vla_rl_nodes.bags.schemas import schema_text, typestore
from vla_rl_nodes.bags.writer import EpisodeWriter
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract, Stream
from vla_rl_nodes.ingest.observe import Observer

IMAGE = "sensor_msgs/msg/Image"
VECTOR = "sensor_msgs/msg/JointState"
EVENT = "diagnostic_msgs/msg/DiagnosticArray"
SIDE = 128  # pixels of an image, in both directions
START_NS = 1_760_000_000_000_000_000
JOINTS = [f"fr3_joint{number}" for number in range(1, 8)]
_CHUNK_BYTES = 768 << 10  # as `ros2 bag record` has it
_IMAGE_HZ, _JOINTS_HZ, _ACTIONS_HZ = 30, 500, 50
_DELAY_NS = 1_000_000


class Sent(NamedTuple):
    """One message as the recorder receives it. Times in nanoseconds."""

    log_ns: int
    topic: str
    type_name: str
    cdr: bytes


def write_plain_bag(path: Path, seed: int, megabytes: int, crcs: bool) -> None:
    """An MCAP file without compression: two cameras at 30 Hz, joints at 500 Hz, actions at 50 Hz.

    Args:
        path: of the new file.
        seed: of the noise.
        megabytes: about so many, in millions of bytes.
        crcs: whether chunks and data section get checksums.
    """
    seconds = megabytes * 1e6 / (2 * _IMAGE_HZ * SIDE * SIDE * 3)
    camera = _Camera(seed)
    rng = np.random.default_rng([seed, 1])
    topics = [
        _images(camera, f"/fr3/cameras/{name}/image_raw", name, seconds)
        for name in ("scene", "wrist")
    ]
    topics.append(_vectors(rng, "/fr3/joint_states", JOINTS, _JOINTS_HZ, seconds, motion=True))
    topics.append(_vectors(rng, "/fr3/policy/command", JOINTS, _ACTIONS_HZ, seconds))
    with path.open("wb") as file:
        writer = Writer(
            file, _CHUNK_BYTES, CompressionType.NONE, enable_crcs=crcs, enable_data_crcs=crcs
        )
        writer.start(profile="ros2", library="vla_rl_nodes")
        channels: dict[str, int] = {}
        for sent in merge(*topics):
            if sent.topic not in channels:
                text = schema_text(sent.type_name).encode()
                schema = writer.register_schema(sent.type_name, "ros2msg", text)
                channels[sent.topic] = writer.register_channel(sent.topic, "cdr", schema)
            writer.add_message(channels[sent.topic], sent.log_ns, sent.cdr, sent.log_ns)
        writer.finish()  # type: ignore[no-untyped-call]


def wide_contract() -> Contract:
    """The picking task's contract with images of 128 by 128 pixels."""
    data = load_contract("franka_pick").model_dump()
    for stream in data["observation"]:
        for transform in stream["transforms"]:
            if transform["resize"] is not None:
                transform["resize"] = {"width": SIDE, "height": SIDE}
    return Contract.model_validate(data)


def write_episode_bag(folder: Path, seed: int, megabytes: int, contract: Contract) -> None:
    """An episode as the recorder closes it, in which the policy saw what the contract says.

    Args:
        folder: of the new bag.
        seed: of the noise.
        megabytes: about so many before compression, in millions of bytes.
        contract: :func:`wide_contract`.
    """
    seconds = megabytes * 1e6 / (2 * _IMAGE_HZ * SIDE * SIDE * 3)
    camera = _Camera(seed)
    rng = np.random.default_rng([seed, 2])
    streams = [_stream(camera, rng, stream, seconds) for stream in contract.streams]
    joints = _vectors(rng, "/fr3/joint_states", JOINTS, _JOINTS_HZ, seconds, motion=True)
    sent = list(merge(*streams, joints))
    episode_id = f"bench-{seed}"
    sent += _ticks(rng, contract, episode_id, list(sent), seconds)
    sent += _states(contract, episode_id, seconds)
    sent.sort(key=lambda message: message.log_ns)
    topics = {s.topic: Topic(s.topic, s.type_name) for s in sent}
    with EpisodeWriter(
        folder, episode_id, list(topics.values()), contract_yaml="", metadata={},
        start_ns=START_NS,
    ) as writer:  # fmt: skip
        for s in sent:
            writer.write(s.topic, s.type_name, s.cdr, s.log_ns, s.log_ns)
        writer.close("success")


class _Camera:
    """A still scene with the noise of a sensor, standard deviation 3 of 255."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 0])
        self._scene = self._rng.integers(10, 245, (SIDE, SIDE, 3)).astype(np.float32)

    def frame(self) -> NDArray[np.uint8]:
        """uint8 [128, 128, 3]."""
        noise = self._rng.standard_normal(self._scene.shape, dtype=np.float32) * 3
        return np.asarray((self._scene + noise).clip(0, 255), dtype=np.uint8)


def _images(camera: _Camera, topic: str, frame_id: str, seconds: float) -> Iterator[Sent]:
    for number in range(round(seconds * _IMAGE_HZ)):
        at = START_NS + number * 1_000_000_000 // _IMAGE_HZ
        pixels = camera.frame().reshape(-1)
        message = _types()[IMAGE](_header(at, frame_id), SIDE, SIDE, "rgb8", 0, 3 * SIDE, pixels)
        yield Sent(at + _DELAY_NS, topic, IMAGE, _cdr(message, IMAGE))


def _vectors(
    rng: np.random.Generator,
    topic: str,
    names: list[str],
    rate_hz: int,
    seconds: float,
    motion: bool = False,
) -> Iterator[Sent]:
    for number in range(round(seconds * rate_hz)):
        at = START_NS + number * 1_000_000_000 // rate_hz
        yield _vector(topic, at, names, rng.normal(size=(3 if motion else 1, len(names))))


def _vector(
    topic: str, at: int, names: list[str], values: NDArray[np.float64], frame_id: str = ""
) -> Sent:
    rows = [*values, *[np.zeros(0)] * (3 - len(values))]
    message = _types()[VECTOR](_header(at, frame_id), names, *rows)
    return Sent(at + _DELAY_NS, topic, VECTOR, _cdr(message, VECTOR))


def _stream(
    camera: _Camera, rng: np.random.Generator, stream: Stream, seconds: float
) -> Iterator[Sent]:
    topic = f"/fr3/{stream.topic}"
    if stream.kind == "image":
        return _images(camera, topic, stream.key, seconds)
    return _vectors(rng, topic, list(stream.names), 100, seconds)


def _ticks(
    rng: np.random.Generator,
    contract: Contract,
    episode_id: str,
    arrived: list[Sent],
    seconds: float,
) -> Iterator[Sent]:
    """What policy and filter publish at each tick, from what had arrived by then."""
    observer = Observer(contract)
    keys = {f"/fr3/{stream.topic}": stream.key for stream in contract.streams}
    waiting = iter(message for message in arrived if message.topic in keys)
    coming = next(waiting, None)
    names = list(contract.action.names)
    for number in range(round(seconds * contract.policy_hz)):
        at = START_NS + number * contract.period_ns + 5 * _DELAY_NS
        while coming is not None and coming.log_ns <= at:
            message = typestore().deserialize_cdr(coming.cdr, coming.type_name)
            stamp = coming.log_ns - _DELAY_NS
            observer.add(keys[coming.topic], message, stamp, coming.log_ns)
            coming = next(waiting, None)
        chunk = {"chunk_id": str(number // 8), "chunk_index": str(number % 8), "delay": "2"}
        values = {"episode_id": episode_id, "noise_seed": str(number // 8), **chunk}
        seen = observer.observe(at)
        if not isinstance(seen, str):
            values |= {f"stamp.{key}": str(stamp) for key, stamp in seen.stamps_ns.items()}
            values["observation_sha256"] = seen.sha256
        yield _event("/fr3/policy/status", at, "running", values, "bench")
        for topic in ("/fr3/policy/command", "/fr3/safety/executed"):
            yield _vector(topic, at, names, rng.normal(size=(1, len(names))))
        yield _vector("/fr3/reward", at + 1, ["reward"], np.zeros((1, 1)), "bench")
        for part in range(contract.rates.filter_hz // contract.policy_hz):
            status = {"reasons": "", "command_stamp": str(at) if part == 0 else ""}
            yield _event("/fr3/safety/status", at + part * 10_000_000, "armed", status, "")


def _states(contract: Contract, episode_id: str, seconds: float) -> Iterator[Sent]:
    values = {"episode_id": episode_id, "seed": "0", "task": "pick", "robot": contract.robot,
              "contract_sha256": contract.sha256, "reason": "bench"}  # fmt: skip
    for state, after in (("running", 0.0), ("success", seconds)):
        yield _event("/fr3/episode/state", START_NS + round(after * 1e9), state, values, "")


def _event(topic: str, at: int, message: str, values: dict[str, str], hardware: str) -> Sent:
    types = _types()
    entries = [types["diagnostic_msgs/msg/KeyValue"](key=k, value=v) for k, v in values.items()]
    status = types["diagnostic_msgs/msg/DiagnosticStatus"](
        level=0, name="bench", message=message, hardware_id=hardware, values=entries
    )
    event = types[EVENT](_header(at, ""), [status])
    return Sent(at + _DELAY_NS, topic, EVENT, _cdr(event, EVENT))


def _types() -> Any:
    return typestore().types


def _header(stamp_ns: int, frame_id: str) -> Any:
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    stamp = _types()["builtin_interfaces/msg/Time"](sec=seconds, nanosec=nanoseconds)
    return _types()["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id)


def _cdr(message: Any, type_name: str) -> bytes:
    return bytes(typestore().serialize_cdr(message, type_name))
