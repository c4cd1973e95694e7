"""The action queue: chunks spliced by the number of actions consumed, never by wall clock.

Real-time chunking with a committed prefix (training-time action conditioning,
arXiv 2512.05964): a chunk is requested at the control tick whose observation it is computed
from, its first ``delay`` actions are the ones already committed, and it is spliced in at the
index of the action that comes next when it arrives.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Request:
    """A chunk that was asked for.

    Attributes:
        chunk_id: counts the requests of an episode.
        episode: generation of the queue; a chunk of an earlier one is dropped.
        first_index: consumed-action index that row 0 of the chunk will stand for.
        prefix: committed actions [delay, axes].
    """

    chunk_id: int
    episode: int
    first_index: int
    prefix: NDArray[np.float64]

    @property
    def delay(self) -> int:
        """How many leading actions are committed."""
        return len(self.prefix)


@dataclass(frozen=True)
class Planned:
    """One action taken from the queue and where it came from."""

    action: NDArray[np.float64]
    chunk_id: int
    chunk_index: int


@dataclass(frozen=True)
class Spliced:
    """What a chunk's arrival did: the delay it really had, and whether it was used."""

    used: bool
    consumed_delay: int
    reason: str = ""


class ActionQueue:
    """Hands out one action a control tick and decides when a new chunk is due.

    Args:
        chunk_length: actions in a chunk.
        axes: components of an action.
        max_delay: most committed actions that the policy was trained to continue from.
        replan_every: ticks between requests while chunks arrive in time.
        delay_window: recent consumed delays whose maximum predicts the next one.
    """

    def __init__(
        self,
        chunk_length: int,
        axes: int,
        max_delay: int,
        replan_every: int = 4,
        delay_window: int = 10,
    ) -> None:
        if not 0 <= max_delay < chunk_length or not 1 <= replan_every <= chunk_length - max_delay:
            raise ValueError("0 <= max_delay, 1 <= replan_every <= chunk_length - max_delay")
        self._length = chunk_length
        self._axes = axes
        self._max_delay = max_delay
        self._replan_every = replan_every
        self._delays: deque[int] = deque(maxlen=delay_window)
        self._episode = 0
        self._requests = 0
        self.start_episode()

    def start_episode(self) -> None:
        """Forgets the chunk, the request in flight and the delays; later arrivals are dropped."""
        self._episode += 1
        self._requests = 0
        self._consumed = 0
        self._chunk: NDArray[np.float64] | None = None
        self._chunk_id = -1
        self._first_index = 0
        self._in_flight: Request | None = None
        self._delays.clear()

    @property
    def predicted_delay(self) -> int:
        """Actions that will be consumed before the next chunk arrives; at least one."""
        return max(self._delays, default=1)

    def request(self) -> Request | None:
        """The request that is due at this tick, before its action is taken, or None.

        A predicted delay above what the policy was trained for is not requested with a shorter
        prefix, which would break the seam silently: the queue then runs out and the next chunk
        is asked for without a prefix, from rest.
        """
        if self._in_flight is not None:
            return None
        ahead = 0 if self._chunk is None else self._length - (self._consumed - self._first_index)
        if ahead <= 0:
            prefix = np.empty((0, self._axes))
        else:
            delay = self.predicted_delay
            used = self._consumed - self._first_index
            if used < max(self._replan_every, delay) or delay > min(self._max_delay, ahead):
                return None
            assert self._chunk is not None
            prefix = self._chunk[used : used + delay].copy()
        self._in_flight = Request(self._requests, self._episode, self._consumed, prefix)
        self._requests += 1
        return self._in_flight

    def take(self) -> Planned | None:
        """The next action, or None when the queue has run out (nothing is consumed then)."""
        index = self._consumed - self._first_index
        if self._chunk is None or index >= self._length:
            return None
        self._consumed += 1
        return Planned(self._chunk[index], self._chunk_id, index)

    def splice(self, request: Request, chunk: NDArray[np.float64]) -> Spliced:
        """Takes over a chunk that has arrived.

        Args:
            request: the request that it answers.
            chunk: actions [chunk_length, axes]; row 0 stands for ``request.first_index``.
        """
        if request.episode != self._episode or request is not self._in_flight:
            return Spliced(False, 0, "not the request in flight")
        self._in_flight = None
        delay = self._consumed - request.first_index
        if chunk.shape != (self._length, self._axes) or not np.isfinite(chunk).all():
            return Spliced(False, delay, "not a finite chunk of the contract's length")
        self._delays.append(max(delay, 1))
        if delay >= self._length:
            return Spliced(False, delay, "later than the whole chunk")
        self._chunk, self._chunk_id = chunk, request.chunk_id
        self._first_index = request.first_index
        overrun = delay > request.delay
        return Spliced(True, delay, "overran its committed prefix" if overrun else "")

    def failed(self, request: Request) -> None:
        """A request that will not be answered: another may be made."""
        if request is self._in_flight:
            self._in_flight = None
