"""Closed episodes to be sent: real bags of noise, which no compression shrinks."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vla_rl_nodes.bags.manifest import Manifest
from vla_rl_nodes.bags.rosbag2 import Qos, Topic
from vla_rl_nodes.bags.schemas import typestore
from vla_rl_nodes.bags.writer import EpisodeWriter
from vla_rl_nodes.contract.load import load_contract, named_file

IMAGE = "sensor_msgs/msg/Image"
_FRAME_NS = 33_333_333
_SIDE = 128
_START_NS = 1_700_000_000_000_000_000


def write_episode(
    bags: Path, episode_id: str, robot: str, contract: str, size: int, seed: int
) -> Manifest:
    """Writes one closed bag of about ``size`` bytes.

    Args:
        bags: folder of the recorder.
        episode_id: also the folder's name.
        robot: as the manifest names it.
        contract: name or path.
        size: of the MCAP file, bytes; at least one frame of 48 KiB.
        seed: of the noise, and of the time of the episode.
    """
    generator = np.random.default_rng(seed)
    name = "/robot/observation/images/scene"
    start_ns = _START_NS + seed * 1_000_000_000
    writer = EpisodeWriter(
        bags / episode_id, episode_id, [Topic(name, IMAGE, (Qos(),))],
        contract_yaml=_contract(contract)[0], start_ns=start_ns,
        metadata={"robot": robot, "contract": contract, "contract_sha256": _contract(contract)[1]},
    )  # fmt: skip
    for frame in range(max(1, size // (3 * _SIDE * _SIDE))):
        stamp_ns = start_ns + frame * _FRAME_NS
        pixels = generator.integers(0, 256, 3 * _SIDE * _SIDE, np.uint8)
        writer.write(name, IMAGE, _image(stamp_ns, pixels), stamp_ns, stamp_ns)
    return writer.close("success")


@cache
def _contract(name: str) -> tuple[str, str]:
    text = named_file("contracts", name).read_text(encoding="utf-8")
    return text, load_contract(name).sha256


def _image(stamp_ns: int, pixels: Any) -> bytes:
    types = typestore().types
    stamp = types["builtin_interfaces/msg/Time"](
        sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000
    )
    header = types["std_msgs/msg/Header"](stamp=stamp, frame_id="")
    message = types[IMAGE](header, _SIDE, _SIDE, "rgb8", 0, 3 * _SIDE, pixels)
    return bytes(typestore().serialize_cdr(message, IMAGE))
