"""The control ticks of an episode: how many came, when, and what they had to look at."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.recording import POLICY_STATUS, Event, Recording
from vla_rl_nodes.replay.steps import Tick, read_ticks

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TickMeasure:
    """Counts of an episode's control ticks, and their times.

    Attributes:
        ticks: reported by what acts, from the episode's start to its end.
        expected: whole control periods in the episode's duration.
        acted: ticks that gave an action.
        starved: ticks without an action because no chunk was left.
        blind: ticks without an action because a stream had no sample young enough.
        skipped: ticks that the node left out because it was still busy.
        lateness_ms: how late each tick began [ticks].
        ages_ms: age of the sample that was used, by stream key, one for each tick that saw.
    """

    ticks: int
    expected: int
    acted: int
    starved: int
    blind: int
    skipped: int
    lateness_ms: Array
    ages_ms: dict[str, Array]

    @property
    def kept(self) -> float | None:
        """Share of the expected ticks that gave an action; None when none was expected."""
        return min(self.acted, self.expected) / self.expected if self.expected else None


def number(event: Event, key: str, place: str) -> float | None:
    """A value of an event as a finite number; None where it is absent or empty.

    Raises:
        InputError: another text.
    """
    text = event.values.get(key, "")
    if text == "":
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(
            f"{place} at {event.stamp_ns}", f"'{key}' is '{text[:40]}', not a finite number",
            "check its publisher",
        )  # fmt: skip
    return value


def ticks_until(recording: Recording, end_ns: int) -> list[tuple[Tick, Event]]:
    """The episode's ticks before its end, each with its report, in order.

    Raises:
        InputError: a report whose values are no numbers.
    """
    reports: dict[int, Event] = {}
    for event in recording.events(POLICY_STATUS):
        if event.values.get("episode_id") == recording.episode_id:
            reports.setdefault(event.stamp_ns, event)  # of two the first, as in read_ticks
    ticks, _ = read_ticks(recording)
    return [(tick, reports[tick.stamp_ns]) for tick in ticks if tick.stamp_ns < end_ns]


def present(actions: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which rows of actions [T, A] hold one, bool [T]."""
    return np.asarray(np.isfinite(actions).all(axis=1), dtype=np.bool_)


def measure_ticks(
    ticks: list[tuple[Tick, Event]],
    acted: NDArray[np.bool_],
    duration_s: float,
    contract: Contract,
) -> TickMeasure:
    """Counts and times of an episode's ticks.

    Args:
        ticks: of the episode, in order.
        acted: which of them gave an action [T].
        duration_s: from the episode's start to its end.
        contract: gives the rate and the streams.

    Raises:
        InputError: a report whose values are no numbers.
    """
    late = [number(event, "lateness_ms", POLICY_STATUS) for _, event in ticks]
    skips = [number(event, "skipped_ticks", POLICY_STATUS) for _, event in ticks]
    counts = [int(s) for s in skips if s is not None]  # since the node's start
    ages: dict[str, list[float]] = {stream.key: [] for stream in contract.streams}
    for tick, _ in ticks:
        for key, stamp in tick.sample_stamps_ns.items():
            if key in ages:
                ages[key].append((tick.stamp_ns - stamp) / 1e6)
    return TickMeasure(
        ticks=len(ticks),
        # Rounding must not take a period away from an episode of exactly so many.
        expected=math.floor(duration_s * contract.policy_hz + 1e-6),
        acted=int(acted.sum()),
        starved=sum(event.values.get("starved") == "1" for _, event in ticks),
        blind=sum("blind" in event.values for _, event in ticks),
        skipped=counts[-1] - counts[0] if counts else 0,
        lateness_ms=np.array([x for x in late if x is not None]),
        ages_ms={key: np.array(values) for key, values in ages.items()},
    )
