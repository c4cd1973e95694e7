"""What is collected about a policy before it is trusted: shares, and how it did in the shadow."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract


class RecentShare:
    """Which share of the recent events was of a kind.

    Args:
        window: events that are remembered.
    """

    def __init__(self, window: int) -> None:
        self._events: deque[bool] = deque(maxlen=window)
        self.hits = 0

    def add(self, hit: bool) -> None:
        """Takes in one event."""
        if len(self._events) == self._events.maxlen:
            self.hits -= self._events[0]
        self._events.append(hit)
        self.hits += hit

    @property
    def count(self) -> int:
        """Events that are remembered."""
        return len(self._events)

    @property
    def share(self) -> float:
        """Hits among them, 0 to 1; 0 before the first event."""
        return self.hits / len(self._events) if self._events else 0.0

    def exceeds(self, largest: float, least: int) -> bool:
        """Whether the share is above ``largest``.

        Until ``least`` events are known, the hits count as if there were that many: one bad event
        in the first two is no verdict, but many bad ones need not be waited for.
        """
        return self.hits > largest * max(len(self._events), least)


def unusable(chunk: NDArray[np.float64], contract: Contract) -> str:
    """Why a chunk must not be executed, or an empty text.

    Args:
        chunk: actions [H, A] in the contract's units.
        contract: gives length, axes and bounds.
    """
    action = contract.action
    shape = (action.chunk_length, len(action.names))
    if chunk.shape != shape:
        return f"gave a chunk of shape {list(chunk.shape)}, not {list(shape)}"
    if not np.isfinite(chunk).all():
        return "gave a chunk that is not finite"
    # In float32, as the networks have it, a bound such as 0.15 is a little larger.
    low, high = action.minimum.astype(np.float32), action.maximum.astype(np.float32)
    if (chunk < low).any() or (chunk > high).any():
        return "left the action bounds"
    return ""


@dataclass(frozen=True)
class ShadowChunk:
    """One chunk that a candidate planned beside the serving policy, from the same job.

    Attributes:
        milliseconds: how long it took.
        late: whether the robot would have had to wait longer than the policy was trained for.
        difference: greatest difference to the serving policy's chunk after the committed
            actions, as a share of the axis' bounds; None where nothing comes after them.
        problem: why it must not be executed; empty if it may.
    """

    milliseconds: float
    late: bool
    difference: float | None
    problem: str = ""


@dataclass
class ShadowFigures:
    """How a candidate did in the shadow."""

    milliseconds: list[float] = field(default_factory=list)
    differences: list[float] = field(default_factory=list)
    late: int = 0

    def add(self, chunk: ShadowChunk) -> None:
        """Takes in one chunk."""
        self.milliseconds.append(chunk.milliseconds)
        self.late += chunk.late
        if chunk.difference is not None:
            self.differences.append(chunk.difference)

    @property
    def chunks(self) -> int:
        """Chunks so far."""
        return len(self.milliseconds)

    def log(self) -> dict[str, str]:
        """The figures as entries of an event."""
        if not self.milliseconds:
            return {"shadow_chunks": "0"}
        found = {
            "shadow_chunks": str(self.chunks),
            "shadow_late": str(self.late),
            "shadow_ms_p50": f"{np.percentile(self.milliseconds, 50):.3f}",
            "shadow_ms_max": f"{max(self.milliseconds):.3f}",
        }
        if self.differences:
            found["shadow_difference_p50"] = f"{np.percentile(self.differences, 50):.4f}"
            found["shadow_difference_max"] = f"{max(self.differences):.4f}"
        return found
