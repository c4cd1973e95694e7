"""Which way is up, from an IMU's orientation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.safety_inputs import up_in_body


@given(st.floats(-3.0, 3.0), st.floats(-1.5, 1.5), st.floats(-3.0, 3.0))
def test_up_is_the_last_row_of_the_rotation(roll: float, pitch: float, yaw: float) -> None:
    c, s = (
        [math.cos(a / 2) for a in (roll, pitch, yaw)],
        [math.sin(a / 2) for a in (roll, pitch, yaw)],
    )
    x = s[0] * c[1] * c[2] - c[0] * s[1] * s[2]
    y = c[0] * s[1] * c[2] + s[0] * c[1] * s[2]
    z = c[0] * c[1] * s[2] - s[0] * s[1] * c[2]
    w = c[0] * c[1] * c[2] + s[0] * s[1] * s[2]
    # Rz(yaw) Ry(pitch) Rx(roll): the heading does not matter.
    expected = [-math.sin(pitch), math.sin(roll) * math.cos(pitch),
                math.cos(roll) * math.cos(pitch)]  # fmt: skip
    np.testing.assert_allclose(up_in_body(x, y, z, w), expected, atol=1e-12)


@pytest.mark.parametrize(
    "bad", [(0, 0, 0, 0), (0, 0, 0, 1.1), (math.nan, 0, 0, 1), (0, 0, 0, math.inf)]
)
def test_what_is_no_orientation_is_refused(bad: tuple[float, float, float, float]) -> None:
    with pytest.raises(InputError, match="has length"):
        up_in_body(*bad)
