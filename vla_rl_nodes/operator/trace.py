"""The last seconds of actions, tick by tick: proposed, a person's, executed, and the seams."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.operator.said import Said

SECONDS = 10.0
MOST_ROWS = 400
SETTLED_NS = 200_000_000  # after which a tick's messages have all come
DIGITS = 5

Row = list[float]


@dataclass
class Tick:
    """What is known of one control tick.

    Attributes:
        number: of the tick, in the order in which they were heard of.
        stamp_ns: the name of the tick.
        chunk_id: of the plan that the proposed action is from.
        seam: whether that plan is another one than the tick's before.
        source: who was in command of what was executed.
    """

    number: int
    stamp_ns: int
    proposed: Row | None = None
    human: Row | None = None
    executed: Row | None = None
    chunk_id: str = ""
    seam: bool = False
    source: str = ""
    changed: bool = False


class Trace:
    """Joins the actions by their stamps; the stamp is the name of a tick.

    Args:
        axes: of the contract's action.
        hz: ticks a second.
    """

    def __init__(self, axes: Sequence[str], hz: float) -> None:
        self._axes = tuple(axes)
        self._most = min(MOST_ROWS, max(1, round(SECONDS * hz)))
        self._ticks: OrderedDict[int, Tick] = OrderedDict()
        self._number = 0
        self._chunk_id = ""
        self._plan: dict[str, Any] | None = None

    def vector(
        self, what: str, stamp_ns: int, names: Sequence[str], values: Sequence[float]
    ) -> None:
        """An action that was ``proposed``, ``human`` or ``executed``; another contract's is left
        out."""
        if tuple(names) != self._axes or len(values) != len(self._axes):
            return
        if not np.isfinite(np.asarray(values, dtype=np.float64)).all():
            return
        setattr(self._tick(stamp_ns), what, [round(float(v), DIGITS) for v in values])

    def policy(self, said: Said) -> None:
        """A tick of the policy: which plan its action is from."""
        chunk_id = said.text("chunk_id")
        tick = self._tick(said.stamp_ns)
        tick.chunk_id = chunk_id
        tick.seam = bool(chunk_id and self._chunk_id and chunk_id != self._chunk_id)
        if chunk_id:
            self._chunk_id = chunk_id

    def filtered(self, said: Said) -> None:
        """What the filter made of a tick."""
        stamp = said.number("command_stamp")
        if stamp and said.values["command_stamp"].isdecimal():
            tick = self._tick(int(said.values["command_stamp"]))
            tick.source = said.text("source")
            tick.changed = bool(said.values.get("reasons"))

    def planned(self, stamp_ns: int, names: Sequence[str], rows: NDArray[np.float64]) -> None:
        """A new plan, rows [n, axes] from its stamp on, one tick apart."""
        if tuple(names) != self._axes or rows.ndim != 2 or rows.shape[1:] != (len(names),):
            return
        if len(rows) > 256 or not np.isfinite(rows).all():
            return
        self._plan = {"at_ms": stamp_ns / 1e6, "rows": np.round(rows, DIGITS).tolist()}

    @property
    def plan(self) -> dict[str, Any] | None:
        """The newest plan."""
        return self._plan

    def since(self, number: int, now_ns: int) -> tuple[list[list[Any]], int]:
        """The ticks after one, as far as they are complete.

        Args:
            number: of the last tick that is known.
            now_ns: nodes' clock.

        Returns:
            Rows of [stamp ms, proposed, human, executed, seam, source, changed], and the number
            of the last of them.
        """
        rows: list[list[Any]] = []
        for tick in self._ticks.values():
            if tick.number <= number:
                continue
            if tick.stamp_ns > now_ns - SETTLED_NS:
                break
            number = tick.number
            rows.append(
                [
                    tick.stamp_ns / 1e6, tick.proposed, tick.human, tick.executed,
                    int(tick.seam), tick.source, int(tick.changed),
                ]
            )  # fmt: skip
        return rows, number

    def _tick(self, stamp_ns: int) -> Tick:
        tick = self._ticks.get(stamp_ns)
        if tick is None:
            self._number += 1
            tick = self._ticks[stamp_ns] = Tick(self._number, stamp_ns)
            while len(self._ticks) > self._most:
                self._ticks.popitem(last=False)
        return tick
