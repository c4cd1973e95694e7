"""Delays, prefixes and seams of chunks that a real action queue spliced."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vla_rl_nodes.chunking.queue import ActionQueue, Request
from vla_rl_nodes.demo.chunks import ChunkMeasure, measure_chunks
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.recording import Event
from vla_rl_nodes.replay.steps import ABSENT, Tick

LENGTH, AXES, PERIOD = 16, 3, 50_000_000
WIDTH = np.array([0.04, 2.0, 0.5])


def tick(k: int, values: dict[str, str]) -> tuple[Tick, Event]:
    number = {key: int(values.get(key, ABSENT)) for key in ("chunk_id", "chunk_index", "delay")}
    stamp = 1_000 + k * PERIOD
    return Tick(stamp, {}, None, "v", noise_seed=ABSENT, **number), Event(stamp, "", "v", values)


class Live:
    """The policy node's tick, with inference that takes ``delays`` ticks."""

    def __init__(self, delays: list[int], seed: int, error: float = 0.0) -> None:
        rng = np.random.default_rng(seed)
        queue = ActionQueue(LENGTH, AXES, max_prefix=6)
        waiting: tuple[int, Request, NDArray[np.float64]] | None = None
        shown: dict[str, str] = {}
        self.ticks: list[tuple[Tick, Event]] = []
        self.proposed = np.full((60, AXES), np.nan, dtype=np.float32)
        self.chunks = np.full((60, LENGTH, AXES), np.nan, dtype=np.float32)
        self.used: dict[int, tuple[int, int]] = {}
        self.asked: list[int] = []
        for k in range(60):
            if waiting is not None and k >= waiting[0]:
                _, request, chunk = waiting
                waiting = None
                done = queue.splice(request, chunk)
                assert done.used
                self.chunks[self.asked[-1]] = chunk
                self.used[request.chunk_id] = (done.delay, request.delay)
                shown = {"delay": str(done.delay), "prefix_length": str(request.delay),
                         "inference_ms": str(10.5 + request.chunk_id)}  # fmt: skip
            request = queue.request()
            if request is not None:
                chunk = WIDTH * rng.uniform(-0.5, 0.5, size=(LENGTH, AXES))
                chunk[: request.delay] = request.prefix + error * WIDTH
                waiting = (k + delays[request.chunk_id % len(delays)], request, chunk)
                self.asked.append(k)
            planned = queue.take()
            values = dict(shown)
            if planned is not None:
                self.proposed[k] = planned.action
                values |= {"chunk_id": str(planned.chunk_id),
                           "chunk_index": str(planned.chunk_index)}  # fmt: skip
            self.ticks.append(tick(k, values))

    def measured(self) -> ChunkMeasure:
        return measure_chunks(self.ticks, self.proposed, self.chunks, WIDTH)


@pytest.mark.parametrize("delays", [[1], [2, 1, 3], [3, 5, 2, 4], [1, 6]])
def test_delays_and_prefixes_are_those_of_the_queue(delays: list[int]) -> None:
    live = Live(delays, seed=sum(delays))
    found = live.measured()
    assert found.count == len(live.used) > 3
    expected = [live.used[number] for number in sorted(live.used)]
    assert list(zip(found.delay, found.prefix, strict=True)) == expected
    assert found.misses == sum(consumed > told for consumed, told in expected)
    np.testing.assert_array_equal(found.inference_ms, [10.5 + n for n in sorted(live.used)])


def test_a_kept_prefix_has_no_error_and_a_broken_one_has_its_own() -> None:
    assert Live([2, 3], seed=1).measured().prefix_error == 0.0
    assert Live([2, 3], seed=1, error=0.01).measured().prefix_error == pytest.approx(
        0.01, rel=1e-4
    )


def test_seams_are_where_the_chunk_changes_between_two_actions() -> None:
    live = Live([2, 4], seed=5)
    found = live.measured()
    ids = [t.chunk_id for t, _ in live.ticks]
    rows = [k for k in range(1, 60)
            if ABSENT not in (ids[k - 1], ids[k]) and ids[k] != ids[k - 1]]  # fmt: skip
    assert found.seams.tolist() == rows and len(rows) > 5
    a = live.proposed.astype(float)
    for i, k in enumerate(rows):
        step = np.abs(a[k] - a[k - 1]) / WIDTH
        np.testing.assert_allclose(found.seam_step[i], step, rtol=1e-12)
        bends = [np.abs(a[c + 1] - 2 * a[c] + a[c - 1]) / WIDTH for c in (k - 1, k)
                 if c + 1 < 60 and np.isfinite(a[[c - 1, c, c + 1]]).all()]  # fmt: skip
        np.testing.assert_allclose(found.seam_bend[i], np.max(bends, axis=0), rtol=1e-12)


def test_inner_changes_are_those_of_the_published_chunks() -> None:
    live = Live([2], seed=6)
    found = live.measured()
    whole = [c for c in live.chunks.astype(float) if np.isfinite(c).all()]
    steps = [np.abs(c[i + 1] - c[i]) / WIDTH for c in whole for i in range(LENGTH - 1)]
    np.testing.assert_allclose(found.inner_step, steps, rtol=1e-12)
    assert found.inner_bend.shape == (len(whole) * (LENGTH - 2), AXES)


def test_a_tick_without_an_action_is_no_seam() -> None:
    ticks = [tick(k, {"chunk_id": str(k // 3), "chunk_index": str(k % 3)}) for k in range(6)]
    proposed = np.arange(18, dtype=np.float32).reshape(6, 3)
    none = np.full((6, 4, 3), np.nan, dtype=np.float32)
    assert measure_chunks(ticks, proposed, none, WIDTH).seams.tolist() == [3]
    proposed[2] = np.nan
    gap = measure_chunks(ticks, proposed, none, WIDTH)
    assert gap.seams.tolist() == [] and gap.count == 2
    assert gap.prefix_error is None and gap.inner_step.shape == (0, 3)


def test_without_ticks_everything_is_empty() -> None:
    nothing = measure_chunks(
        [], np.zeros((0, 3), np.float32), np.zeros((0, 4, 3), np.float32), WIDTH
    )
    assert nothing.count == nothing.misses == len(nothing.seams) == len(nothing.inference_ms) == 0


@pytest.mark.parametrize("text", ["fast", "nan", "-inf"])
def test_an_inference_time_that_is_no_number_is_refused(text: str) -> None:
    ticks = [tick(0, {"chunk_id": "0", "chunk_index": "0", "inference_ms": text})]
    with pytest.raises(InputError, match=r"'inference_ms' is .*not a finite number"):
        measure_chunks(ticks, np.ones((1, 3), np.float32), np.ones((1, 4, 3), np.float32), WIDTH)
