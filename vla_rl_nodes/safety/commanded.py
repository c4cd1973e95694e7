"""The knot just commanded and the stop after it, which every kind of motion keeps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.safety.smoothing import Knot
from vla_rl_nodes.safety.stop import Plan, resting

Array = NDArray[np.float64]

REST = 1e-9  # of speeds and accelerations, in their units


class Commanded:
    """What was commanded last, and what is left of it; begins at rest.

    Attributes:
        plan: the knot just commanded and the stored stop after it.

    Args:
        q: where it begins [n], rad (of a base: m and rad).
    """

    def __init__(self, q: Array) -> None:
        zero = np.zeros(len(q))
        self._now = Knot(q.copy(), zero, zero)
        self.plan: Plan = resting(q)

    @property
    def q(self) -> Array:
        """Positions just commanded [n], rad; of a base what its velocities have added up to."""
        return self._now.q

    @property
    def v(self) -> Array:
        """Velocities just commanded [n], rad/s (of a base: m/s and rad/s)."""
        return self._now.v

    @property
    def a(self) -> Array:
        """Accelerations just commanded [n], rad/s^2 (of a base: m/s^2 and rad/s^2)."""
        return self._now.a

    @property
    def at_rest(self) -> bool:
        """Whether the last knot stands still and nothing is left to brake."""
        return bool((np.abs(self._now.v) < REST).all() and (np.abs(self._now.a) < REST).all())

    def stop(self) -> None:
        """One tick along the stored stop."""
        self._take(self.plan.after())

    def _take(self, plan: Plan) -> None:
        self.plan = plan
        self._now = Knot(plan.q[0], plan.v[0], plan.a[0])
