"""The ROS 2 message definitions that bags carry, and CDR bytes to messages."""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.base import TypesysError

from vla_rl_nodes.errors import InputError

DISTRIBUTION = "jazzy"
_HEADER = 4  # the CDR encapsulation header: two bytes of representation, two of options


@cache
def typestore() -> Any:
    """The Jazzy message definitions of rosbags; made once, it takes a tenth of a second."""
    return get_typestore(Stores.ROS2_JAZZY)


def _known(type_name: str) -> Any:
    try:
        return typestore().get_msgdef(type_name)
    except (TypesysError, KeyError) as error:
        raise InputError(
            type_name or "''", "is no message type known here", "record standard messages only"
        ) from error


@cache
def schema_text(type_name: str) -> str:
    """The definition of a type such as ``sensor_msgs/msg/Image`` in ``ros2msg`` form.

    Raises:
        InputError: an unknown type.
    """
    _known(type_name)
    text: str = typestore().generate_msgdef(type_name, ros_version=2)[0]
    return text


@cache
def type_hash(type_name: str) -> str:
    """The RIHS01 hash of a type, as rosbag2 stores it (REP-2016).

    Raises:
        InputError: an unknown type.
    """
    _known(type_name)
    text: str = typestore().hash_rihs01(type_name)
    return text


def decode(type_name: str, cdr: bytes, place: str) -> Any:
    """One message from its CDR bytes, little or big endian.

    Bytes behind the message are allowed: rclpy's serialiser reserves more than it fills and
    leaves the rest there. Arrays are views of ``cdr``.

    Args:
        type_name: such as ``sensor_msgs/msg/JointState``.
        cdr: the encapsulation header and the message.
        place: named in the error.

    Raises:
        InputError: an unknown type, another encoding, or bytes that are no such message.
    """
    definition = _known(type_name)
    remedy = "record the topic again with the type that its publisher uses"
    if len(cdr) < _HEADER or cdr[0] != 0 or cdr[1] > 1:
        raise InputError(place, "holds a message that is not plain CDR", remedy)
    read = definition.deserialize_cdr_le if cdr[1] else definition.deserialize_cdr_be
    try:
        message, _ = read(memoryview(cdr)[_HEADER:], 0, definition.cls, typestore())
    except (
        SerdeError,
        TypesysError,
        struct.error,
        ValueError,
        IndexError,
        OverflowError,
    ) as error:
        raise InputError(place, f"holds bytes that are no {type_name}", remedy) from error
    return message
