"""openpi: π0, π0-FAST and π0.5 behind a websocket, msgpack both ways.

The server is ``WebsocketPolicyServer`` of Physical-Intelligence/openpi: its first message is its
metadata, then each map of arrays with ``prompt`` is answered by one with ``actions`` [H, A] and
``server_timing``; ``GET /healthz`` answers OK.

Upstream's server samples its own noise and knows no prefix. A server that says ``prefix`` in its
metadata takes the maps' further keys ``prefix``, ``delay`` and ``noise``, all in our units.
"""

from __future__ import annotations

import math

import numpy as np

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote import fast, msgpack_codec
from vla_rl_nodes.remote.adapters.base import Answer, Sampling, chunk, integers
from vla_rl_nodes.remote.arrays import Value
from vla_rl_nodes.remote.observe import Fields
from vla_rl_nodes.remote.spec import ObservationMap, OpenPi

_PROMPT = "prompt"
_EXTENSION = ("prefix", "delay", "noise")


class OpenPiAdapter:
    """See the module.

    Raises:
        InputError: the map takes a key that the protocol has another use for.
    """

    schemes = ("ws", "wss")
    path = "/"

    def __init__(
        self, place: object, spec: OpenPi, sent: ObservationMap, shape: tuple[int, int]
    ) -> None:
        for key in [image.key for image in sent.images] + [v.key for v in sent.vectors]:
            if key in (_PROMPT, *_EXTENSION):
                raise InputError(f"{place}: observation", f"key {key} is taken", "rename it")
        self._spec, self._shape = spec, shape

    def request(self, fields: Fields, instruction: str, sampling: Sampling) -> bytes:
        """The fields, ``prompt``, and where the server takes them the three further keys."""
        message: dict[str, Value] = {**fields, _PROMPT: instruction}
        if self._spec.prefix:
            message |= {
                "prefix": sampling.prefix, "delay": sampling.delay, "noise": sampling.noise,
            }  # fmt: skip
        return msgpack_codec.encode(message)

    def answer(self, place: object, data: bytes) -> Answer:
        """``actions``: the chunk, or FAST's coefficients of it."""
        message = msgpack_codec.decode(place, data)
        if not isinstance(message, dict) or "actions" not in message:
            raise InputError(place, "answered without actions", "check what serves there")
        found = chunk(place, message["actions"], self._shape)
        took = _milliseconds(message.get("server_timing"))
        if self._spec.answer is None:
            return Answer(found.astype(np.float64), took)
        return Answer(fast.decode(integers(place, found), self._spec.answer.scale), took)

    def check_metadata(self, place: object, data: bytes | None) -> None:
        """A map; with ``prefix: true`` where the file relies on it."""
        metadata = msgpack_codec.decode(place, data or b"")
        if not isinstance(metadata, dict):
            raise InputError(place, "does not begin with its metadata", "check what serves there")
        if self._spec.prefix and metadata.get("prefix") is not True:
            raise InputError(
                place, "does not say that it takes a prefix", "set protocol.prefix to false"
            )


def _milliseconds(timing: Value) -> float | None:
    """What the server says it took; nothing depends on it, so anything odd counts as silence."""
    value = timing.get("infer_ms") if isinstance(timing, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and 0 <= value < 1e7 else None
