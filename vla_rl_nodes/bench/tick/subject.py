"""The node under test, in a process of its own: one variant, one block of ticks."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import rclpy
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor

from vla_rl_nodes.bench.tick.measure import Block
from vla_rl_nodes.bench.tick.variants import NAMESPACE, PERIOD_NS, Variant, variant_named
from vla_rl_nodes.bench.tick.work import PolicyWork
from vla_rl_nodes.nodes.lean_node import LeanNode
from vla_rl_nodes.nodes.spin import end_after_failed_tick, spin
from vla_rl_nodes.nodes.tick import TickThread

REALTIME_PRIORITY = 10  # the policy node's


class ThreadSubject(LeanNode):
    """Ticks as this package's nodes do."""

    def __init__(self, contract: str, variant: Variant, seed: int, ticks: int) -> None:
        super().__init__("subject", namespace=NAMESPACE)
        self.failed = False
        finished = partial(rclpy.try_shutdown, context=self.context)
        self.work = PolicyWork(self, contract, variant, seed, ticks, finished)
        self._ticks = TickThread(
            PERIOD_NS, self._tick, partial(end_after_failed_tick, self), "subject"
        )
        self._ticks.start()

    def close(self) -> None:
        """Stops ticking, then the inference."""
        self._ticks.stop()
        self.work.close()

    def _tick(self, lateness_ns: int) -> None:
        start = time.monotonic_ns()
        self.work.tick(start - lateness_ns, start)


class TimerSubject(LeanNode):
    """Ticks with a timer, in a callback group of its own beside those of the subscriptions."""

    def __init__(self, contract: str, variant: Variant, seed: int, ticks: int) -> None:
        super().__init__("subject", namespace=NAMESPACE)
        finished = partial(rclpy.try_shutdown, context=self.context)
        self.work = PolicyWork(self, contract, variant, seed, ticks, finished)
        self._timer = self.create_timer(
            PERIOD_NS / 1e9, self._tick, callback_group=MutuallyExclusiveCallbackGroup()
        )
        self._deadline_ns = self._next_deadline()

    def _next_deadline(self) -> int:
        return int(self._timer.time_until_next_call()) + time.monotonic_ns()

    def _tick(self) -> None:
        start = time.monotonic_ns()
        deadline, self._deadline_ns = self._deadline_ns, self._next_deadline()
        self.work.tick(deadline, start)


def run_block(contract: str, variant: Variant, seed: int, ticks: int) -> Block | None:
    """Runs one variant until its ticks are measured; None when it was stopped or failed."""
    if variant.plain:
        rclpy.init(args=[])
        timed = TimerSubject(contract, variant, seed, ticks)
        executor = MultiThreadedExecutor()
        executor.add_node(timed)
        try:
            executor.spin()
        except (KeyboardInterrupt, ExternalShutdownException):
            pass
        except RuntimeError:  # as in nodes/spin.py
            if timed.context.ok():
                raise
        finally:
            timed.work.close()
            rclpy.try_shutdown()
        block = timed.work.block()
        return block if block.complete else None
    made: list[ThreadSubject] = []

    def make() -> ThreadSubject:
        made.append(ThreadSubject(contract, variant, seed, ticks))
        return made[-1]

    status = spin(make, [], REALTIME_PRIORITY if variant.realtime else None)
    if status or not made:
        return None
    block = made[0].work.block()
    return block if block.complete else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a block and writes it as JSON; 1 when there is nothing to write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--contract", required=True)
    parser.add_argument("--variant", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--ticks", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    variant = variant_named(options.variant)
    block = run_block(options.contract, variant, options.seed, options.ticks)
    if block is None:
        return 1
    options.out.write_text(block.to_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
