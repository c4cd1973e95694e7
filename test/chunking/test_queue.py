"""The queue splices by consumed actions whatever the delays, and never goes backwards."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_rl_nodes.chunking.queue import ActionQueue, Request

LENGTH, MAX_DELAY = 16, 6


def _plan(request: Request) -> NDArray[np.float64]:
    """Rows that name the consumed index they stand for and the chunk they belong to."""
    rows = np.stack(
        [request.first_index + np.arange(LENGTH), np.full(LENGTH, request.chunk_id)], axis=1
    ).astype(float)
    rows[: request.delay] = request.prefix
    return rows


@settings(max_examples=200)
@given(st.lists(st.integers(0, 25), min_size=1, max_size=40))
def test_every_action_stands_for_its_own_tick(delays: list[int]) -> None:
    queue = ActionQueue(LENGTH, 2, MAX_DELAY)
    pending: tuple[int, Request] | None = None
    taken: list[float] = []
    remaining = list(delays)
    starved_at = 0
    for tick in range(2000):
        if pending is not None and pending[0] <= tick:
            queue.splice(pending[1], _plan(pending[1]))
            pending = None
        request = queue.request()
        if request is not None:
            assert request.delay <= MAX_DELAY
            wait = remaining.pop(0) if remaining else 1
            pending = (tick + max(wait, 1), request)
        planned = queue.take()
        if planned is not None:
            assert planned.action[0] == len(taken)
            taken.append(planned.action[0])
        else:
            starved_at = tick
    assert starved_at < 1900  # once the slow replies are over, it never starves again


def test_prefix_is_what_is_then_executed() -> None:
    queue = ActionQueue(LENGTH, 2, MAX_DELAY)
    first = queue.request()
    assert first is not None and first.delay == 0
    queue.splice(first, _plan(first))
    for _ in range(4):
        assert queue.request() is None
        queue.take()
    second = queue.request()
    assert second is not None and second.delay == 1 and second.first_index == 4
    consumed = queue.take()
    assert consumed is not None
    assert (second.prefix[0] == consumed.action).all()
    assert queue.splice(second, _plan(second)).consumed_delay == 1
    planned = queue.take()
    assert planned is not None
    assert (planned.chunk_id, planned.chunk_index, planned.action[0]) == (1, 1, 5)


def test_overrun_splices_at_the_consumed_index() -> None:
    queue = ActionQueue(LENGTH, 2, MAX_DELAY)
    first = queue.request()
    assert first is not None
    queue.splice(first, _plan(first))
    for _ in range(4):
        queue.take()
    request = queue.request()
    assert request is not None and request.delay == 1
    for _ in range(3):
        queue.take()
    spliced = queue.splice(request, _plan(request))
    assert spliced.used and spliced.consumed_delay == 3 and "overran" in spliced.reason
    assert queue.predicted_delay == 3
    planned = queue.take()
    assert planned is not None and planned.chunk_index == 3 and planned.action[0] == 7


def test_a_chunk_of_the_last_episode_is_dropped() -> None:
    queue = ActionQueue(LENGTH, 2, MAX_DELAY)
    old = queue.request()
    assert old is not None
    queue.start_episode()
    assert not queue.splice(old, _plan(old)).used
    assert queue.take() is None
    new = queue.request()
    assert new is not None and new.episode != old.episode


def test_duplicate_and_broken_chunks_are_dropped() -> None:
    queue = ActionQueue(LENGTH, 2, MAX_DELAY)
    request = queue.request()
    assert request is not None
    broken = _plan(request)
    broken[3, 0] = np.nan
    assert not queue.splice(request, broken).used
    request = queue.request()
    assert request is not None
    assert queue.splice(request, _plan(request)).used
    assert not queue.splice(request, _plan(request)).used


def test_a_delay_above_the_trained_maximum_is_never_prefixed() -> None:
    queue = ActionQueue(LENGTH, 2, MAX_DELAY)
    first = queue.request()
    assert first is not None
    queue.splice(first, _plan(first))
    for _ in range(4):
        queue.take()
    slow = queue.request()
    assert slow is not None
    for _ in range(8):
        queue.take()
    queue.splice(slow, _plan(slow))
    assert queue.predicted_delay == 8
    while (request := queue.request()) is None:
        assert queue.take() is not None
    assert request.delay == 0 and queue.take() is None


def test_starved_ticks_consume_nothing() -> None:
    queue = ActionQueue(LENGTH, 2, MAX_DELAY)
    assert queue.take() is None
    request = queue.request()
    assert request is not None
    assert queue.take() is None
    queue.splice(request, _plan(request))
    planned = queue.take()
    assert planned is not None and planned.chunk_index == 0


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError):
        ActionQueue(4, 2, 4)
    with pytest.raises(ValueError):
        ActionQueue(16, 2, 6, replan_every=11)
