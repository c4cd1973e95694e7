"""How every node of this package starts, spins and stops."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from contextlib import suppress

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.tick import ticking_threads

# How often a node that hears nothing looks whether it has been told to end.
_LOOK_S = 0.25


def end_after_failed_tick(node: Node, line: str) -> None:
    """Ends a node whose tick raised: it must not look alive while it does nothing.

    During an orderly stop a tick may find its publishers gone; that is no failure.
    """
    if not node.context.ok():
        return
    node.failed = True
    node.get_logger().fatal(f"{node.get_name()}: tick failed: {line}; the node ends")
    rclpy.try_shutdown(context=node.context)


def take_realtime_priority(node: Node, priority: int) -> None:
    """Gives the process's threads a real-time priority where the system allows it.

    As ros2_control's controller manager does. Without the right (``ulimit -r``, CAP_SYS_NICE)
    the node runs all the same, and a busy machine can then make it late. Whatever a step of the
    robot waits for has one: the filter 30, the simulated robot 20, ingest, policy and episode
    10, the simulated cameras 5; the recorder and its disk have none.

    The thread that ticks gets one more: under SCHED_FIFO a thread runs on until one of a higher
    priority wants its core (sched(7)), and inference would keep the tick waiting where the two
    share one.

    Args:
        node: says what it got.
        priority: of SCHED_FIFO, 1 to 98; the controllers themselves usually have 50.
    """
    ticking = ticking_threads()
    try:
        # The middleware's threads too: a filter that ticks but hears nothing has to stop the arm.
        # Where the limit lies between the two, the first is refused and nothing is changed.
        threads = map(int, os.listdir("/proc/self/task"))
        for thread in sorted(threads, key=ticking.__contains__, reverse=True):
            own = priority + 1 if thread in ticking else priority
            with suppress(ProcessLookupError):  # a thread that has just ended
                os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(own))
    except (OSError, AttributeError):
        node.get_logger().info("no real-time priority: not permitted; a busy machine can delay it")
        return
    node.get_logger().info(f"real-time priority {priority}")


def _look() -> None:
    """Nothing: to have been woken is enough."""


def spin(
    make_node: Callable[[], Node],
    args: list[str] | None = None,
    realtime_priority: int | None = None,
) -> int:
    """Creates a node, spins it until it is interrupted, and closes it.

    Args:
        make_node: its constructor.
        args: of the command line, for rclpy.
        realtime_priority: see :func:`take_realtime_priority`; None for an ordinary process.

    Returns:
        The process's exit status: 0 after an orderly stop, 2 for bad parameters or files.
    """
    # A pure-Python callback may hold the interpreter for a switch interval; the default of 5 ms
    # would be a whole filter tick late.
    sys.setswitchinterval(5e-4)
    rclpy.init(args=args)
    try:
        node = make_node()
    except InputError as error:
        print(f"[ERROR] {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    if realtime_priority is not None:
        take_realtime_priority(node, realtime_priority)
    # What exists now lives as long as the node: keep the collector from scanning it in a tick.
    gc.collect()
    gc.freeze()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    # On a signal rclpy wakes the executor and ends its context after that: an executor that is
    # quick sees a context still alive, waits again, and nothing would wake it a second time.
    node.create_timer(_LOOK_S, _look, clock=Clock(clock_type=ClockType.STEADY_TIME))
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RuntimeError:
        # Where the context ends while the executor makes its next wait set, rclpy raises
        # RCLError instead, which is no part of its public names.
        if node.context.ok():
            raise
    finally:
        close = getattr(node, "close", None)
        if close is not None:
            close()
        executor.remove_node(node)
        node.destroy_node()
        rclpy.try_shutdown()
    failed = bool(getattr(node, "failed", False))
    # What a node holds of compiled libraries goes before they do, else they complain at the end.
    del node, executor, close
    gc.unfreeze()
    gc.collect()
    return 1 if failed else 0
