"""Our observation under the names, sizes and units that a server wants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vla_rl_nodes.contract.spec import Contract, Stream
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote.spec import ImageField, ObservationMap, Part, VectorField

Fields = dict[str, NDArray[Any]]


class ServedObservation:
    """Checks a map against a contract once, and then applies it.

    Args:
        place: of the YAML file, for the errors.
        contract: whose streams are sent.
        spec: the map.

    Raises:
        InputError: it names a stream or a component that the contract lacks, or takes an image
            for a vector.
    """

    def __init__(self, place: object, contract: Contract, spec: ObservationMap) -> None:
        self._streams = {stream.key: stream for stream in contract.streams}
        self._place = f"{place}: observation"
        self._spec = spec
        self.instruction = contract.task if spec.instruction is None else spec.instruction
        for image in spec.images:
            self._stream(image.stream, "image")
        for vector in spec.vectors:
            for part in vector.parts:
                self._index(part)

    def fields(self, observation: Mapping[str, NDArray[Any]]) -> Fields:
        """Images uint8 [height, width, 3] first, then vectors [n], by the server's keys."""
        fields: Fields = {
            image.key: fitted(image, observation[image.stream]) for image in self._spec.images
        }
        for vector in self._spec.vectors:
            fields[vector.key] = self._vector(vector, observation)
        return fields

    def _vector(
        self, vector: VectorField, observation: Mapping[str, NDArray[Any]]
    ) -> NDArray[np.floating]:
        numbers = [
            part.constant
            if part.constant is not None
            else float(observation[str(part.stream)][self._index(part)]) * part.scale + part.offset
            for part in vector.parts
        ]
        return np.array(numbers, dtype=vector.dtype)

    def _stream(self, key: str, kind: str) -> Stream:
        stream = self._streams.get(key)
        if stream is None:
            known = ", ".join(self._streams)
            raise InputError(self._place, f"the contract has no stream {key}", f"take of {known}")
        if stream.kind != kind:
            raise InputError(self._place, f"stream {key} is no {kind}", "map it as what it is")
        return stream

    def _index(self, part: Part) -> int:
        if part.stream is None or part.name is None:
            return -1
        names = self._stream(part.stream, "vector").names
        if part.name not in names:
            raise InputError(
                self._place, f"stream {part.stream} has no {part.name}", f"take of {names}"
            )
        return names.index(part.name)


def fitted(field: ImageField, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image [height, width, 3] in the server's size, with bilinear sampling."""
    height, width = image.shape[:2]
    if (height, width) == (field.height, field.width):
        return image
    picture = Image.fromarray(image)
    if field.fit == "stretch":
        stretched = picture.resize((field.width, field.height), Image.Resampling.BILINEAR)
        return np.asarray(stretched)
    # As tf.image.resize_with_pad, which openpi's clients follow: whole pixels, centred on black.
    ratio = max(width / field.width, height / field.height)
    size = max(1, int(width / ratio)), max(1, int(height / ratio))
    whole = np.zeros((field.height, field.width, 3), dtype=np.uint8)
    top, left = (field.height - size[1]) // 2, (field.width - size[0]) // 2
    small = np.asarray(picture.resize(size, Image.Resampling.BILINEAR))
    whole[top : top + size[1], left : left + size[0]] = small
    return whole
