"""Policies from the shipped files, pointed at a server of the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.contract.load import load_yaml, named_file
from vla_rl_nodes.contract.observation import Observation
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.remote.engine import RemoteEngine
from vla_rl_nodes.remote.spec import RemotePolicy

MakeEngine = Callable[..., RemoteEngine]


def changed(name: str, **changes: Any) -> RemotePolicy:
    """A shipped file with other values: ``server__url="..."``, ``action__outside="clip"``."""
    data = load_yaml(named_file("remote", name), RemotePolicy).model_dump(exclude_unset=True)
    for path, value in changes.items():
        place, *keys = path.split("__")
        inner, last = data, place
        for key in keys:
            inner, last = inner.setdefault(last, {}), key
        inner[last] = value
    return RemotePolicy.model_validate(data)


class Clock:
    """Monotonic seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make_engine(contract: Contract, clock: Clock) -> Iterator[MakeEngine]:
    """Engines of shipped files for a URL; closed after the test."""
    with ExitStack() as stack:

        def make(
            name: str, url: str, say: Any = lambda line: None, **changes: Any
        ) -> RemoteEngine:
            policy = changed(name, server__url=url, **changes)
            engine = RemoteEngine(f"{name}.yaml", policy, contract, say, clock)
            return stack.enter_context(engine)

        yield make


@pytest.fixture(scope="session")
def observation(contract: Contract) -> Observation:
    """Some observation, nothing of it zero."""
    generator = np.random.default_rng(3)
    seen: Observation = {}
    for stream in contract.streams:
        if stream.kind == "image":
            seen[stream.key] = generator.integers(1, 256, stream.shape, np.uint8)
        else:
            seen[stream.key] = generator.uniform(0.1, 0.4, stream.shape).astype(np.float32)
    return seen
