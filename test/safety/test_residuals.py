"""A residual is kept in a bound that only the robot's own schedule widens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.limits import ResidualStage, SafetyLimits, load_limits
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.residuals import ActionBounds, scheduled_share

ROBOT, CONTRACT, LIMITS = (
    load_robot("fr3"),
    load_contract("franka_pick"),
    load_limits("franka_pick"),
)
STAGES = [(0, 0.0), (100, 0.5), (300, 1.0)]
BOUND = np.array([0.012, 0.012, 0.012, 0.08, 0.08])


def schedule(stages: list[tuple[int, float]]) -> list[ResidualStage]:
    return [ResidualStage(after=after, share=share) for after, share in stages]


def scheduled(stages: list[tuple[int, float]]) -> SafetyLimits:
    return LIMITS.model_copy(update={"residual_schedule": schedule(stages)})


@pytest.mark.parametrize(
    ("accepted", "share"),
    [(0, 0.0), (50, 0.25), (100, 0.5), (200, 0.75), (300, 1.0), (10**9, 1.0)],
)
def test_the_share_is_linear_between_stages(accepted: int, share: float) -> None:
    assert scheduled_share(schedule(STAGES), accepted) == pytest.approx(share, abs=1e-12)


FINITE = st.floats(-1e3, 1e3)


@given(st.integers(0, 500), st.lists(FINITE, min_size=5, max_size=5))
def test_no_residual_exceeds_its_share_of_the_bound(accepted: int, residual: list[float]) -> None:
    bounds = ActionBounds(ROBOT, CONTRACT.action, scheduled(STAGES))
    bounds.accepted = accepted
    base = np.array([0.001, 0.002, -0.003, 0.004, 0.04])
    action, reasons = bounds.bounded(base, np.array(residual))
    bound = scheduled_share(schedule(STAGES), accepted) * BOUND
    assert (np.abs(action - base) <= bound + 1e-15).all()
    over = (np.abs(residual) > bound + 1e-6).any()
    assert (Reason.RESIDUAL_BOUND in reasons) == over


def test_the_sum_is_kept_in_the_contract_and_the_gripper() -> None:
    wide = CONTRACT.action.model_copy(
        update={
            "axes": [
                axis.model_copy(update={"minimum": -1.0, "maximum": 1.0})
                if axis.name == "gripper_width"
                else axis
                for axis in CONTRACT.action.axes
            ]
        }
    )
    bounds = ActionBounds(ROBOT, wide, LIMITS)
    action, reasons = bounds.bounded(np.array([0.015, 0.0, 0.0, 0.0, 0.5]), np.full(5, 0.01))
    np.testing.assert_allclose(action, [0.02, 0.01, 0.01, 0.01, 0.08], atol=1e-15)
    assert reasons == Reason.ACTION_BOUND
    assert bounds.bounded(np.array([0.0, 0, 0, 0, -0.5]), None)[0][4] == 0.0


def test_what_is_inside_is_the_plain_sum_to_the_bit() -> None:
    bounds = ActionBounds(ROBOT, CONTRACT.action, LIMITS)
    base, residual = np.array([0.01, -0.02, 0.003, 0.1, 0.03]), np.array([1, 2, -3, 4, 5]) * 1e-3
    action, reasons = bounds.bounded(base, residual)
    assert action.tobytes() == (base + residual).tobytes() and reasons == NONE
    assert bounds.bounded(base, None)[0].tobytes() == base.tobytes()


def test_stricter_bounds_keep_the_count() -> None:
    bounds = ActionBounds(ROBOT, CONTRACT.action, scheduled(STAGES))
    bounds.accepted = 200
    bounds.set_limits(scheduled([(0, 0.0), (400, 1.0)]))
    assert bounds.accepted == 200 and bounds.share == pytest.approx(0.5)
