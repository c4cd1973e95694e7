"""camera_ingest: driver images in, the contract's cropped and resized images out."""

from __future__ import annotations

import array
import sys
from functools import partial
from typing import Any

from sensor_msgs.msg import CompressedImage, Image

from vla_rl_nodes.contract.decode import stamp_ns
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.observation import source_sample
from vla_rl_nodes.contract.spec import COMPRESSED_IMAGE, Stream
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.ingest.buffer import check_stamp
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.lean_node import LeanNode
from vla_rl_nodes.nodes.qos import SENSOR, STREAM
from vla_rl_nodes.nodes.spin import spin


class CameraIngest(LeanNode):
    """Publishes ``observation/images/<camera>`` for each image stream of the contract.

    The header, with the driver's capture stamp, is passed on unchanged.
    """

    def __init__(self) -> None:
        super().__init__("camera_ingest")
        contract = load_contract(
            parameters.text(self, "contract", "franka_pick", "Contract name or path.")
        )
        self._complaints = Complaints(self.get_logger())
        self._last_ns: dict[str, int] = {}
        self._publishers_by_key = {}
        for stream in contract.streams:
            if stream.source is None:
                continue
            kind = CompressedImage if stream.source.type == COMPRESSED_IMAGE else Image
            self._publishers_by_key[stream.key] = self.create_publisher(
                Image, stream.topic, STREAM
            )
            self.create_subscription(
                kind, stream.source.topic, partial(self._ingest, stream), SENSOR
            )

    def _ingest(self, stream: Stream, message: Any) -> None:
        assert stream.source is not None
        topic = stream.source.topic
        try:
            stamp = stamp_ns(message)
            check_stamp(topic, stamp, self.get_clock().now().nanoseconds, stream.max_age_ns)
            if stamp <= self._last_ns.get(stream.key, 0):
                raise InputError(topic, "is not newer than the last image", "check the driver")
            result = source_sample(stream, message)
        except InputError as error:
            self._complaints.say(error, kind=f"{error.place} {error.remedy}")
            return
        self._last_ns[stream.key] = stamp
        height, width, _ = result.shape
        out = Image(
            header=message.header, height=height, width=width, encoding="rgb8", step=3 * width
        )
        # array.array is taken over without a check of each byte; a list or numpy array is not.
        out.data = array.array("B", result.tobytes())
        self._publishers_by_key[stream.key].publish(out)


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return spin(CameraIngest, args, realtime_priority=10)


if __name__ == "__main__":
    sys.exit(main())
