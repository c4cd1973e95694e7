"""The last word of a node that is told to end by a signal, while it can still publish."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType

import rclpy

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def say_goodbye(last_word: Callable[[], None]) -> None:
    """Calls ``last_word`` at SIGINT or SIGTERM, and then ends rclpy as it does by itself.

    rclpy's own handlers end its context at once, after which nothing can be published any more.
    Only in a process's main thread; elsewhere, as in a test, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        return

    def told(number: int, frame: FrameType | None) -> None:
        try:
            last_word()
        finally:
            rclpy.try_shutdown()

    for number in SIGNALS:
        signal.signal(number, told)
