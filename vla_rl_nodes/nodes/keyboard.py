"""keyboard: the keys of the terminal that it runs in, as keyboard/joy; no window system needed."""

from __future__ import annotations

import os
import select
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

from sensor_msgs.msg import Joy

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.intervention.keys import HELP, Keys
from vla_rl_nodes.nodes.lean_node import LeanNode
from vla_rl_nodes.nodes.qos import STREAM
from vla_rl_nodes.nodes.spin import spin

HZ = 20
READ_S = 0.1  # between looks at whether the node ends


@contextmanager
def unbuffered(terminal: int) -> Iterator[None]:
    """A terminal that gives every key at once and shows none, until the block is left.

    Args:
        terminal: its file descriptor.

    Raises:
        InputError: it is no terminal.
    """
    if not os.isatty(terminal):
        raise InputError(
            "keyboard", "standard input is no terminal", "run it in a terminal of its own"
        )
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)  # Ctrl-C still interrupts
        yield
    finally:
        # Where the terminal itself has gone there is nothing to put right.
        with suppress(termios.error):
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)


class Keyboard(LeanNode):
    """Publishes ``keyboard/joy`` 20 times a second.

    Args:
        terminal: file descriptor of an unbuffered terminal.
    """

    def __init__(self, terminal: int) -> None:
        super().__init__("keyboard")
        self.failed = False
        self._terminal = terminal
        self._keys, self._lock = Keys(), threading.Lock()
        self._joy = self.create_publisher(Joy, "keyboard/joy", STREAM)
        self.create_timer(1.0 / HZ, self._publish)
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._read, name="keys", daemon=True)
        self._thread.start()
        print(HELP, flush=True)

    def close(self) -> None:
        """Stops reading."""
        self._ends.set()
        self._thread.join(timeout=2.0)

    def _read(self) -> None:
        while not self._ends.is_set():
            ready, _, _ = select.select([self._terminal], [], [], READ_S)
            if not ready:
                continue
            try:
                text = os.read(self._terminal, 256).decode(errors="ignore")
            except OSError:
                text = ""
            if not text:  # the terminal has gone: without keys the person is told to be lost
                self.failed = True
                self.context.try_shutdown()
                return
            with self._lock:
                self._keys.typed(text, time.monotonic())

    def _publish(self) -> None:
        with self._lock:
            axes, buttons = self._keys.state(time.monotonic())
        message = Joy(axes=axes, buttons=buttons)
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id = "keyboard"
        self._joy.publish(message)


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    terminal = sys.stdin.fileno()
    try:
        with unbuffered(terminal):
            return spin(partial(Keyboard, terminal), args)
    except InputError as error:
        print(f"[ERROR] {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
