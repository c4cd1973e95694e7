"""The action queue: chunks joined by the number of actions consumed, never by wall clock.

Real-time chunking (arXiv 2506.07339, arXiv 2512.05964): a chunk is asked for at the control tick
whose observation it is computed from, the actions that will be consumed meanwhile are committed,
and it is joined at the index of the action that comes next when it arrives.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.chunking.delays import DelayEstimate

Array = NDArray[np.float64]


class Merge(StrEnum):
    """How an arriving chunk joins the running one."""

    SPLICE = "splice"  # the new one replaces the rest of the old one
    WAIT = "wait"  # the arm stands still until the new one is there
    AVERAGE = "average"  # the action is a weighted mean of all that cover it


@dataclass(frozen=True)
class Request:
    """A chunk that was asked for.

    Attributes:
        chunk_id: counts the requests of an episode.
        episode: generation of the queue; a chunk of an earlier one is dropped.
        tick: control tick at which it was asked for.
        first_index: consumed-action index that row 0 of the chunk will stand for.
        delay: predicted delay, the number of leading actions that are committed.
        ahead: what is planned from ``first_index`` on [planned, axes]; empty from rest.
    """

    chunk_id: int
    episode: int
    tick: int
    first_index: int
    delay: int
    ahead: Array

    @property
    def prefix(self) -> Array:
        """The committed actions [delay, axes]."""
        return self.ahead[: self.delay]


@dataclass(frozen=True)
class Planned:
    """One action taken from the queue and where it came from."""

    action: Array
    chunk_id: int
    chunk_index: int


@dataclass(frozen=True)
class Spliced:
    """What a chunk's arrival did.

    Attributes:
        used: whether its actions will be executed.
        delay: actions consumed between its request and its arrival.
        reason: why it was not used, or what was unusual; empty otherwise, and after a
            hand-back.
        prefix_error: greatest difference between its rows and what was executed meanwhile, in
            action units; None when nothing was.
    """

    used: bool
    delay: int
    reason: str = ""
    prefix_error: float | None = None


@dataclass
class Counts:
    """What happened since the queue was made."""

    requested: int = 0
    used: int = 0
    underestimated: int = 0  # used, but more actions were consumed than predicted
    late: int = 0  # refused: later than the policy was trained for, or than the chunk is long
    lost: int = 0  # never answered in time
    failed: int = 0  # answered with an error, or with what is no chunk
    dropped: int = 0  # repeated, out of order, or asked for before a hand-back
    starved: int = 0  # ticks without an action after the first action of an episode
    proposed: int = 0  # taken over while somebody else commanded: not among the used
    reprimed: int = 0  # ticks after a hand-back until its first action


@dataclass(frozen=True)
class _Chunk:
    chunk_id: int
    first_index: int
    rows: Array


class ActionQueue:
    """Hands out one action a control tick and decides when a new chunk is due.

    While somebody else commands the arm, between :meth:`take_over` and :meth:`hand_back`, its
    actions are proposals. Each chunk then begins anew, with no committed actions, and its rows
    pass with the ticks; nothing is learnt of seams, delays or starving. No chunk that was asked
    for before a hand-back gives an action after it.

    Not thread-safe: the tick's thread alone calls it.

    Args:
        chunk_length: actions in a chunk, H.
        axes: components of an action, A.
        max_prefix: most committed actions that the policy can continue.
        max_delay: a chunk that took longer is refused; None for ``max_prefix``.
        replan_every: actions executed between two requests while chunks arrive in time.
        lost_after: ticks after which an unanswered request is given up.
        merge: how chunks are joined.
        decay: of the weights of an average, exp(-decay * i) from the oldest chunk on.
    """

    def __init__(
        self,
        chunk_length: int,
        axes: int,
        max_prefix: int,
        *,
        max_delay: int | None = None,
        replan_every: int = 4,
        lost_after: int = 40,
        merge: Merge = Merge.SPLICE,
        decay: float = 0.01,
    ) -> None:
        room = chunk_length - max_prefix
        if not 0 <= max_prefix < chunk_length or not 1 <= replan_every <= room:
            raise ValueError("0 <= max_prefix, 1 <= replan_every <= chunk_length - max_prefix")
        if lost_after < 1:
            raise ValueError("lost_after must be at least 1")
        self._length, self._axes = chunk_length, axes
        self._max_delay = max_prefix if max_delay is None else max_delay
        self._replan_every, self._lost_after = replan_every, lost_after
        self._merge, self._decay = merge, decay
        self.estimate = DelayEstimate(max_prefix)
        self.counts = Counts()
        self._episode = 0
        self.start_episode()

    def start_episode(self) -> None:
        """Forgets chunks and the request in flight; what arrives for it later is dropped.

        The delays are kept: the machine is the same.
        """
        self._episode += 1
        self._requests = self._tick = self._consumed = 0
        self._chunks: deque[_Chunk] = deque()
        self._in_flight: Request | None = None
        self._let_go: Request | None = None  # unanswered when the arm was handed back
        self._executed: deque[Array] = deque(maxlen=self._length)
        self._followed, self._repriming = True, False
        self._taken_over_at = 0  # consumed-action index

    def take_over(self) -> None:
        """Somebody else commands the arm: from now on actions are proposed, not executed.

        What is planned, and what is under way, bridges the time until a chunk is there that was
        asked for from now on.
        """
        self._executed.clear()
        self._followed, self._repriming = False, False
        self._taken_over_at = self._consumed

    def hand_back(self) -> None:
        """The actions are executed again: nothing is planned, and a chunk is due at once."""
        if self._in_flight is not None:
            self._let_go, self._in_flight = self._in_flight, None
        self._chunks.clear()
        self._executed.clear()
        self._followed = self._repriming = True

    @property
    def followed(self) -> bool:
        """Whether its actions are executed."""
        return self._followed

    @property
    def max_delay(self) -> int:
        """Most committed actions that a chunk may continue."""
        return self._max_delay

    @property
    def left(self) -> int:
        """Actions that are still planned."""
        return len(self._ahead())

    @property
    def in_time(self) -> bool:
        """Whether a request is under way that has not taken longer than predicted."""
        waiting = self._in_flight
        return waiting is not None and self._tick - waiting.tick <= waiting.delay

    @property
    def executed(self) -> Array:
        """The last actions taken, oldest first, at most a chunk's length [n, axes]."""
        return np.array(self._executed).reshape(-1, self._axes)

    def request(self) -> Request | None:
        """The request that is due at this tick, before its action is taken, or None.

        The prefix is as long as the predicted delay. Where less than that is still planned,
        nothing is asked for: a shorter prefix would break the seam silently. The queue then runs
        out and the next chunk is asked for from rest.
        """
        self.expire()
        if self._in_flight is not None:
            return None
        ahead = self._ahead()
        if not self._followed:
            anew = len(ahead) and self._chunks[-1].first_index >= self._taken_over_at
            if anew and self._used() < self._replan_every:
                return None
            ahead = ahead[:0]
        elif self._merge is Merge.WAIT:
            if len(ahead) and self._used() < self._replan_every:
                return None
            self._chunks.clear()
            ahead = ahead[:0]
        delay = 0
        if len(ahead):
            delay = self.estimate.predicted
            if self._used() < max(self._replan_every, delay) or delay > len(ahead):
                return None
        self._in_flight = Request(
            self._requests, self._episode, self._tick, self._consumed, delay, ahead
        )
        self._requests += 1
        self.counts.requested += 1
        return self._in_flight

    def take(self) -> Planned | None:
        """Ends the tick: its action, or None when nothing is planned (nothing is consumed)."""
        self._tick += 1
        planned = None
        if len(self._ahead()):
            newest = self._chunks[-1]
            index = self._consumed - newest.first_index
            action = newest.rows[index] if len(self._chunks) == 1 else self._average()
            planned = Planned(action, newest.chunk_id, index)
        if not self._followed:
            self._consumed += 1  # the ticks pass, whether or not anything was proposed
        elif planned is not None:
            self._consumed += 1
            self._executed.append(planned.action)
            self._repriming = False
        elif self._repriming:
            self.counts.reprimed += 1
        else:
            self.counts.starved += bool(self._executed)
        return planned

    def splice(self, request: Request, chunk: Array) -> Spliced:
        """Takes over a chunk that has arrived.

        Args:
            request: the request that it answers.
            chunk: actions [chunk_length, axes]; row 0 stands for ``request.first_index``.
        """
        if request is self._let_go:
            self._let_go = None
            self.counts.dropped += 1
            return Spliced(False, 0)
        if request.episode != self._episode or request is not self._in_flight:
            self.counts.dropped += 1
            return Spliced(False, 0, "not the request in flight")
        self._in_flight = None
        delay = self._consumed - request.first_index
        if chunk.shape != (self._length, self._axes) or not np.isfinite(chunk).all():
            self.counts.failed += 1
            return Spliced(False, delay, "not a finite chunk of the contract's length")
        if not self._followed:
            self._chunks.clear()
            self._chunks.append(_Chunk(request.chunk_id, request.first_index, chunk))
            self.counts.proposed += 1
            return Spliced(True, delay)
        self.estimate.observe(self._tick - request.tick)
        if delay > self._max_delay:
            self.counts.late += 1
            return Spliced(
                False, delay, f"{delay} actions late, at most {self._max_delay} are allowed"
            )
        error = self._prefix_error(chunk, delay)
        if self._merge is not Merge.AVERAGE:
            self._chunks.clear()
        self._chunks.append(_Chunk(request.chunk_id, request.first_index, chunk))
        self.counts.used += 1
        if delay > request.delay:
            self.counts.underestimated += 1
            return Spliced(True, delay, "overran its committed prefix", error)
        return Spliced(True, delay, "", error)

    def expire(self) -> None:
        """Gives the request in flight up when it has waited for ``lost_after`` ticks."""
        waiting = self._in_flight
        if waiting is not None and self._tick - waiting.tick >= self._lost_after:
            self._in_flight = None
            self.counts.lost += 1

    def failed(self, request: Request) -> None:
        """A request that will not be answered: another may be made."""
        if request is self._in_flight:
            self._in_flight = None
            self.counts.failed += 1

    def abandon(self) -> None:
        """Gives the request in flight up, for another policy; its answer will be dropped."""
        self._in_flight = None

    def _used(self) -> int:
        return self._consumed - self._chunks[-1].first_index

    def _ahead(self) -> Array:
        """What is planned from the next action on, of the newest chunk [n, axes]."""
        while self._chunks and self._consumed - self._chunks[0].first_index >= self._length:
            self._chunks.popleft()
        if not self._chunks:
            return np.empty((0, self._axes))
        return self._chunks[-1].rows[self._used() :]

    def _average(self) -> Array:
        """Weighted mean of every chunk's action for this tick, the oldest the heaviest (ACT,
        arXiv 2304.13705)."""
        rows = [chunk.rows[self._consumed - chunk.first_index] for chunk in self._chunks]
        weights = np.exp(-self._decay * np.arange(len(rows)))
        mean: Array = weights @ np.array(rows) / weights.sum()
        return mean

    def _prefix_error(self, chunk: Array, delay: int) -> float | None:
        if delay == 0:
            return None
        executed = np.array([self._executed[k] for k in range(-delay, 0)])
        return float(np.abs(chunk[:delay] - executed).max())
