"""OpenVLA: one image and an instruction by HTTP POST, one action of seven numbers back.

The server is ``vla-scripts/deploy.py`` of openvla/openvla: ``/act`` takes ``image``,
``instruction`` and ``unnorm_key`` and answers with the array alone; what fails there is answered
with the text "error". The model gives tokens (RT-2 too); a server that hands them out unscaled is
read with ``answer: {kind: tokens, ...}``.
"""

from __future__ import annotations

import numpy as np

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote import json_codec
from vla_rl_nodes.remote.action_tokens import ActionTokens
from vla_rl_nodes.remote.adapters.base import Answer, Sampling, chunk, integers
from vla_rl_nodes.remote.observe import Fields
from vla_rl_nodes.remote.spec import ObservationMap, OpenVla


class OpenVlaAdapter:
    """See the module.

    Raises:
        InputError: the map holds anything but one image under the key ``image``.
    """

    schemes = ("http", "https")
    path = "/act"

    def __init__(
        self, place: object, spec: OpenVla, sent: ObservationMap, shape: tuple[int, int]
    ) -> None:
        if [image.key for image in sent.images] != ["image"] or sent.vectors:
            raise InputError(
                f"{place}: observation", "OpenVLA takes one image and no state", "send key image"
            )
        self._spec, self._shape = spec, shape
        self._tokens = None
        if spec.answer is not None:
            self._tokens = ActionTokens(
                spec.answer.vocabulary,
                np.array(spec.answer.low),
                np.array(spec.answer.high),
                np.array(spec.answer.scaled),
            )
            if len(spec.answer.low) != shape[1]:
                raise InputError(
                    f"{place}: protocol.answer", "has not one entry for each axis", "add them"
                )

    def request(self, fields: Fields, instruction: str, sampling: Sampling) -> bytes:
        """``{"image": ..., "instruction": ..., "unnorm_key": ...}``."""
        message = {**fields, "instruction": instruction, "unnorm_key": self._spec.unnorm_key}
        double = self._spec.double_encoded
        return json_codec.encode_twice(message) if double else json_codec.encode(message)

    def answer(self, place: object, data: bytes) -> Answer:
        """The array itself: the action, or its tokens."""
        decode = json_codec.decode_twice if self._spec.double_encoded else json_codec.decode
        found = chunk(place, decode(place, data), self._shape)
        if self._tokens is None:
            return Answer(found.astype(np.float64))
        return Answer(self._tokens.decode(integers(place, found)))

    def check_metadata(self, place: object, data: bytes | None) -> None:
        """The server says nothing of itself."""
