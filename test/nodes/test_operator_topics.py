"""Pictures are read when somebody looks, once, and not when they are too large."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.operator_topics import _Pictures
from vla_rl_nodes.operator.page_settings import Pictures


def kept() -> _Pictures:
    cameras = [s for s in load_contract("franka_pick").streams if s.kind == "image"]
    node = cast(Any, SimpleNamespace(create_subscription=lambda *a, **b: None))
    return _Pictures(node, cameras, Pictures())


def test_each_is_read_once_from_any_thread() -> None:
    pictures = kept()
    assert pictures.newest(0, 0) is None
    small = Image(width=4, height=2, step=12, encoding="rgb8", data=bytes(24))
    pictures._keep(0, Image, serialize_message(small))
    found = []
    reader = threading.Thread(target=lambda: found.append(pictures.newest(0, 0)))
    reader.start()
    reader.join()
    assert found[0] is not None and (found[0].number, found[0].width) == (1, 4)
    assert pictures.newest(0, 1) is None


def test_large_ones_are_for_compressed_topics() -> None:
    pictures = kept()
    large = Image(width=2000, height=1100, step=6000, encoding="rgb8", data=bytes(6_600_000))
    pictures._keep(0, Image, serialize_message(large))
    with pytest.raises(InputError, match="compressed topic"):
        pictures.newest(0, 0)
    pictures._keep(0, CompressedImage, serialize_message(CompressedImage(data=bytes(6_600_000))))
    raw = pictures.newest(0, 0)
    assert raw is not None and raw.number == 2 and raw.encoding == ""
