"""The process that a policy node hears: cameras, arm and filter of a contract, over DDS."""

from __future__ import annotations

import argparse
import array
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from sensor_msgs.msg import Image, JointState

from vla_rl_nodes.bench.tick.variants import NAMESPACE, PERIOD_NS
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Stream
from vla_rl_nodes.nodes.event import time_message
from vla_rl_nodes.nodes.lean_node import LeanNode
from vla_rl_nodes.nodes.qos import STREAM
from vla_rl_nodes.nodes.spin import end_after_failed_tick, spin
from vla_rl_nodes.nodes.tick import TickThread
from vla_rl_nodes.nodes.vector import vector_message

IMAGE_HZ = 30
_PICTURES = 32  # different images of each camera, in turn


def image_due(tick: int) -> bool:
    """Whether an image belongs to a tick of the vectors' rate, so that images come at 30 Hz."""
    ticks_per_second = 1_000_000_000 // PERIOD_NS
    return (tick + 1) * IMAGE_HZ // ticks_per_second > tick * IMAGE_HZ // ticks_per_second


class Stimulus(LeanNode):
    """Publishes every stream of a contract and counts the commands that come back."""

    def __init__(self, contract_name: str, seed: int) -> None:
        super().__init__("stimulus", namespace=NAMESPACE)
        self.failed = False
        self.commands: Counter[str] = Counter()
        self._starter = os.getppid()
        self._tick_number = 0
        self._generator = np.random.default_rng(seed)
        self._streams: list[tuple[Stream, Any, list[array.array[int]]]] = []
        for stream in load_contract(contract_name).streams:
            picture = stream.kind == "image"
            publisher = self.create_publisher(
                Image if picture else JointState, stream.topic, STREAM
            )
            pictures = [self._picture(stream) for _ in range(_PICTURES)] if picture else []
            self._streams.append((stream, publisher, pictures))
        self.create_subscription(JointState, "policy/command", self._hear, STREAM)
        self._ticks = TickThread(
            PERIOD_NS, self._tick, partial(end_after_failed_tick, self), "stimulus"
        )
        self._ticks.start()

    def close(self) -> None:
        """Stops publishing."""
        self._ticks.stop()

    def _picture(self, stream: Stream) -> array.array[int]:
        pixels = self._generator.integers(0, 256, stream.shape, np.uint8)
        return array.array("B", pixels.tobytes())

    def _hear(self, message: JointState) -> None:
        # The node under test writes its variant here; the contract's frame plays no part.
        self.commands[message.header.frame_id] += 1

    def _tick(self, lateness_ns: int) -> None:
        if os.getppid() != self._starter:
            rclpy.try_shutdown(context=self.context)
            return
        stamp = self.get_clock().now().nanoseconds
        due = image_due(self._tick_number)
        for stream, publisher, pictures in self._streams:
            if not pictures:
                values = self._generator.uniform(-1.0, 1.0, len(stream.names))
                publisher.publish(vector_message(stamp, stream.names, values))
            elif due:
                height, width, channels = stream.shape
                message = Image(height=height, width=width, encoding="rgb8", step=width * channels)
                message.header.stamp = time_message(stamp)
                message.data = pictures[self._tick_number % len(pictures)]
                publisher.publish(message)
        self._tick_number += 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Publishes until interrupted, then writes how many commands came from each variant."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--contract", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    made: list[Stimulus] = []

    def make() -> Stimulus:
        made.append(Stimulus(options.contract, options.seed))
        return made[-1]

    status = spin(make, args=[])
    if made:
        options.out.write_text(json.dumps(made[0].commands))
    return status


if __name__ == "__main__":
    sys.exit(main())
