"""Interpolated rotations lie on the shortest turn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.robots.rotation import turned_towards
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw, yaw_from_rotation


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0, 1))
def test_a_share_of_a_yaw_turn_is_that_share(start: float, goal: float, share: float) -> None:
    turned = turned_towards(rotation_from_yaw(start), rotation_from_yaw(goal), share)
    np.testing.assert_allclose(turned @ turned.T, np.eye(3), atol=1e-12)
    assert yaw_from_rotation(turned) == pytest.approx(start + share * (goal - start), abs=1e-9)


def test_the_shortest_way_is_taken_across_half_a_turn() -> None:
    turned = turned_towards(rotation_from_yaw(3.0), rotation_from_yaw(-3.0), 0.5)
    assert abs(yaw_from_rotation(turned)) == pytest.approx(np.pi, abs=1e-9)
