"""How far the answers of two engines for the same bundle are apart."""

from __future__ import annotations

import numpy as np

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.checked_engine import CheckedEngine, trial
from vla_rl_nodes.policy.tensorrt_graph import Precision

# As shares of an axis' range, from its minimum to its maximum. float32 sums in another order,
# and the layers round; half precision keeps 11 bits: 1 % is 0.4 mm of a tool's 4 cm a tick.
TOLERANCES: dict[Precision, float] = {"fp32": 1e-3, "fp16": 1e-2}

_NOISES = 8


def largest_difference(reference: CheckedEngine, engine: CheckedEngine, seed: int = 0) -> float:
    """Greatest difference between two engines' actions, as a share of the axis' range.

    Both are asked with the same made-up observations, at every delay that was trained, one chunk
    a call and several.

    Raises:
        InputError: an engine refuses or fails.
    """
    generator = np.random.default_rng(seed)
    action = reference.bundle.contract.action
    width = (action.maximum - action.minimum).astype(np.float32)
    shape = (action.chunk_length, len(action.names))
    count = min(_NOISES, reference.candidates, engine.candidates)
    worst = 0.0
    for delay in range(action.max_delay + 1):
        samples, prefix = trial(reference.bundle, generator)
        noise = generator.standard_normal((count, *shape), np.float32)
        wanted = reference.infer_many(samples, prefix, delay, noise).chunks
        given = engine.infer_many(samples, prefix, delay, noise).chunks
        single = engine.infer(samples, prefix, delay, noise[0])
        for one, other in ((given, wanted), (single, wanted[0])):
            worst = max(worst, float((np.abs(one - other) / width).max()))
    return worst


def check_parity(reference: CheckedEngine, engine: CheckedEngine, precision: Precision) -> float:
    """Their largest difference.

    Raises:
        InputError: it is above the precision's tolerance.
    """
    difference, tolerance = largest_difference(reference, engine), TOLERANCES[precision]
    if not difference <= tolerance:
        raise InputError(
            engine.name,
            f"differs from {reference.name} by {difference:.1e} of an axis' range,"
            f" more than {tolerance:.0e} ({precision})",
            "build it in fp32" if precision == "fp16" else "report both versions",
        )
    return difference
