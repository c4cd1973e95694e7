"""Velocity targets of a mobile base."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.targets.base import BaseTarget

from .scenes import MOBILE_BASE, changed, limits, robot

LIMITS = changed(limits("ur5e"), velocity_scale=0.5)
MOST = 0.5 * np.array(MOBILE_BASE["velocity"])
NOWHERE = np.zeros(3)
velocities = st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=3).map(np.array)


def base() -> BaseTarget:
    return BaseTarget(robot("ur5e_mobile"), LIMITS)


@settings(deadline=None)
@given(action=velocities)
def test_velocity_is_bounded_axis_by_axis(action: np.ndarray) -> None:
    target = base()
    values, reasons = target.accept(action, NOWHERE)
    np.testing.assert_array_equal(values, np.clip(action, -MOST, MOST))
    np.testing.assert_array_equal(target.pose, values)
    np.testing.assert_array_equal(target.advance(), values)
    if (np.abs(action) <= MOST).all():
        assert values is action and reasons is NONE
    else:
        assert reasons == Reason.JOINT_VELOCITY


def test_begins_at_rest() -> None:
    target = base()
    assert not target.advance().any()
    assert target.pose_names == ("base_vx", "base_vy", "base_wz")
    assert target.width is None


@pytest.mark.parametrize("halt", ["push", "restart"])
def test_stands_still(halt: str) -> None:
    target = base()
    target.accept(MOST / 2, NOWHERE)
    assert target.advance().all()
    getattr(target, halt)(np.ones(3))
    assert not target.advance().any()
    assert not target.pose.any()


def test_knows_no_way_back() -> None:
    target = base()
    target.accept(MOST / 2, NOWHERE)
    assert not target.back()


def test_stricter_limits_hold_at_once() -> None:
    target = base()
    target.accept(MOST, NOWHERE)
    target.tighten(changed(LIMITS, velocity_scale=0.1))
    np.testing.assert_allclose(target.advance(), MOST / 5)
    values, reasons = target.accept(MOST / 2, NOWHERE)
    np.testing.assert_allclose(values, MOST / 5)
    assert reasons == Reason.JOINT_VELOCITY


def test_robot_without_a_mobile_base_is_refused() -> None:
    with pytest.raises(InputError, match="no mobile base"):
        BaseTarget(robot("ur5e"), LIMITS)
