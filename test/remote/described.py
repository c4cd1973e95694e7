"""Messages laid down from the descriptions of the formats, byte by byte, without any codec.

msgpack: the specification's tables (fixmap 0x8n, fixstr 0xan, fixarray 0x9n, bin8 0xc4, bin16
0xc5, true 0xc3, float64 0xcb, ...) and openpi-client's layout of an array: a map of four bin keys
in the order __ndarray__, data, dtype, shape. JSON: the text that Python's json module writes with
its default separators, as ``requests`` sends it, and json-numpy's layout of an array: __numpy__
(base64), dtype, shape; the servers of OpenVLA answer through Starlette, which writes no blanks.
``golden/`` holds these bytes as files; test_golden.py holds both against the adapters.
"""

from __future__ import annotations

import base64
import struct
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "golden"

# An image of 2 rows and 3 columns, and what the numbers below are in C order.
IMAGE = bytes(13 * n % 256 for n in range(18))
GOAL = bytes(7 * n % 256 for n in range(18))
STATE = (0.5, -0.25, 1.5)
ACTION = (0.0125, -0.03125, 0.0625, 0.0, 0.0, 0.125, 1.0)
SECOND = (0.25, 0.5, -0.0625, 0.0, 0.0, -0.5, 0.0)
TOKENS = (31745, 31872, 31999, 31873, 31871, 31744, 31900)
COEFFICIENTS = (4, -2, 0, 7, 1, 0, -1, 3, 0, 0)
PREFIX = (0.25, 0.5, -0.5, 1.0, 0.0, 0.125, -0.125, 2.0, -1.0, 0.75)
NOISE = (1.5, -1.5, 0.0, 3.0, -0.75, 0.5, 0.25, -2.0, 1.0, 4.0)
TASK = "pick up the cube"


def fixmap(*pairs: bytes) -> bytes:
    assert len(pairs) % 2 == 0 and len(pairs) // 2 < 16
    return bytes([0x80 | len(pairs) // 2]) + b"".join(pairs)


def text(value: str) -> bytes:
    data = value.encode()
    return (bytes([0xA0 | len(data)]) if len(data) < 32 else bytes([0xD9, len(data)])) + data


def binary(data: bytes) -> bytes:
    return bytes([0xC4, len(data)]) + data


def float64(value: float) -> bytes:
    return b"\xcb" + struct.pack(">d", value)


def array(data: bytes, dtype: str, *shape: int) -> bytes:
    assert all(n < 128 for n in shape)  # positive fixint
    return fixmap(
        binary(b"__ndarray__"), b"\xc3",
        binary(b"data"), binary(data),
        binary(b"dtype"), text(dtype),
        binary(b"shape"), bytes([0x90 | len(shape), *shape]),
    )  # fmt: skip


def f4(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def f8(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


def i8(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}q", *values)


def spaced(data: bytes, dtype: str, *shape: int) -> str:
    """json-numpy's array as the client writes it."""
    return '{"__numpy__": "%s", "dtype": "%s", "shape": [%s]}' % (  # noqa: UP031 (braces)
        base64.b64encode(data).decode(), dtype, ", ".join(map(str, shape)),
    )  # fmt: skip


def tight(data: bytes, dtype: str, *shape: int) -> str:
    """json-numpy's array as Starlette writes it."""
    return spaced(data, dtype, *shape).replace(": ", ":").replace(", ", ",")


def quoted(value: str) -> str:
    """A text that holds JSON, as a JSON text."""
    return '"' + value.replace('"', '\\"') + '"'


OPENVLA = '{"image": %s, "instruction": "%s", "unnorm_key": "bridge_orig"}' % (  # noqa: UP031
    spaced(IMAGE, "|u1", 2, 3, 3), TASK,
)  # fmt: skip
OCTO = (
    '{"observation": {"image_primary": %s, "proprio": %s, "timestep_pad_mask": %s}, "task": %s,'
    ' "unnorm_key": "bridge_dataset"}'
)


def octo(seen: bytes, state: tuple[float, ...], mask: bytes, task: str) -> str:
    return OCTO % (
        spaced(seen, "|u1", 1, 2, 2, 3, 3), spaced(f4(*state), "<f4", 1, 2, 3),
        spaced(mask, "|b1", 1, 2), task,
    )  # fmt: skip


def described() -> dict[str, bytes]:
    """Name of each golden file to its bytes."""
    openpi = [
        text("observation/image"), array(IMAGE, "|u1", 2, 3, 3),
        text("observation/state"), array(f4(*STATE), "<f4", 3),
        text("prompt"), text(TASK),
    ]  # fmt: skip
    timing = [text("server_timing"), fixmap(text("infer_ms"), float64(12.5))]
    texts = {
        "openvla_request.json": OPENVLA,
        "openvla_response.json": tight(f8(*ACTION), "<f8", 7),
        "openvla_request_double.json": '{"encoded": ' + quoted(OPENVLA) + "}",
        "openvla_response_double.json": quoted(spaced(f8(*ACTION), "<f8", 7)),
        "openvla_response_tokens.json": tight(i8(*TOKENS), "<i8", 7),
        "openvla_oft_request.json": '{"full_image": %s, "wrist_image": %s, "state": %s,'  # noqa: UP031
        ' "instruction": "%s"}' % (
            spaced(IMAGE, "|u1", 2, 3, 3), spaced(GOAL, "|u1", 2, 3, 3),
            spaced(f8(*STATE), "<f8", 3), TASK,
        ),
        "openvla_oft_response.json": "["
        + ",".join([tight(f8(*ACTION), "<f8", 7), tight(f8(*SECOND), "<f8", 7)]) + "]",
        "octo_request.json": octo(
            IMAGE + IMAGE, (*STATE, *STATE), b"\0\1", '{"language_instruction": ["%s"]}' % TASK  # noqa: UP031
        ),
        "octo_request_goal.json": octo(
            IMAGE + IMAGE, (*STATE, *STATE), b"\0\1",
            '{"image_primary": %s}' % spaced(GOAL, "|u1", 1, 2, 3, 3),  # noqa: UP031
        ),
        "octo_response.json": tight(f4(*ACTION, *SECOND), "<f4", 1, 2, 7),
    }  # fmt: skip
    messages = {
        "openpi_metadata.msgpack": fixmap(
            text("reset_pose"), bytes([0x92]) + float64(0.5) + float64(-1.25)
        ),
        "openpi_metadata_prefix.msgpack": fixmap(text("prefix"), b"\xc3"),
        "openpi_request.msgpack": fixmap(*openpi),
        "openpi_request_prefix.msgpack": fixmap(
            *openpi,
            text("prefix"), array(f4(*PREFIX), "<f4", 2, 5), text("delay"), b"\x01",
            text("noise"), array(f4(*NOISE), "<f4", 2, 5),
        ),
        "openpi_response.msgpack": fixmap(
            text("actions"), array(f8(*ACTION[:5], *SECOND[:5]), "<f8", 2, 5), *timing
        ),
        "openpi_response_coefficients.msgpack": fixmap(
            text("actions"), array(i8(*COEFFICIENTS), "<i8", 2, 5), *timing
        ),
    }  # fmt: skip
    return {name: value.encode() for name, value in texts.items()} | messages


def golden(name: str) -> bytes:
    """The bytes of a golden file."""
    data: Any = (GOLDEN / name).read_bytes()
    return bytes(data)
