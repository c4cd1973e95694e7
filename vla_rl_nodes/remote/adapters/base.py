"""What the protocols share: the interface, and the numbers of an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote.arrays import Value
from vla_rl_nodes.remote.observe import Fields

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sampling:
    """What a server that samples may be given beside the observation.

    Attributes:
        prefix: float32 [H, A], whose first ``delay`` rows are committed.
        delay: how many.
        noise: float32 [H, A].
    """

    prefix: NDArray[np.float32]
    delay: int
    noise: NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """A chunk as served: finite numbers [steps, axes], and the server's own time if it says."""

    actions: Array
    server_ms: float | None = None


class Adapter(Protocol):
    """One protocol.

    Attributes:
        schemes: of its URL, plain and encrypted.
        path: of its URL when the file names none.
    """

    schemes: tuple[str, str]
    path: str

    def request(self, fields: Fields, instruction: str, sampling: Sampling) -> bytes:
        """The bytes of one request."""

    def answer(self, place: object, data: bytes) -> Answer:
        """The chunk in an answer.

        Raises:
            InputError: it is not one of the expected shape, or not finite.
        """

    def check_metadata(self, place: object, data: bytes | None) -> None:
        """Looks at what the server said when the connection was opened.

        Raises:
            InputError: it does not serve what the file says.
        """


def numbers(place: object, value: Value) -> NDArray[Any]:
    """An array of numbers from one, or from a list of equal rows.

    Raises:
        InputError: anything else, such as the word with which a server reports an error.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind in "iuf":
        return value
    if isinstance(value, list) and value:
        if all(isinstance(item, int | float) and not isinstance(item, bool) for item in value):
            # A whole number in JSON can be longer than any float; it is refused as not finite.
            return np.array([float(n) if abs(n) < 1e300 else np.inf for n in value])
        rows = [numbers(place, item) for item in value]
        if all(row.shape == rows[0].shape for row in rows):
            return np.stack(rows)
    said = f" ({value[:40]!r})" if isinstance(value, str) else ""
    raise InputError(place, f"answered with no array of actions{said}", "read the server's log")


def chunk(place: object, value: Value, shape: tuple[int, int]) -> NDArray[Any]:
    """The array [steps, axes] in a value; a single step may come without its first axis.

    Raises:
        InputError: another shape, or a number that is not finite.
    """
    found = numbers(place, value)
    if shape[0] == 1 and found.ndim == 1:
        found = found[None]
    if found.shape != shape:
        raise InputError(
            place,
            f"answered with actions {list(found.shape)}, the file says {list(shape)}",
            "correct steps and axes, or take the server that the file is for",
        )
    if not np.isfinite(found).all():
        raise InputError(place, "answered with actions that are not finite", "check the model")
    return found


def integers(place: object, found: NDArray[Any]) -> NDArray[np.int64]:
    """Tokens or coefficients.

    Raises:
        InputError: the numbers are not whole, or beyond 32 bits.
    """
    whole = np.rint(found.astype(np.float64))
    if (whole != found).any() or np.abs(whole).max() >= 2**31:
        raise InputError(place, "answered with numbers that are not whole", "correct answer.kind")
    return whole.astype(np.int64)
