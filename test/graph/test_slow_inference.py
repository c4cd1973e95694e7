"""Inference that takes three control ticks and more keeps no tick waiting and starves none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vla_rl_nodes.bench.tick.slow_inference import listen, summarise
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.nodes.event import Event

from .running import CONTRACT, Graph, start

pytestmark = pytest.mark.graph

LATENCY_S = 0.15
RUN_S = 20.0
TICKS_OF_LATENCY = 3  # at the contract's 20 Hz


@pytest.fixture(scope="module")
def slow(folder: Path) -> Iterator[Graph]:
    with start(folder, parameters={"policy": {"added_latency_s": LATENCY_S}}) as whole:
        yield whole


@pytest.fixture(scope="module")
def told(slow: Graph) -> Any:
    """Twenty seconds of episodes; again, once, where the machine itself stood still meanwhile.

    Inference that held up the tick would do so with every chunk, in every run.
    """
    heard: list[Event] = []
    listen(slow.driver, heard)
    for _ in range(2):
        heard.clear()
        begun, seed = time.monotonic(), 7
        while time.monotonic() - begun < RUN_S:
            slow.driver.run_episode(seed)
            seed += 1
        result = summarise(heard, load_contract(CONTRACT).period_ns)
        if not result["ticks_skipped"]:
            break
    return result


def test_no_tick_is_skipped_and_none_starves(told: Any) -> None:
    assert told["ticks"] > 100
    assert told["ticks_skipped"] == 0
    assert told["starved_ticks"] == 0


def test_inference_was_slow_and_every_chunk_in_time(told: Any) -> None:
    assert told["inference_p50_ms"] >= 1e3 * LATENCY_S
    moving = {int(delay): count for delay, count in told["delays"].items() if delay != "0"}
    assert moving and min(moving) >= TICKS_OF_LATENCY
    assert told["chunks_used"] > 10
    assert told["chunks_late"] == told["chunks_lost"] == 0
    assert told["prefix_too_short"] == 0
