"""The policy node in the simulated graph while every inference takes several control ticks."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray

from vla_rl_nodes.bench.machine import machine
from vla_rl_nodes.bench.tick.load import Load, clock
from vla_rl_nodes.bench.tick.measure import percentiles
from vla_rl_nodes.bringup import Processes, graph
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.demo.run import isolate
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.driver import Driver
from vla_rl_nodes.nodes.event import Event, from_message
from vla_rl_nodes.nodes.qos import STREAM
from vla_rl_nodes.replay.recording import POLICY_STATUS

_EPISODE_PATIENCE_S = 60.0  # beyond its time limit


@dataclass(frozen=True)
class SlowOptions:
    """What to run.

    Attributes:
        contract: contract name or path.
        seed: of the first episode; the others follow.
        duration_s: episodes are started until so long has passed.
        inference_ms: what every inference waits in addition.
    """

    contract: str
    seed: int
    duration_s: float
    inference_ms: float


def run_slow_inference(
    options: SlowOptions, progress: Callable[[float], None]
) -> dict[str, object]:
    """Episodes one after the other, and what the policy node said at every tick of them.

    Args:
        options: what to run.
        progress: told the seconds that have passed.

    Raises:
        InputError: a node ended, an episode did not, or a bag cannot be read.
    """
    isolate()
    contract = load_contract(options.contract)
    patience = contract.episode.time_limit_s + _EPISODE_PATIENCE_S
    outcomes: Counter[str] = Counter()
    heard: list[Event] = []
    with tempfile.TemporaryDirectory(prefix="slow_inference_") as name:
        folder = Path(name)
        nodes = graph(
            options.contract,
            sim=True,
            parameters={
                "policy": {"added_latency_s": options.inference_ms / 1e3},
                "recorder": {"folder": str(folder / "bags")},
            },
        )
        with Processes(folder / "logs") as processes:
            processes.start(nodes, contract.robot)
            with Driver(contract.robot, processes.check) as driver:
                listen(driver, heard)
                driver.wait_until_up()
                before, begun, passed = Load.now(), time.monotonic(), 0.0
                while passed < options.duration_s:
                    result = driver.run_episode(options.seed + outcomes.total(), patience)
                    outcomes[result.outcome] += 1
                    if result.bag is not None:
                        shutil.rmtree(result.bag)  # minutes of images fill a disk
                    passed = time.monotonic() - begun
                    progress(passed)
                load = Load.now().since(before)
    return {
        **summarise(heard, contract.period_ns),
        "episodes": outcomes.total(),
        "outcomes": dict(outcomes),
        "duration_s": round(passed, 3),
        "added_inference_ms": options.inference_ms,
        "rate_hz": contract.policy_hz,
        "seed": options.seed,
        "contract": options.contract,
        "machine": machine(),
        "clock": clock(),
        "load": load,
    }


def listen(driver: Driver, heard: list[Event]) -> None:
    """Collects every ``policy/status`` from now on."""
    complaints = Complaints(driver.node.get_logger())

    def hear(message: DiagnosticArray) -> None:
        event = from_message(message, POLICY_STATUS, complaints)
        if event is not None:
            heard.append(event)

    driver.node.create_subscription(DiagnosticArray, POLICY_STATUS, hear, STREAM)


def summarise(ticks: Sequence[Event], period_ns: int) -> dict[str, object]:
    """The policy node's own account of its ticks, over all episodes.

    ``ticks_skipped`` counts from the first tick of the first episode to the last of the last, the
    time between the episodes included. ``prefix_too_short`` are chunks that took more control
    ticks than actions were committed: their seam is not what the policy was trained for.

    Args:
        ticks: ``policy/status`` of all episodes, in order.
        period_ns: between two control ticks.

    Raises:
        InputError: no tick at all, or a value that is no number.
    """
    if not ticks:
        raise InputError(POLICY_STATUS, "was not heard", "run vla-rl demo and read its logs")
    late = np.array([_number(event, "lateness_ms") for event in ticks])
    # The values of a chunk stand in every status until another chunk is taken over.
    chunks = {
        (event.values["episode_id"], event.values["chunk_id"]): event
        for event in ticks
        if "chunk_id" in event.values
    }
    delays = [int(_number(event, "delay")) for event in chunks.values()]
    prefixes = [int(_number(event, "prefix_length")) for event in chunks.values()]
    skipped = [_number(event, "skipped_ticks") for event in ticks]
    return {
        "ticks": len(ticks),
        "ticks_expected": _expected(ticks, period_ns),
        "ticks_skipped": int(skipped[-1] - skipped[0]),
        "ticks_late": int((late >= period_ns / 1e6).sum()),
        **percentiles("lateness", late),
        "starved_ticks": sum(event.values.get("starved") == "1" for event in ticks),
        "blind_ticks": sum("blind" in event.values for event in ticks),
        "chunks_used": len(chunks),
        "chunks_late": int(max(_number(event, "late_chunks", 0.0) for event in ticks)),
        "chunks_lost": int(max(_number(event, "lost_chunks", 0.0) for event in ticks)),
        "delays": {str(d): delays.count(d) for d in sorted(set(delays))},
        "prefix_too_short": sum(p < d for p, d in zip(prefixes, delays, strict=True)),
        **percentiles(
            "inference", np.array([_number(e, "inference_ms") for e in chunks.values()])
        ),
    }


def _expected(ticks: Sequence[Event], period_ns: int) -> int:
    """Deadlines from each episode's first tick to its last, both counted."""
    stamps: dict[str, list[int]] = {}
    for event in ticks:
        stamps.setdefault(event.values["episode_id"], []).append(event.stamp_ns)
    return sum(round((max(of) - min(of)) / period_ns) + 1 for of in stamps.values())


def _number(event: Event, key: str, absent: float | None = None) -> float:
    text = event.values.get(key)
    if text is None and absent is not None:
        return absent
    try:
        return float(str(text))
    except ValueError as error:
        raise InputError(
            f"{POLICY_STATUS} at {event.stamp_ns}", f"'{key}' is '{text}', not a number",
            "check its publisher",
        ) from error  # fmt: skip
