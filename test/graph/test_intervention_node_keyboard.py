"""The keyboard node in a terminal of its own: keys arrive, and the terminal is put right."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sensor_msgs.msg import Joy

from vla_rl_nodes.bringup import NodeSpec, command_line
from vla_rl_nodes.demo.run import isolate
from vla_rl_nodes.nodes.driver import Driver
from vla_rl_nodes.nodes.qos import SENSOR

isolate()
pytestmark = pytest.mark.graph

NAMESPACE = "typed"
COMMAND = command_line(NodeSpec("keyboard"), NAMESPACE)
LOCAL = 3  # of termios' attributes: the flags that say whether a terminal echoes and waits


class Terminal:
    """A terminal in which the node runs."""

    def __init__(self) -> None:
        self.desk, self._screen = pty.openpty()
        self.before = termios.tcgetattr(self._screen)
        self.process = subprocess.Popen(
            COMMAND, stdin=self._screen, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip

    def flags(self) -> Any:
        """What the terminal does now."""
        return termios.tcgetattr(self._screen)[LOCAL]

    def type(self, text: str) -> None:
        """Types on it."""
        os.write(self.desk, text.encode())

    def hang_up(self) -> None:
        """Closes it, and ends the node if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        for end in (self.desk, self._screen):
            with suppress(OSError):
                os.close(end)


@contextmanager
def opened() -> Iterator[tuple[Terminal, Driver, list[Joy]]]:
    terminal, heard = Terminal(), []
    try:
        with Driver(NAMESPACE) as driver:
            driver.node.create_subscription(Joy, "keyboard/joy", heard.append, SENSOR)
            driver.wait(lambda: heard, 20.0, "keyboard/joy")
            yield terminal, driver, heard
    finally:
        terminal.hang_up()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_keys_arrive_and_the_terminal_is_put_right(how: signal.Signals) -> None:
    with opened() as (terminal, driver, heard):
        waits = termios.ECHO | termios.ICANON
        assert terminal.before[LOCAL] & waits and not terminal.flags() & waits
        assert list(heard[-1].axes) == [0.0] * 6 and list(heard[-1].buttons) == [0] * 4
        terminal.type("wg")
        driver.wait(lambda: any(m.axes[0] == 1.0 and m.buttons[1] for m in heard), 5.0, "w and g")
        driver.wait(lambda: not any(heard[-1].axes), 5.0, "the key let go")
        assert heard[-1].header.stamp.sec > 0
        terminal.process.send_signal(how)
        assert terminal.process.wait(10.0) == 0
        assert terminal.flags() == terminal.before[LOCAL]


def test_a_terminal_that_goes_ends_it() -> None:
    with opened() as (terminal, _, _):
        os.close(terminal.desk)
        assert terminal.process.wait(10.0) == 1


def test_without_a_terminal_it_refuses_in_one_line() -> None:
    done = subprocess.run(
        COMMAND, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30.0
    )
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "[ERROR] keyboard: standard input is no terminal; run it in a terminal of its own"
    )
