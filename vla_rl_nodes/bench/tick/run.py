"""Runs the variants in turn, block by block, beside one stimulus and one busy process."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vla_rl_nodes.bench.machine import machine
from vla_rl_nodes.bench.tick.beside import Beside
from vla_rl_nodes.bench.tick.load import Load, clock
from vla_rl_nodes.bench.tick.measure import Block, figures, kept
from vla_rl_nodes.bench.tick.variants import OURS, PERIOD_NS, VARIANTS, Variant
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.demo.run import isolate

BLOCK_S = 5.0
# Starting Python, finding each other through DDS, hearing and warming up, on a loaded machine.
_START_S = 60.0

Progress = Callable[[str], None]


@dataclass(frozen=True)
class TickOptions:
    """What to measure.

    Attributes:
        contract: with a shipped policy.
        seed: of the inputs, of the policy's noise, and of the order of the variants.
        duration_s: measured seconds of each variant.
    """

    contract: str
    seed: int
    duration_s: float


def schedule(options: TickOptions) -> list[tuple[Variant, int]]:
    """The blocks in their order, each with its number of ticks.

    Every round runs every variant once, in an order drawn from the seed: what changes on the
    machine during the run then meets them all.
    """
    period_s = PERIOD_NS / 1e9
    total = max(1, round(options.duration_s / period_s))
    rounds = max(1, round(options.duration_s / BLOCK_S))
    generator = np.random.default_rng([options.seed, 1])
    planned: list[tuple[Variant, int]] = []
    for number in range(rounds):
        ticks = total * (number + 1) // rounds - total * number // rounds
        planned += [(VARIANTS[i], ticks) for i in generator.permutation(len(VARIANTS))]
    return planned


def run_tick(options: TickOptions, progress: Progress) -> dict[str, object]:
    """Measures every variant.

    Args:
        options: what to measure.
        progress: told what runs next.

    Returns:
        The figures of our tick at the top, those of the others under their names, and the
        surroundings.

    Raises:
        InputError: a process of the measurement ended or hung.
    """
    isolate()
    load_contract(options.contract)  # a wrong name is told here, in one line
    blocks: dict[str, list[Block]] = {variant.name: [] for variant in VARIANTS}
    told: list[dict[str, object]] = []
    before = Load.now()
    with tempfile.TemporaryDirectory(prefix="tick_bench_") as name:
        folder = Path(name)
        heard, stalled = folder / "heard.json", folder / "stalled.json"
        stimulus = Beside(
            "stimulus",
            ("--contract", options.contract, "--seed", options.seed, "--out", heard),
            folder,
        )
        probe = Beside("probe", ("--out", stalled), folder)
        with stimulus, probe, Beside("busy", (), folder) as busy:
            for number, (variant, ticks) in enumerate(schedule(options)):
                progress(variant.text)
                block = _measure(folder, options, variant, ticks, number)
                for process in (stimulus, probe, busy):
                    process.check()
                blocks[variant.name].append(block)
                told.append(_told(block))
        commands = json.loads(heard.read_text())
        probed = json.loads(stalled.read_text())
    load = Load.now().since(before)
    # Without a real-time priority the probe is as late as any other process of a busy machine.
    stalls = probed["stalls"] if probed["realtime"] else None
    result: dict[str, object] = {
        name: figures(of, stalls) | {"commands_heard": commands.get(name, 0)}
        for name, of in blocks.items()
    }
    ours = result.pop(OURS.name)
    assert isinstance(ours, dict)
    return {
        **ours,
        **result,
        "rate_hz": round(1e9 / PERIOD_NS),
        "seed": options.seed,
        "duration_s": options.duration_s,
        "contract": options.contract,
        "blocks": told,
        "stalls": None if stalls is None else summary_of_stalls(stalls),
        "machine": machine(),
        "clock": clock(),
        "load": load,
    }


def summary_of_stalls(stalls: Sequence[tuple[int, int]]) -> dict[str, float | int]:
    """How often the machine stood still for more than a millisecond, how long, and at most."""
    lengths = [(to - since) / 1e6 for since, to in stalls]
    return {
        "count": len(lengths),
        "longest_ms": round(max(lengths, default=0.0), 3),
        "total_ms": round(sum(lengths), 3),
    }


def _measure(
    folder: Path, options: TickOptions, variant: Variant, ticks: int, number: int
) -> Block:
    out = folder / f"block{number}.json"
    arguments = (
        "--contract", options.contract, "--variant", variant.name, "--ticks", ticks,
        "--seed", options.seed, "--out", out,
    )  # fmt: skip
    with Beside("subject", arguments, folder) as subject:
        subject.wait(ticks * PERIOD_NS / 1e9 + _START_S)
    return Block(**json.loads(out.read_text()))


def _told(block: Block) -> dict[str, object]:
    """A block in short, with the load average at its end."""
    result = kept(block)
    return {
        "variant": block.variant,
        "ticks_lost": len(result.lost_ns),
        "lateness_max_ms": round(float(result.lateness_ms.max()), 4),
        "load_average": round(os.getloadavg()[0], 2),
    }
