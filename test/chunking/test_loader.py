"""Bundles on their way to the policy that acts: one at a time, and never in its way."""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import Any

import pytest
from bundles import Maker, student

from vla_rl_nodes.chunking.live import LivePolicy
from vla_rl_nodes.chunking.loader import BUSY, BundleLoader
from vla_rl_nodes.chunking.opening import Opener, Setup
from vla_rl_nodes.chunking.strategies.strategy import Strategy
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.policy.bundle import MODEL, Bundle
from vla_rl_nodes.policy.swap import SwapSettings

# What is tried runs at the lowest priority and gets nothing beside two busy tests.
pytestmark = pytest.mark.alone

LONG_S = 30.0


class NoWorker:
    """Nothing is asked of it here."""

    busy = False

    def submit(self, job: Any) -> None:
        raise AssertionError("no job")

    def finished(self) -> list[Any]:
        return []

    def stop(self, wait_s: float) -> None:
        return


class Gate(Opener):
    """An opener whose verification or opening waits until it is let through, or fails."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.gate = threading.Event()
        self.gate.set()
        self.broken: Exception | None = None

    def verify(self, path: Path) -> Bundle:
        self.gate.wait()
        return super().verify(path)

    def open(self, bundle: Bundle) -> Strategy:
        if self.broken is not None:
            raise self.broken
        return super().open(bundle)


class Loading:
    """A loader, its policy, and what is told; ``first`` serves."""

    def __init__(self, folder: Path, contract: Contract) -> None:
        self.maker = Maker(folder, contract)
        self.opener = Gate(Setup(contract.name, trusted_keys=str(self.maker.trusted)))
        first = self.opener.verify(self.maker("first", student(contract)))
        self.live = LivePolicy(
            contract, self.opener.settings, first.version, self.opener.open(first),
            lambda strategy: NoWorker(), SwapSettings(),
        )  # fmt: skip
        self.loader = BundleLoader(self.opener, self.live, LONG_S)
        self.told: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        refuse, opened = self.live.refuse, self.live.opened

        def refused(version: str, reason: str) -> None:
            refuse(version, reason)
            self.told.put(("refused", reason))

        def taken(version: str, strategy: Strategy) -> None:
            opened(version, strategy)
            self.told.put(("opened", version))

        self.live.refuse, self.live.opened = refused, taken  # type: ignore[method-assign]

    def next(self) -> tuple[str, str]:
        return self.told.get(timeout=LONG_S)


@pytest.fixture
def loading(tmp_path: Path, contract: Contract) -> Loading:
    return Loading(tmp_path, contract)


def test_a_good_bundle_is_opened_and_shadowed(loading: Loading) -> None:
    path = loading.maker("second", student(loading.maker.contract, gain=0.001))
    assert loading.loader.ask(path, LONG_S) == ""
    what, version = loading.next()
    assert what == "opened"
    assert [n.what for n in loading.live.news()] == ["serving", "loading", "shadowing"]
    assert version == loading.opener.verify(path).version != loading.live.version


def test_a_bad_file_is_refused_in_the_answer(loading: Loading) -> None:
    path = loading.maker("second", student(loading.maker.contract))
    (path / MODEL).write_bytes(b"other")
    line = loading.loader.ask(path, LONG_S)
    assert line.startswith(str(path / MODEL)) and "; " in line
    assert loading.next() == ("refused", line)


def test_a_bad_graph_is_refused_after_the_answer(loading: Loading) -> None:
    path = loading.maker("second", b"no graph")
    assert loading.loader.ask(path, LONG_S) == ""
    what, line = loading.next()
    assert what == "refused" and line.startswith(str(path / MODEL))
    assert [n.what for n in loading.live.news()] == ["serving", "loading", "refused"]


def test_the_bundle_that_serves_is_not_opened_again(loading: Loading) -> None:
    assert loading.loader.ask(loading.maker.folder / "first", LONG_S) == ""
    assert loading.told.empty()
    assert [n.what for n in loading.live.news()] == ["serving"]


def test_a_slow_disk_delays_nobody_and_the_refusal_is_told_later(loading: Loading) -> None:
    path = loading.maker("second", student(loading.maker.contract))
    (path / MODEL).write_bytes(b"other")
    loading.opener.gate.clear()
    assert loading.loader.ask(path, 0.0) == ""
    assert loading.loader.ask(path, 0.0) == str(BUSY)
    loading.opener.gate.set()
    what, line = loading.next()
    assert what == "refused" and line.startswith(str(path / MODEL))


@pytest.mark.parametrize("error", [MemoryError("no room"), RuntimeError("a\nb")])
def test_whatever_happens_while_it_is_opened_is_one_line(
    loading: Loading, error: Exception
) -> None:
    path = loading.maker("second", student(loading.maker.contract, gain=0.001))
    loading.opener.broken = error
    assert loading.loader.ask(path, LONG_S) == ""
    what, line = loading.next()
    assert what == "refused" and type(error).__name__ in line and "\n" not in line
    assert loading.live.news()[-1].state["phase"] == "serving"
