"""One job at a time, and of those that wait only the newest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from vla_rl_nodes.episodes.reward.newest import Answered, NewestWorker

PATIENCE_S = 10.0


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return found


class Slow:
    """Answers when it is let."""

    def __init__(self) -> None:
        self.go, self.told = threading.Semaphore(0), threading.Semaphore(0)
        self.seen: list[int] = []

    def judge(self, job: int) -> int:
        self.seen.append(job)
        assert self.go.acquire(timeout=PATIENCE_S)
        return 10 * job

    def tell(self) -> None:
        self.told.release()


def test_a_slow_one_skips_and_never_queues() -> None:
    slow = Slow()
    worker: NewestWorker[int, int] = NewestWorker(slow.judge, slow.tell, "slow")
    worker.offer(1)
    until(lambda: slow.seen)
    assert worker.busy_s > 0.0
    for job in range(2, 7):
        worker.offer(job)
    assert worker.skipped == 4 and worker.collect() == []
    slow.go.release(2)
    for _ in range(2):
        assert slow.told.acquire(timeout=PATIENCE_S)
    assert [(a.job, a.answer, a.error) for a in worker.collect()] == [
        (1, 10, None), (6, 60, None)
    ]  # fmt: skip
    assert slow.seen == [1, 6] and worker.collect() == []
    assert until(lambda: worker.busy_s == 0.0)
    worker.stop(PATIENCE_S)


def test_an_error_is_an_answer_and_the_next_job_is_done() -> None:
    told = threading.Semaphore(0)

    def judge(job: int) -> int:
        if job == 1:
            raise ValueError("no")
        return job

    worker: NewestWorker[int, int] = NewestWorker(judge, told.release, "error")
    found: list[Answered[int, int]] = []
    for job in (1, 2):
        worker.offer(job)
        assert told.acquire(timeout=PATIENCE_S)
        found += worker.collect()
    assert isinstance(found[0].error, ValueError) and found[0].answer is None
    assert found[1].answer == 2 and found[1].took_ns >= 0
    worker.stop(PATIENCE_S)


def test_one_that_hangs_is_left_behind_and_tells_nothing() -> None:
    slow = Slow()
    worker: NewestWorker[int, int] = NewestWorker(slow.judge, slow.tell, "hangs")
    worker.offer(1)
    until(lambda: slow.seen)
    worker.stop(0.01)
    slow.go.release()
    until(lambda: not worker._thread.is_alive())
    assert not slow.told.acquire(blocking=False) and worker.collect() == []
