"""Slows a tool on its way into a singular configuration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.safety.limits import Singularity

Array = NDArray[np.float64]

DAMPING = 1e-4  # squared, of the step that tells where the motion leads


def condition(jacobian: Array, length: float) -> float:
    """Condition number of a tool's Jacobian [6, n], its rotations weighed with ``length`` m."""
    weighed = jacobian * np.array([1.0, 1.0, 1.0, length, length, length])[:, None]
    values = np.linalg.svd(weighed, compute_uv=False)
    return float(values[0] / max(values[-1], 1e-12))


def slowing(rule: Singularity, here: float, ahead: float) -> float:
    """Share (0..1) of a motion that is allowed: none slowed that leads away.

    Args:
        rule: where slowing begins and where it ends.
        here: condition number before the motion.
        ahead: condition number after it.
    """
    if ahead <= here or ahead <= rule.slow_from:
        return 1.0
    return float(np.clip((rule.stop_at - ahead) / (rule.stop_at - rule.slow_from), 0.0, 1.0))


def step_towards(jacobian: Array, change: Array) -> Array:
    """A damped joint step [n] that changes the tool's pose by ``change`` [6]."""
    gram = jacobian @ jacobian.T
    gram.flat[::7] += DAMPING
    step: Array = jacobian.T @ np.linalg.solve(gram, change)
    return step
