"""Reading speed: this package, rosbags and mcap_ros2 on one bag, doing the same work."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mcap.reader import make_reader
from rosbags.rosbag2 import Reader

from vla_rl_nodes.bags.columns import Columns
from vla_rl_nodes.bags.reader import COLUMNS, EpisodeReader
from vla_rl_nodes.bags.schemas import typestore
from vla_rl_nodes.bench.replay.bags import write_plain_bag
from vla_rl_nodes.errors import InputError

GOAL_ROSBAGS = 5.0
GOAL_MCAP_ROS2 = 9.0
_BLOCK = 1 << 20


def measure_reading(
    seed: int, megabytes: int, folder: Path, rounds: int, progress: Callable[[], None]
) -> dict[str, Any]:
    """Millions of bytes a second, the median of interleaved rounds, the page cache warm.

    Every subject goes from the file to all fields of all messages and keeps them until it is
    done: ``ours`` as arrays, the others as the objects that they make. All of them check the
    chunks' CRCs where there are some; ours checks the data section's, too. ``read_only`` reads
    the file into a block of memory and looks at nothing.

    Args:
        seed: of the bags' content.
        megabytes: size of each bag.
        folder: for the bags; they are removed afterwards.
        rounds: how often each subject runs.
        progress: called after each round of each bag.

    Returns:
        ``read_mb_s`` of the bag with CRCs, ``read_no_crc_mb_s`` of the same messages written
        without, and ``bags_check``: by which factors ours is faster, the goals, and whether ours
        equals rosbags in every field of every message.
    """
    result: dict[str, Any] = {}
    alike = True
    for key, crcs in (("read_mb_s", True), ("read_no_crc_mb_s", False)):
        path = folder / f"{key}.mcap"
        write_plain_bag(path, seed, megabytes, crcs)
        alike = alike and equal(ours(path), rosbags(path))
        result[key] = _compare(path, rounds, progress)
        path.unlink()
    rates, bare = result["read_mb_s"], result["read_no_crc_mb_s"]
    check: dict[str, Any] = {"equal": alike}
    for name, goal in (("rosbags", GOAL_ROSBAGS), ("mcap_ros2", GOAL_MCAP_ROS2)):
        check[name] = {
            "ratio": rates["ours"] / rates[name],
            "ratio_no_crc": bare["ours"] / bare[name],
            "goal": goal,
            "met": rates["ours"] / rates[name] >= goal,
        }
    result["bags_check"] = check
    return result


def ours(path: Path) -> Mapping[str, Columns]:
    """Every field of every topic as an array."""
    reader = EpisodeReader(path, hold=lambda topic: COLUMNS)
    return {topic: reader.columns(topic) for topic in reader.topics}


def rosbags(path: Path) -> Mapping[str, list[Any]]:
    """What its documentation shows: a loop over the messages, each deserialised."""
    store = typestore()
    found: dict[str, list[Any]] = {}
    with Reader(path) as reader:
        for connection, _, data in reader.messages():
            message = store.deserialize_cdr(data, connection.msgtype)
            found.setdefault(connection.topic, []).append(message)
    return found


def mcap_ros2(path: Path) -> Mapping[str, list[Any]]:
    """The same with mcap's decoder for ROS 2, in the order of the file."""
    from mcap_ros2.decoder import DecoderFactory

    found: dict[str, list[Any]] = {}
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True, decoder_factories=[DecoderFactory()])
        for _, channel, _, message in reader.iter_decoded_messages(log_time_order=False):
            found.setdefault(channel.topic, []).append(message)
    return found


def read_only(path: Path) -> int:
    """The bytes of the file."""
    block = bytearray(_BLOCK)
    count = 0
    with path.open("rb", buffering=0) as file:
        while read := file.readinto(block):
            count += read
    return count


def require_readers() -> None:
    """Whether what is compared with is installed.

    Raises:
        InputError: naming the extra.
    """
    try:
        import mcap_ros2  # noqa: F401
    except ImportError as error:
        raise InputError(
            "bench replay", f"{error.name} is not installed", "install the [dev] extra"
        ) from error


def megabytes_a_second(
    path: Path, subjects: Mapping[str, Callable[[Path], object]], rounds: int,
    progress: Callable[[], None],
) -> dict[str, float]:  # fmt: skip
    """The median rate of each subject on a file, the subjects taking turns."""
    times: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, subject in subjects.items():
            gc.collect()
            start = time.perf_counter()
            made = subject(path)
            times[name].append(time.perf_counter() - start)
            del made
        progress()
    size = path.stat().st_size / 1e6
    return {name: size / statistics.median(taken) for name, taken in times.items()}


def _compare(path: Path, rounds: int, progress: Callable[[], None]) -> dict[str, float]:
    subjects: dict[str, Callable[[Path], object]] = {
        "ours": ours, "rosbags": rosbags, "mcap_ros2": mcap_ros2, "read_only": read_only,
    }  # fmt: skip
    return megabytes_a_second(path, subjects, rounds, progress)


def equal(columns: Mapping[str, Columns], messages: Mapping[str, list[Any]]) -> bool:
    """Whether both hold the same, field by field."""
    if set(columns) != set(messages):
        return False
    for topic, held in messages.items():
        fields = columns[topic].fields
        for index, message in enumerate(held):
            for path, column in fields.items():
                value: Any = message
                for name in path.split("."):
                    value = getattr(value, name)
                mine = column[index]
                if isinstance(mine, tuple):
                    same = mine == tuple(value)
                else:
                    same = bool(np.array_equal(mine, value))
                if not same:
                    return False
    return True
