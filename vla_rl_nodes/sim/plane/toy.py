"""The smallest case of real-time chunking: one axis, and two modes that are equally good.

A demonstration keeps near +level or -level, and nothing that is observed says which. Whoever
draws every chunk afresh changes the mode every other time; whoever continues the committed
actions keeps it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.graph import session_options

Floats = NDArray[np.float32]

CHUNK_LENGTH, DELAY, REPLAN_EVERY = 16, 4, 6  # rows, committed actions, ticks
CANDIDATES = 16  # of best-of-N
LEVELS = (0.6, 1.0)  # of a mode; observed
# The demonstrations' noise: its spread, and how much of it stays from one row to the next.
SPREAD, KEPT = 0.12, 0.9
STREAMS, CHUNKS = 500, 40  # of the evaluation: side by side, and one after the other

# (levels [B, 1], committed actions [B, DELAY, 1] or None) -> chunks [B, H, 1]
_Draw = Callable[[Floats, Floats | None], Floats]


@dataclass(frozen=True)
class ToyRows:
    """N demonstrations.

    Attributes:
        state: the observed level, float32 [N, 1].
        chunk: float32 [N, H, 1].
    """

    state: Floats
    chunk: Floats


def toy_rows(count: int, seed: int) -> ToyRows:
    """Demonstrations; the same seed gives the same."""
    rng = np.random.default_rng([seed, 0x70])
    level = rng.uniform(*LEVELS, (count, 1))
    mode = rng.choice([-1.0, 1.0], (count, 1))
    wander = np.empty((count, CHUNK_LENGTH))
    wander[:, 0] = rng.standard_normal(count)
    for row in range(1, CHUNK_LENGTH):
        fresh = rng.standard_normal(count)
        wander[:, row] = KEPT * wander[:, row - 1] + np.sqrt(1.0 - KEPT**2) * fresh
    chunk = mode * level + SPREAD * wander
    return ToyRows(level.astype(np.float32), chunk[:, :, None].astype(np.float32))


def toy_figures(model: Path, seed: int) -> dict[str, float]:
    """What joining chunks late does to the modes, by three ways of drawing them.

    Every chunk is asked for with :data:`DELAY` actions committed and taken over when they have
    been executed. ``mode_switch`` is the share of chunks that go on in the other mode, ``jump``
    the 95th percentile of the step at the seam: plain for the student with its prefix, ``naive_``
    without, ``best_of_16_`` for the one of 16 without prefix that comes nearest to the committed
    actions. ``prefix_error`` is the greatest change that the student makes to a prefix, and
    ``natural_jump`` is the demonstrations' own.

    Args:
        model: ONNX graph of learner.plane_toy: state, prefix, delay and noise in, chunk out.
        seed: of the levels and of the sampling noise.

    Raises:
        InputError: the file cannot be loaded, or is another graph.
    """
    session = _session(model)
    rng = np.random.default_rng([seed, 0x71])
    largest_error = 0.0

    def drawn(level: Floats, committed: Floats | None) -> Floats:
        shape = (len(level), CHUNK_LENGTH, 1)
        prefix = np.zeros(shape, np.float32)
        delay = 0 if committed is None else DELAY
        if committed is not None:
            prefix[:, :DELAY] = committed
        noise = rng.standard_normal(shape, np.float32)
        feed = {"state": level, "prefix": prefix, "delay": np.full(len(level), delay)}
        chunk: Floats = session.run(["chunk"], {**feed, "noise": noise})[0]
        return chunk

    def continued(level: Floats, committed: Floats | None) -> Floats:
        nonlocal largest_error
        chunk = drawn(level, committed)
        if committed is not None:
            error = float(np.abs(chunk[:, :DELAY] - committed).max())
            largest_error = max(largest_error, error)
        return chunk

    def naive(level: Floats, committed: Floats | None) -> Floats:
        return drawn(level, None)

    def nearest(level: Floats, committed: Floats | None) -> Floats:
        chunks = drawn(np.repeat(level, CANDIDATES, axis=0), None)
        chunks = chunks.reshape(len(level), CANDIDATES, CHUNK_LENGTH, 1)
        if committed is None:
            return chunks[:, 0]
        errors = np.square(chunks[:, :, :DELAY] - committed[:, None]).sum(axis=(2, 3))
        best: Floats = chunks[np.arange(len(level)), errors.argmin(axis=1)]
        return best

    figures = {}
    for name, draw in (("", continued), ("naive_", naive), ("best_of_16_", nearest)):
        switch, jump = _joined(draw, rng)
        figures[f"{name}mode_switch"], figures[f"{name}jump"] = switch, jump
    natural = np.abs(np.diff(toy_rows(STREAMS * CHUNKS, seed).chunk, axis=1))
    figures["natural_jump"] = float(np.percentile(natural, 95))
    figures["prefix_error"] = largest_error
    return figures


def _joined(draw: _Draw, rng: np.random.Generator) -> tuple[float, float]:
    """Share of mode switches and 95th percentile of the jump over many seams."""
    level = rng.uniform(*LEVELS, (STREAMS, 1)).astype(np.float32)
    chunk = draw(level, None)
    switches, jumps = [], []
    for _ in range(CHUNKS):
        committed = chunk[:, REPLAN_EVERY : REPLAN_EVERY + DELAY]
        chunk = draw(level, committed)
        ahead = chunk[:, DELAY : DELAY + REPLAN_EVERY]
        switches.append(ahead.mean(axis=1) * committed.mean(axis=1) < 0.0)
        jumps.append(np.abs(ahead[:, 0] - committed[:, -1]))
    return float(np.mean(switches)), float(np.percentile(jumps, 95))


def _session(model: Path) -> onnxruntime.InferenceSession:
    try:
        session = onnxruntime.InferenceSession(
            model.read_bytes(), session_options(1), providers=["CPUExecutionProvider"]
        )
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise InputError(model, f"cannot be read ({reason})", "train the toy again") from error
    except Exception as error:  # onnxruntime raises many unrelated types here
        raise InputError(
            model, "is no model that onnxruntime loads", "train the toy again"
        ) from error
    found = {node.name for node in session.get_inputs()}
    if found != {"state", "prefix", "delay", "noise"}:
        raise InputError(
            model, f"has the inputs {', '.join(sorted(found))}", "train the toy again"
        )
    return session
