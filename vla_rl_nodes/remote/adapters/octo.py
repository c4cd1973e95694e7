"""Octo: a window of observations and a task by HTTP POST, a chunk of four actions back.

octo-models/octo comes without a server. This is the interface of its ``sample_actions`` in
json-numpy: ``observation`` with batch and window axes and ``timestep_pad_mask``, ``task`` with
either ``language_instruction`` or the image of the goal, ``unnorm_key`` for the data set whose
statistics scale the action; the answer is the array [1, steps, axes] alone.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote import json_codec
from vla_rl_nodes.remote.adapters.base import Answer, Sampling, chunk, numbers
from vla_rl_nodes.remote.arrays import Value
from vla_rl_nodes.remote.observe import Fields, fitted
from vla_rl_nodes.remote.spec import ImageField, ObservationMap, Octo

LARGEST_GOAL = 16 << 20


class OctoAdapter:
    """See the module.

    The window holds the observations of the last requests. One that is not as old as its place
    in the window says, to half a step of the server, is masked as padding: after a pause, at the
    start of an episode, or when the requests come at another rate.

    Args:
        place: of the YAML file, for the errors.
        spec: of the protocol.
        sent: of the observation.
        shape: steps and axes of the answer.
        rate_hz: of the server's steps.
        clock: monotonic seconds.

    Raises:
        InputError: a key that Octo has not, or a goal image that cannot be read.
    """

    schemes = ("http", "https")
    path = "/act"

    def __init__(
        self,
        place: object,
        spec: Octo,
        sent: ObservationMap,
        shape: tuple[int, int],
        rate_hz: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        goal = next((image for image in sent.images if image.key == spec.goal_key), None)
        if not all(image.key.startswith("image_") for image in sent.images) or goal is None:
            raise InputError(
                f"{place}: observation.images",
                f"Octo's images are image_primary and image_wrist, one of them {spec.goal_key}",
                "rename them",
            )
        if [vector.key for vector in sent.vectors] not in ([], ["proprio"]):
            raise InputError(
                f"{place}: observation.vectors", "Octo takes one, proprio", "rename it"
            )
        self._spec, self._shape, self._step_s, self._clock = spec, shape, 1.0 / rate_hz, clock
        self._goal = None if spec.goal_image is None else _goal(spec.goal_image, goal)
        self._window: deque[tuple[float, Fields]] = deque(maxlen=spec.window)

    def request(self, fields: Fields, instruction: str, sampling: Sampling) -> bytes:
        """``{"observation": ..., "task": ..., "unnorm_key": ...}``."""
        now = self._clock()
        self._window.append((now, fields))
        missing = self._spec.window - len(self._window)
        places = [self._window[0]] * missing + list(self._window)
        ages = np.array([(now - at) / self._step_s for at, _ in places])
        due = np.arange(self._spec.window - 1, -1, -1)
        valid = np.abs(ages - due) <= 0.5
        observation: dict[str, Value] = {
            key: np.stack([past[key] for _, past in places])[None] for key in fields
        }
        observation["timestep_pad_mask"] = valid[None]
        task: dict[str, Value] = (
            {"language_instruction": [instruction]} if self._goal is None
            else {self._spec.goal_key: self._goal[None]}
        )  # fmt: skip
        return json_codec.encode(
            {"observation": observation, "task": task, "unnorm_key": self._spec.unnorm_key}
        )

    def answer(self, place: object, data: bytes) -> Answer:
        """The array, whose first axis is a batch of one."""
        found = numbers(place, json_codec.decode(place, data))
        if found.shape[:1] != (1,):
            raise InputError(place, "answered with no batch of one", "check what serves there")
        return Answer(chunk(place, found[0], self._shape).astype(np.float64))

    def check_metadata(self, place: object, data: bytes | None) -> None:
        """The server says nothing of itself."""


def _goal(path: str, field: ImageField) -> NDArray[np.uint8]:
    """The image of the goal [height, width, 3] in the server's size."""
    file = Path(path).expanduser()
    try:
        if file.stat().st_size > LARGEST_GOAL:
            raise InputError(file, f"is over {LARGEST_GOAL >> 20} MiB", "give a smaller image")
        with Image.open(file, formats=("JPEG", "PNG")) as picture:
            return fitted(field, np.asarray(picture.convert("RGB")))
    except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(file, "is no JPEG or PNG image", "give the image of the goal") from error
