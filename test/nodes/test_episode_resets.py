"""Requests and cancels of the episode's node, with stand-ins for the reset's services."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy")

from vla_rl_nodes.nodes.episode_resets import AGAIN_NS, LEFT_ALONE_NS, ResetCalls

S = 1_000_000_000


class Call:
    """A call of a service; the test answers it."""

    def __init__(self) -> None:
        self._heard: Callable[[Any], None] = lambda call: None
        self._result: Any = None

    def add_done_callback(self, heard: Callable[[Any], None]) -> None:
        self._heard = heard

    def result(self) -> Any:
        return self._result

    def answer(self, success: bool, message: str = "") -> None:
        self._result = SimpleNamespace(success=success, message=message)
        self._heard(self)


class Client:
    """A service's client."""

    def __init__(self) -> None:
        self.ready = True
        self.calls: list[Call] = []
        self.removed: list[Call] = []

    def service_is_ready(self) -> bool:
        return self.ready

    def call_async(self, request: Any) -> Call:
        self.calls.append(Call())
        return self.calls[-1]

    def remove_pending_request(self, call: Call) -> None:
        self.removed.append(call)


class Owner:
    """Stands in for the node."""

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}

    def create_client(self, kind: Any, name: str) -> Client:
        self.clients[name] = Client()
        return self.clients[name]


class Bench:
    """A reset that was asked for."""

    def __init__(self) -> None:
        owner = Owner()
        self.calls = ResetCalls(owner)
        self.request, self.cancel = owner.clients["reset/request"], owner.clients["reset/cancel"]
        self.said: list[tuple[bool, str]] = []
        self.ask()
        self.calls.tick(0)

    def ask(self) -> None:
        self.calls.ask("request", lambda done, words: self.said.append((done, words)))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_an_answer_is_handed_on_once(bench: Bench) -> None:
    bench.request.calls[0].answer(True, "mode=start")
    bench.calls.tick(S)
    assert bench.said == [(True, "mode=start")] and len(bench.request.calls) == 1
    assert not bench.cancel.calls


def test_a_cancel_that_could_not_be_sent_is_sent_as_soon_as_it_can_be(bench: Bench) -> None:
    bench.cancel.ready = False
    bench.calls.give_up(S)
    bench.calls.tick(S + 1)
    assert not bench.cancel.calls
    bench.cancel.ready = True
    bench.calls.tick(S + 2)
    assert len(bench.cancel.calls) == 1


def test_a_cancel_is_sent_until_it_is_answered(bench: Bench) -> None:
    bench.calls.give_up(0)
    bench.calls.tick(AGAIN_NS - 1)
    assert len(bench.cancel.calls) == 1
    bench.calls.tick(AGAIN_NS)
    assert len(bench.cancel.calls) == 2 and bench.cancel.removed == bench.cancel.calls[:1]
    bench.cancel.calls[0].answer(True)  # of one that is forgotten
    bench.cancel.calls[1].answer(False, "nothing is under way")
    for at in range(2, 9):
        bench.calls.tick(at * S)
    assert len(bench.cancel.calls) == 2 and not bench.said


def test_nothing_is_asked_for_while_a_cancel_could_meet_it(bench: Bench) -> None:
    bench.cancel.ready = False
    bench.calls.give_up(0)
    bench.ask()
    bench.calls.tick(LEFT_ALONE_NS + 1)
    bench.calls.tick(LEFT_ALONE_NS + 2)
    assert len(bench.request.calls) == 1  # left alone, but nobody has stopped it
    bench.cancel.ready = True
    bench.calls.tick(LEFT_ALONE_NS + 3)
    bench.cancel.calls[0].answer(True)
    bench.calls.tick(LEFT_ALONE_NS + 4)
    assert len(bench.request.calls) == 2


def test_what_ends_by_itself_needs_no_cancel(bench: Bench) -> None:
    bench.cancel.ready = False
    bench.calls.give_up(0)
    bench.request.calls[0].answer(False, "failed")
    bench.cancel.ready = True
    bench.ask()
    bench.calls.tick(S)
    assert not bench.cancel.calls and len(bench.request.calls) == 2 and not bench.said
