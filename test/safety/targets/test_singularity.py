"""The tool is slowed on its way into a singular configuration, never on its way out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.safety.limits import Singularity
from vla_rl_nodes.safety.targets.singularity import condition, slowing, step_towards

from .scenes import kinematics, robot

RULE = Singularity(slow_from=30.0, stop_at=80.0)
conditions = st.floats(1.0, 1e6)


@settings(deadline=None)
@given(here=conditions, ahead=conditions)
def test_share(here: float, ahead: float) -> None:
    share = slowing(RULE, here, ahead)
    assert 0.0 <= share <= 1.0
    if ahead <= here or ahead <= 30.0:
        assert share == 1.0
    elif ahead >= 80.0:
        assert share == 0.0
    else:
        assert share == pytest.approx((80.0 - ahead) / 50.0, abs=1e-12)
        assert slowing(RULE, here, ahead + 0.5) < share


def test_condition_of_a_known_jacobian() -> None:
    # Rotations count a fifth: singular values 2, 1, 1 and 1, 1, 0.5.
    jacobian = np.diag([2.0, 1.0, 1.0, 5.0, 5.0, 2.5])
    assert condition(jacobian, 0.2) == pytest.approx(4.0, abs=1e-12)


def test_condition_grows_as_the_arm_stretches() -> None:
    arm = kinematics("ur5e")
    home = robot("ur5e").home
    found = []
    for elbow in (1.5, 1.0, 0.5, 0.2, 0.05):
        q = home.copy()
        q[2] = elbow
        found.append(condition(arm.jacobian(q), 0.2))
    assert found == sorted(found)
    assert found[0] < 10.0 < 80.0 < found[-1]


def test_condition_of_a_singular_jacobian_is_finite() -> None:
    assert np.isfinite(condition(np.zeros((6, 7)), 0.2))
    assert condition(np.diag([1.0, 1.0, 1.0, 1.0, 1.0, 0.0]), 1.0) > 1e6


@settings(deadline=None)
@given(change=st.lists(st.floats(-0.02, 0.02), min_size=6, max_size=6).map(np.array))
def test_step_leads_where_it_should(change: np.ndarray) -> None:
    jacobian = kinematics("fr3").jacobian(robot("fr3").home)
    step = step_towards(jacobian, change)
    # The damping takes off 1e-4 / s^2 of each direction; the least singular value s is 0.14.
    least = np.linalg.svd(jacobian, compute_uv=False)[-1]
    left = np.linalg.norm(jacobian @ step - change)
    assert left <= 1e-4 / least**2 * np.linalg.norm(change) + 1e-12
