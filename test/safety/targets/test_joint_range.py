"""How far the joints may go in one control period."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.targets.joint_range import JointRange

from .scenes import PERIOD, changed, limits, robot

FR3, LIMITS = robot("fr3"), limits("franka_pick")
SHARE = LIMITS.velocity_scale * PERIOD
HOME = FR3.home
shares = st.lists(st.floats(0.0, 1.0), min_size=7, max_size=7).map(np.array)
ways = st.lists(st.floats(-1.0, 1.0), min_size=7, max_size=7).map(np.array)


def joint_range(**keys: float) -> JointRange:
    return JointRange(FR3, changed(LIMITS, **keys), PERIOD)


def inside(share: np.ndarray) -> np.ndarray:
    return FR3.position_min + share * (FR3.position_max - FR3.position_min)


@settings(deadline=None)
@given(share=shares)
def test_allowed_goes_as_far_as_nothing_forbids_and_no_farther(share: np.ndarray) -> None:
    """Velocity limits count where they are reached: they depend on the position."""
    q, of = inside(share), joint_range()
    low, high = of.allowed(q, q, q)
    assert (low >= FR3.position_min).all() and (high <= FR3.position_max).all()
    assert (low <= q).all() and (high >= q).all()
    for end, away in ((low, -1e-4), (high, 1e-4)):
        assert of.problems(end, q, q, q) is NONE
        for joint in range(7):
            beyond = end.copy()
            beyond[joint] += away
            assert of.problems(beyond, q, q, q)


@settings(deadline=None)
@given(share=shares, way=ways)
def test_problems_say_what_forbids(share: np.ndarray, way: np.ndarray) -> None:
    """Against plain arithmetic, away from the limits by more than rounding."""
    now = inside(share)
    q = now + 0.3 * way
    slowest, fastest = FR3.velocity_bounds(q)
    room = np.minimum(q - now - slowest * SHARE, fastest * SHARE - (q - now)).min()
    reach = np.minimum(q - FR3.position_min, FR3.position_max - q).min()
    found = joint_range().problems(q, now, now, now)
    if abs(room) > 1e-8:
        assert (Reason.JOINT_VELOCITY in found) == (room < 0)
    if abs(reach) > 1e-8:
        assert (Reason.JOINT_POSITION in found) == (reach < 0)


def test_nothing_forbids_to_stand_anywhere_in_the_ranges() -> None:
    for share in (0.0, 0.3, 1.0):
        q = inside(np.full(7, share))
        assert joint_range().problems(q, q, q, q) is NONE


def test_not_a_number_is_forbidden() -> None:
    q = HOME.copy()
    q[3] = np.nan
    found = joint_range().problems(q, HOME, HOME, HOME)
    assert Reason.JOINT_POSITION in found and Reason.JOINT_VELOCITY in found
    assert Reason.JOINT_ACCELERATION in found


def test_target_does_not_run_away_from_the_motion() -> None:
    """What the motion trails by at full speed is allowed, twice that is not."""
    speed = FR3.velocity_max[0] * LIMITS.velocity_scale
    trail = speed * (PERIOD + LIMITS.smoothing_s) + speed**2 / 2.0 / FR3.acceleration_max[0]
    ahead = HOME.copy()
    ahead[0] += 0.99 * trail
    assert joint_range().problems(ahead, ahead, ahead, HOME) is NONE
    ahead[0] = HOME[0] + 2.0 * trail
    # Where the target is that far ahead already it may stay there, and not go on.
    assert joint_range().problems(ahead, ahead, ahead, HOME) is NONE
    farther = ahead.copy()
    farther[0] += 0.01
    assert joint_range().problems(farther, ahead, ahead, HOME) == Reason.JOINT_ACCELERATION
    low, high = joint_range().allowed(ahead, ahead, HOME)
    assert high[0] == pytest.approx(ahead[0], abs=1e-12)
    assert low[0] < ahead[0]


def test_tightened_velocities_hold_from_then_on() -> None:
    of = joint_range()
    _, before = of.allowed(HOME, HOME, HOME)
    of.tighten(changed(LIMITS, velocity_scale=0.3))
    _, after = of.allowed(HOME, HOME, HOME)
    np.testing.assert_allclose(after - HOME, 0.5 * (before - HOME))
    assert Reason.JOINT_VELOCITY in of.problems(before, HOME, HOME, HOME)
