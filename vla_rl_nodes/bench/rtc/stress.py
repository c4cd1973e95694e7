"""The action queue in simulated time: jitter, a cold start, spikes, lost and disordered chunks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.chunking.queue import ActionQueue, Request

POLICY_HZ = 50
CHUNK_LENGTH = 50
MAX_DELAY = 10
REPLAN_EVERY = 8
LOST_AFTER = 25


@dataclass(frozen=True)
class Latency:
    """Inference times in milliseconds: log-normal jitter, a slow first call, spikes.

    Attributes:
        median_ms: of the jitter.
        sigma: of its logarithm.
        cold_ms: of the first call.
        spike_factor: what a spike multiplies a call by.
        spike_every: calls between two spikes.
    """

    median_ms: float = 70.0
    sigma: float = 0.15
    cold_ms: float = 900.0
    spike_factor: float = 5.0
    spike_every: int = 1000


@dataclass(frozen=True)
class Faults:
    """Shares of the chunks that are lost, arrive twice, or arrive after a later one."""

    lost: float = 0.0
    twice: float = 0.0
    reordered: float = 0.0


@dataclass
class _Arrival:
    tick: int
    request: Request


def stress(ticks: int, seed: int, latency: Latency, faults: Faults) -> dict[str, Any]:
    """Runs the queue for so many control ticks.

    Every action carries the consumed index that it stands for, so that an action out of order,
    repeated or left out shows.

    Returns:
        ``ticks``, ``actions``, ``starved``, ``out_of_order``, ``underestimated_share`` (chunks
        used after more actions than predicted), ``longest_hold_ticks`` and the queue's counts.
    """
    rng = np.random.default_rng(seed)
    queue = ActionQueue(
        CHUNK_LENGTH, 2, MAX_DELAY, replan_every=REPLAN_EVERY, lost_after=LOST_AFTER
    )
    period_ms = 1000.0 / POLICY_HZ
    arrivals: list[_Arrival] = []
    kept_back: Request | None = None
    taken = out_of_order = hold = longest_hold = 0
    for tick in range(ticks):
        for arrival in [a for a in arrivals if a.tick <= tick]:
            arrivals.remove(arrival)
            queue.splice(arrival.request, _chunk(arrival.request))
        request = queue.request()
        if request is not None:
            number = queue.counts.requested - 1
            took_ms = latency.median_ms * float(rng.lognormal(0.0, latency.sigma))
            if number == 0:
                took_ms = latency.cold_ms
            elif number % latency.spike_every == 0:
                took_ms *= latency.spike_factor
            due = tick + max(1, int(np.ceil(took_ms / period_ms)))
            fate = rng.random()
            if fate < faults.lost:
                pass
            elif fate < faults.lost + faults.reordered:
                kept_back = request
            else:
                arrivals.append(_Arrival(due, request))
                if kept_back is not None:
                    arrivals.append(_Arrival(due + 1, kept_back))
                    kept_back = None
                if fate > 1.0 - faults.twice:
                    arrivals.append(_Arrival(due + 2, request))
        planned = queue.take()
        if planned is None:
            hold += 1
            longest_hold = max(longest_hold, hold if taken else 0)
            continue
        hold = 0
        out_of_order += int(planned.action[0] != taken)
        taken += 1
    counts = asdict(queue.counts)
    return {
        "ticks": ticks,
        "actions": taken,
        "out_of_order": out_of_order,
        "longest_hold_ticks": longest_hold,
        "underestimated_share": counts["underestimated"] / max(counts["used"], 1),
        **counts,
    }


def _chunk(request: Request) -> NDArray[np.float64]:
    """Rows that name the consumed index they stand for, and their chunk."""
    index = request.first_index + np.arange(CHUNK_LENGTH, dtype=np.float64)
    return np.stack([index, np.full(CHUNK_LENGTH, float(request.chunk_id))], axis=1)
