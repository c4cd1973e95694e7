"""One aligned observation: the arrays that a policy consumes, and their hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.decode import compressed_image_array, image_array, named_vector
from vla_rl_nodes.contract.spec import COMPRESSED_IMAGE, Contract, Stream
from vla_rl_nodes.contract.transforms import transform_image
from vla_rl_nodes.errors import InputError

Observation = dict[str, NDArray[Any]]


def sample(stream: Stream, message: Any) -> NDArray[Any]:
    """What one message of a stream's topic contributes: uint8 image or float32 vector.

    Raises:
        InputError: the message is not of the shape that the contract promises.
    """
    value: NDArray[Any]
    if stream.kind == "image":
        value = image_array(message, stream.topic)
    else:
        with np.errstate(over="ignore"):
            value = named_vector(message, stream.names, stream.topic).astype(np.float32)
        if not np.isfinite(value).all():
            raise InputError(stream.topic, "a value overflows float32", "check the publisher")
    if value.shape != stream.shape:
        raise InputError(
            stream.topic,
            f"has shape {list(value.shape)}, the contract says {list(stream.shape)}",
            "make the publisher and the contract agree",
        )
    return value


def source_sample(stream: Stream, message: Any) -> NDArray[np.uint8]:
    """What camera_ingest makes of one image of the stream's camera: uint8 [height, width, 3].

    Raises:
        InputError: no image of the size and encoding that the contract promises.
    """
    assert stream.source is not None
    compressed = stream.source.type == COMPRESSED_IMAGE
    read = compressed_image_array if compressed else image_array
    return transform_image(stream, read(message, stream.source.topic))


def assemble(contract: Contract, samples: Mapping[str, NDArray[Any]]) -> Observation:
    """The observation of one step, in the contract's order of streams.

    Args:
        contract: names the streams, shapes and types.
        samples: for each stream key, what :func:`sample` made of the chosen message.

    Raises:
        InputError: a stream is missing or has another shape or type.
    """
    observation: Observation = {}
    for stream in contract.streams:
        value = samples.get(stream.key)
        if value is None:
            raise InputError(stream.key, "has no sample for this step", "check its publisher")
        if value.shape != stream.shape or value.dtype != stream.dtype:
            raise InputError(
                stream.key,
                f"is {value.dtype}{list(value.shape)}, not {stream.dtype}{list(stream.shape)}",
                "make the samples with contract.observation.sample",
            )
        observation[stream.key] = np.ascontiguousarray(value)
    return observation


def digest(observation: Observation) -> str:
    """SHA-256 over the keys, types, shapes and little-endian bytes of an observation."""
    hasher = hashlib.sha256()
    for key, value in observation.items():
        little = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
        hasher.update(f"{key}:{little.dtype.str}:{list(little.shape)};".encode())
        hasher.update(little.data)
    return hasher.hexdigest()
