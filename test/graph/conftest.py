"""Real nodes as processes on localhost, in a ROS domain of their own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from . import stalls

_WATCH = pytest.StashKey[Path]()
_BEGAN = pytest.StashKey[float]()


class MachineStalledError(Exception):
    """A test failed while the machine stood still; make test runs it again, and says so."""


@pytest.fixture(scope="session", autouse=True)
def _watch(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    file = tmp_path_factory.mktemp("stalls") / "stalls.txt"
    file.touch()
    request.config.stash[_WATCH] = file
    watcher = subprocess.Popen([sys.executable, stalls.__file__, str(file)])
    yield
    watcher.kill()
    watcher.wait()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """Notes when the test began, its graph's start included."""
    item.stash[_BEGAN] = time.monotonic()
    with _blamed(item):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Blames the machine for what failed while it stood still."""
    with _blamed(item):
        yield


@contextmanager
def _blamed(item: pytest.Item) -> Iterator[None]:
    try:
        yield
    except (Exception, pytest.fail.Exception) as error:
        file = item.config.stash.get(_WATCH, None)
        stood_s = (
            0.0 if file is None else stalls.longest(file, item.stash[_BEGAN], time.monotonic())
        )
        if stood_s == 0.0:
            raise
        raise MachineStalledError(f"the machine stood still for {stood_s:.2f} s") from error


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for one graph's bags and logs."""
    return tmp_path_factory.mktemp("graph")
