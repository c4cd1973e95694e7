"""OpenVLA-OFT: images, state and instruction by HTTP POST, a chunk as a list of actions back.

The server is ``vla-scripts/deploy.py`` of moojink/openvla-oft: the main image has the key
``full_image``, every further one a key with ``wrist`` in it, the state the key ``state``; whose
statistics scale the action is said where the server is started.
"""

from __future__ import annotations

import numpy as np

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote import json_codec
from vla_rl_nodes.remote.adapters.base import Answer, Sampling, chunk
from vla_rl_nodes.remote.observe import Fields
from vla_rl_nodes.remote.spec import ObservationMap, OpenVlaOft


class OpenVlaOftAdapter:
    """See the module.

    Raises:
        InputError: a key of the map is one that the server does not look at.
    """

    schemes = ("http", "https")
    path = "/act"

    def __init__(
        self, place: object, spec: OpenVlaOft, sent: ObservationMap, shape: tuple[int, int]
    ) -> None:
        main, *further = [image.key for image in sent.images]
        if main != "full_image" or not all("wrist" in key for key in further):
            raise InputError(
                f"{place}: observation.images",
                "OpenVLA-OFT takes full_image first, then keys with wrist in them",
                "rename them",
            )
        if [vector.key for vector in sent.vectors] not in ([], ["state"]):
            raise InputError(
                f"{place}: observation.vectors", "OpenVLA-OFT takes one, state", "rename it"
            )
        self._spec, self._shape = spec, shape

    def request(self, fields: Fields, instruction: str, sampling: Sampling) -> bytes:
        """``{"full_image": ..., "wrist...": ..., "state": ..., "instruction": ...}``."""
        message = {**fields, "instruction": instruction}
        double = self._spec.double_encoded
        return json_codec.encode_twice(message) if double else json_codec.encode(message)

    def answer(self, place: object, data: bytes) -> Answer:
        """The list of its arrays, one for each step."""
        decode = json_codec.decode_twice if self._spec.double_encoded else json_codec.decode
        return Answer(chunk(place, decode(place, data), self._shape).astype(np.float64))

    def check_metadata(self, place: object, data: bytes | None) -> None:
        """The server says nothing of itself."""
