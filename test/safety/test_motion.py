"""The commanded motion keeps its stored stop, and gets along the walls of the workspace."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.safety.motion import Motion
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.reference import Reference


def new_motion(rig: Any, q: np.ndarray) -> Motion:
    reference = Reference(
        rig.robot, rig.kinematics, rig.contract.action, rig.limits, 5, 0.01, q, 0.08
    )
    point = rig.kinematics.fk(q).position
    return Motion(rig.robot, rig.kinematics, rig.limits, 0.01, reference, q, point)


def test_a_stop_follows_the_stored_path_row_by_row(new_rig: Any) -> None:
    q = new_rig.at(new_rig, 0.5, 0.0, 0.3)
    motion = new_motion(new_rig, q)
    for _ in range(4):
        motion.reference.accept(np.array([0.0, 0.015, 0.0, 0.0, 0.08]), None, motion.q)
        for _ in range(5):
            assert motion.follow()
    stored = motion.tail
    assert len(stored.path) > 3 and not motion.at_rest
    for row in stored.path:
        motion.stop()
        np.testing.assert_array_equal(motion.q, row)
    assert motion.at_rest
    motion.stop()
    np.testing.assert_array_equal(motion.q, stored.path[-1])


@pytest.mark.parametrize(
    ("start", "along"),
    [
        ((0.35, -0.25, 0.013), (0.0, 0.02, -0.005)),  # over the floor
        ((0.69, -0.2, 0.2), (0.01, 0.0, -0.02)),  # along the far wall
        ((0.4, 0.345, 0.4), (0.0, 0.01, -0.02)),  # along a side wall
    ],
)
def test_a_tool_pushed_against_a_wall_slides_along_it(
    new_rig: Any, start: tuple[float, float, float], along: tuple[float, float, float]
) -> None:
    rig = new_rig(new_rig.at(new_rig, *start))
    for _ in range(8):
        rig.act([*along, 0.0, 0.08])
    reference = rig.step(24).reference
    rig.assert_stream_safe()
    np.testing.assert_allclose(rig.kinematics.fk(rig.q).position, reference[:3], atol=1e-4)
    travelled = np.abs(
        rig.kinematics.fk(rig.q).position - rig.kinematics.fk(rig.stream[0]).position
    )
    assert travelled.max() > 0.1


def test_one_message_tells_that_the_stored_stop_was_followed(new_rig: Any) -> None:
    # Sent outward at full speed from just inside the ceiling: the tool's own stop would leave.
    rig = new_rig(new_rig.at(new_rig, 0.45, 0.0, 0.5))
    rig.act([0.02, 0.02, 0.02, 0.15, 0.08])
    told = 0
    for k in range(40):
        sign = 1.0 if k % 3 else -1.0
        rig.act([sign * 0.02, 0.02 * sign, 0.02, sign * 0.15, 0.08])
    followed = [o for o in rig.outputs if Reason.UNVERIFIED_STOP in o.reasons]
    told = sum("stored stop" in m for o in rig.outputs for m in o.messages)
    assert 0 < told <= len(followed)
    rig.assert_stream_safe()
