"""The queue joins by consumed actions whatever the delays, and never goes backwards."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_rl_nodes.chunking.queue import ActionQueue, Merge, Request

LENGTH, MAX_DELAY = 16, 6


def plan(request: Request) -> NDArray[np.float64]:
    """Rows that name the consumed index they stand for and the chunk they belong to."""
    rows = np.stack(
        [request.first_index + np.arange(LENGTH), np.full(LENGTH, request.chunk_id)], axis=1
    ).astype(float)
    rows[: request.delay] = request.prefix
    return rows


def queue_of(**changes: object) -> ActionQueue:
    return ActionQueue(LENGTH, 2, MAX_DELAY, **changes)  # type: ignore[arg-type]


def asked(queue: ActionQueue) -> Request:
    request = queue.request()
    assert request is not None
    return request


def started(queue: ActionQueue, ticks: int = 0) -> Request:
    """Takes over a first chunk and executes some of it."""
    first = asked(queue)
    assert queue.splice(first, plan(first)).used
    for _ in range(ticks):
        assert queue.request() is None or ticks > 4
        queue.take()
    return first


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 25), min_size=1, max_size=40),
    st.lists(st.sampled_from(["lost", "twice", "swapped", "plain"]), min_size=1, max_size=40),
)
def test_every_action_stands_for_its_own_tick(delays: list[int], fates: list[str]) -> None:
    queue = queue_of(lost_after=12)
    pending: list[tuple[int, Request]] = []
    held_back: list[Request] = []
    taken: list[float] = []
    last_idle = 0
    for tick in range(2000):
        for at, request in [p for p in pending if p[0] <= tick]:
            pending.remove((at, request))
            queue.splice(request, plan(request))
        request = queue.request()
        if request is not None:
            assert request.delay <= MAX_DELAY
            number = queue.counts.requested - 1
            wait = delays[number] if number < len(delays) else 1
            fate = fates[number] if number < len(fates) else "plain"
            if fate != "lost":
                pending.append((tick + wait, request))
            if fate == "twice":
                pending.append((tick + wait + 3, request))
            if fate == "swapped":  # an old answer comes after a newer one
                held_back.append(request)
            elif held_back:
                pending.append((tick + wait + 1, held_back.pop()))
        planned = queue.take()
        if planned is not None:
            assert planned.action[0] == len(taken)
            taken.append(planned.action[0])
        else:
            last_idle = tick
    assert last_idle < 1900  # once the faults are over it never runs out again
    assert len(taken) > 1000


def test_the_prefix_is_what_is_then_executed() -> None:
    queue = queue_of()
    started(queue, 6)
    second = queue.request() or asked(queue)
    rest = [queue.take() for _ in range(second.delay)]
    assert second.delay == MAX_DELAY and second.first_index == 6
    for row, planned in zip(second.prefix, rest, strict=True):
        assert planned is not None and np.array_equal(planned.action, row)
    spliced = queue.splice(second, plan(second))
    assert spliced.used and spliced.delay == MAX_DELAY and spliced.prefix_error == 0.0


def test_an_early_chunk_changes_nothing_before_its_prefix_is_used_up() -> None:
    queue = queue_of()
    started(queue, 6)
    second = asked(queue)
    chunk = plan(second)
    queue.take()
    assert queue.splice(second, chunk).used
    for index in range(1, second.delay):
        planned = queue.take()
        assert planned is not None and np.array_equal(planned.action, second.prefix[index])


def test_an_overrun_joins_at_the_consumed_index() -> None:
    queue = queue_of()
    for ticks in (1, 1):
        queue.estimate.observe(ticks)
    started(queue, 4)
    second = asked(queue)
    assert second.delay == 1
    for _ in range(5):
        queue.take()
    spliced = queue.splice(second, plan(second))
    assert spliced.used and spliced.delay == 5 and "overran" in spliced.reason
    planned = queue.take()
    assert planned is not None and planned.chunk_index == 5 and planned.action[0] == 9
    assert queue.counts.underestimated == 1


def test_a_delay_above_the_trained_one_is_refused_and_another_chunk_asked_for() -> None:
    queue = queue_of()
    started(queue, 6)
    second = asked(queue)
    for _ in range(MAX_DELAY + 1):
        queue.take()
    spliced = queue.splice(second, plan(second))
    assert not spliced.used and "at most 6 are allowed" in spliced.reason
    assert queue.counts.late == 1
    planned = queue.take()
    assert planned is not None and planned.chunk_id == 0  # goes on with the old chunk
    # Two actions are left, fewer than the predicted delay: they are used up first.
    assert queue.request() is None
    queue.take()
    queue.take()
    third = asked(queue)
    assert third.delay == 0 and len(third.ahead) == 0


def test_after_one_chunk_that_was_too_late_the_next_is_asked_for_at_once() -> None:
    queue = queue_of()
    for _ in range(5):
        queue.estimate.observe(1)
    started(queue, 4)
    second = asked(queue)
    for _ in range(MAX_DELAY + 1):
        queue.take()
    assert not queue.splice(second, plan(second)).used
    third = asked(queue)
    assert third.delay == 1 and len(third.ahead) == 5


def test_a_stale_or_repeated_chunk_is_dropped() -> None:
    queue = queue_of(lost_after=3)
    first = started(queue)
    assert not queue.splice(first, plan(first)).used
    for _ in range(6):
        queue.take()
    second = asked(queue)
    for _ in range(3):
        assert queue.request() is None
        queue.take()
    third = asked(queue)
    assert queue.counts.lost == 1 and third is not second
    assert not queue.splice(second, plan(second)).used
    assert queue.splice(third, plan(third)).used
    assert queue.counts.dropped == 2


def test_a_reset_in_mid_inference_drops_the_answer() -> None:
    queue = queue_of()
    first = asked(queue)
    queue.start_episode()
    assert not queue.splice(first, plan(first)).used
    assert queue.take() is None
    assert started(queue).chunk_id == 0


@pytest.mark.parametrize("bad", ["short", "wide", "nan", "infinite"])
def test_a_malformed_chunk_is_dropped_and_another_asked_for(bad: str) -> None:
    queue = queue_of()
    first = asked(queue)
    chunk = plan(first)
    changed = {
        "short": chunk[:-1],
        "wide": np.hstack([chunk, chunk]),
        "nan": np.where(np.arange(LENGTH)[:, None] == 15, np.nan, chunk),
        "infinite": np.where(np.arange(LENGTH)[:, None] == 0, np.inf, chunk),
    }[bad]
    spliced = queue.splice(first, changed)
    assert not spliced.used and queue.take() is None
    assert queue.request() is not None


def test_a_failed_request_is_made_again() -> None:
    queue = queue_of()
    first = asked(queue)
    assert queue.request() is None
    queue.failed(first)
    assert asked(queue).chunk_id == 1


def test_when_starved_it_holds_and_goes_on_from_rest() -> None:
    queue = queue_of()
    started(queue, LENGTH)
    assert queue.take() is None and queue.take() is None
    assert queue.counts.starved == 2
    queue.start_episode()
    started(queue)
    assert queue.counts.starved == 2  # waiting for the first chunk of an episode is not starving


def test_waiting_stands_still_and_begins_each_chunk_at_its_first_row() -> None:
    queue = queue_of(merge=Merge.WAIT)
    started(queue, 4)
    second = asked(queue)
    assert second.delay == 0 and queue.take() is None and queue.take() is None
    assert queue.splice(second, plan(second)).used
    planned = queue.take()
    assert planned is not None and planned.chunk_index == 0 and planned.action[0] == 4


def test_averaging_weighs_the_oldest_chunk_most() -> None:
    queue = queue_of(merge=Merge.AVERAGE, replan_every=1, decay=0.5)
    queue.estimate.observe(0)
    queue.estimate.observe(0)
    actions = []
    for value in (0.0, 1.0, 4.0):
        request = asked(queue)
        assert queue.splice(request, np.full((LENGTH, 2), value)).used
        planned = queue.take()
        assert planned is not None
        actions.append(planned.action[0])
    weights = np.exp(-0.5 * np.arange(3))
    assert actions[0] == 0.0
    assert np.isclose(actions[1], weights[1] / weights[:2].sum())
    assert np.isclose(actions[2], (weights[1] + 4 * weights[2]) / weights.sum())


@pytest.mark.parametrize(("delay", "replan"), [(-1, 4), (16, 1), (6, 0), (6, 11)])
def test_sizes_that_do_not_fit_are_refused(delay: int, replan: int) -> None:
    with pytest.raises(ValueError, match="max_prefix"):
        ActionQueue(LENGTH, 2, delay, replan_every=replan)
