"""One deadline over everything on a socket."""

from __future__ import annotations

import socket
import threading

import pytest

from vla_rl_nodes.remote.deadline import Deadline


def test_a_read_that_would_wait_for_ever_ends() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, Deadline(ours, 0.05) as deadline:
        assert ours.recv(1) == b""
        assert deadline.expired


def test_a_write_that_would_wait_for_ever_ends() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, Deadline(ours, 0.05) as deadline:
        with pytest.raises(OSError):
            ours.sendall(b"\0" * (64 << 20))
        assert deadline.expired


def test_in_time_it_leaves_the_connection_alone() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with Deadline(ours, 60.0) as deadline:
            theirs.sendall(b"a")
            assert ours.recv(1) == b"a"
        assert not deadline.expired
        assert not any(isinstance(t, threading.Timer) and not t.finished.is_set()
                       for t in threading.enumerate())  # fmt: skip
        theirs.sendall(b"b")
        assert ours.recv(1) == b"b"


def test_a_connection_that_is_closed_already() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    ours.close()
    with Deadline(ours, 0.01) as deadline:
        for timer in [t for t in threading.enumerate() if isinstance(t, threading.Timer)]:
            timer.join(5.0)
        assert deadline.expired
