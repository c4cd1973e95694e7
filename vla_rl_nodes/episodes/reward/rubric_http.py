"""The 1 to 5 rubric by a model that is served over HTTP.

The request is JSON: ``{"task": "<text>", "frames": ["<base64 of a JPEG>", ...]}``, the frames in
order and evenly over the episode, the last one its final state. The answer is JSON, too:
``{"answer": "<text>"}``, whose last line is ``ANSWER: n``.
"""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vla_rl_nodes.episodes.reward.judge import Look
from vla_rl_nodes.episodes.reward.rubric import Rubric, Scale, Scored, parse_answer
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote.address import check_address
from vla_rl_nodes.remote.http_link import HttpLink
from vla_rl_nodes.remote.json_codec import decode, encode
from vla_rl_nodes.remote.spec import Server

JPEG_QUALITY = 90


class HttpRubric(Rubric):
    """Asks a server; it may come up after the node, and may go and come back.

    Args:
        place: of the YAML file, for the errors.
        server: where, and how long an answer may take.
        camera: whose frames are sent.
        frames: how many.
        scale: what the scores are worth.

    Raises:
        InputError: the address is not acceptable, or its key is missing.
    """

    def __init__(
        self, place: object, server: Server, camera: str, frames: int, scale: Scale
    ) -> None:
        self._address = check_address(place, server, ("http", "https"), "/score")
        super().__init__(f"rubric5/{self._address.host}", (camera,), frames, scale)
        self._link = HttpLink(self._address, server.connect_s, server.largest_answer)
        self._camera, self._seconds = camera, server.answer_s

    def _score(self, look: Look) -> Scored:
        request = {"task": look.task, "frames": [_jpeg(f) for f in look.frames[self._camera]]}
        place = self._address.url
        answer: Any = decode(place, self._link.exchange(encode(request), self._seconds))
        if not isinstance(answer, dict) or not isinstance(answer.get("answer"), str):
            raise InputError(place, "holds no text 'answer'", "check what serves there")
        return parse_answer(place, answer["answer"])

    def close(self) -> None:
        """Ends the connection."""
        self._link.close()


def _jpeg(frame: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
