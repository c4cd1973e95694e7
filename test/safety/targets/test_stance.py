"""Where a robot may stand: box, margins with their reserve, height of the trunk."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.targets.stance import SAG, WITHIN, Stance

from .scenes import CRATE, Scene, changed, limits
from .truth import Limits, slope

CROWDED = changed(limits("franka_pick"), obstacles=[CRATE])


def fr3(**keys: object) -> tuple[Scene, Stance]:
    scene = Scene("fr3", "tool_delta", changed(CROWDED, **keys))
    return scene, Stance(scene.robot, scene.clearance, scene.limits)


def go2() -> tuple[Scene, Stance]:
    scene = Scene("go2", "joint_delta", limits("go2"))
    return scene, Stance(scene.robot, scene.clearance, scene.limits)


def standing(scene: Scene, height: float) -> np.ndarray:
    """The quadruped with its trunk at a height, by bending all legs alike."""
    low, high, q = 0.0, 1.2, scene.robot.home.copy()
    for _ in range(60):
        bend = 0.5 * (low + high)
        q[1::3], q[2::3] = bend, -2.0 * bend
        q = np.clip(q, scene.robot.position_min, scene.robot.position_max)
        feet = [scene.kinematics.fk(q, foot).position[2] for foot in scene.robot.feet]
        low, high = (bend, high) if -min(feet) > height else (low, bend)
    return q


def test_box_is_kept() -> None:
    scene, stance = fr3(obstacles=[])
    q = scene.down_at(0.5, 0.0, 0.3)
    stance.begin(q)
    for place, outside in (((0.7, 0.0, 0.3), False), ((0.702, 0.0, 0.3), True),
                           ((0.5, -0.352, 0.3), True), ((0.5, 0.0, 0.602), True)):  # fmt: skip
        found = stance.problems(scene.down_at(*place), 1e-6)
        assert found == (Reason.WORKSPACE if outside else NONE)
    assert stance.problems(scene.down_at(0.702, 0.0, 0.3), 0.003) is NONE
    np.testing.assert_array_equal(stance.inside(np.array([0.9, 0.1, 0.0])), [0.7, 0.1, 0.012])


def test_outside_the_box_only_inwards() -> None:
    scene, stance = fr3(obstacles=[])
    outside = scene.down_at(0.72, 0.0, 0.3)
    stance.begin(outside)
    assert stance.problems(outside, 1e-9) is NONE
    assert stance.problems(scene.down_at(0.71, 0.0, 0.3), 1e-6) is NONE
    assert stance.problems(scene.down_at(0.722, 0.0, 0.3), 1e-6) == Reason.WORKSPACE
    # Where it has come in it stays.
    stance.begin(scene.down_at(0.71, 0.0, 0.3))
    assert stance.problems(outside, 1e-6) == Reason.WORKSPACE


def test_no_box() -> None:
    scene, stance = fr3(workspace=None, planes=[], obstacles=[])
    q = scene.down_at(0.5, 0.0, 0.3)
    stance.begin(q)
    far = np.array([9.0, 9.0, 9.0])
    np.testing.assert_array_equal(stance.inside(far), far)
    assert stance.problems(scene.down_at(0.2, 0.4, 0.6), 0.0) is NONE


@settings(deadline=None, max_examples=40)
@given(
    begin=st.lists(st.floats(-0.6, 0.6), min_size=7, max_size=7).map(np.array),
    way=st.lists(st.floats(-0.15, 0.15), min_size=7, max_size=7).map(np.array),
)
def test_problems_agree_with_the_measured_distances(begin: np.ndarray, way: np.ndarray) -> None:
    """Margins with their reserve; what is too close at the beginning must not come closer."""
    scene, stance = fr3()
    q0 = np.clip(scene.robot.home + begin, scene.robot.position_min, scene.robot.position_max)
    q = q0 + way
    stance.begin(q0)
    found = stance.problems(q, 1e-9)
    within = Limits(scene, q0)
    rooms = within.distances(q)
    for reason in (Reason.SELF_COLLISION, Reason.COLLISION):
        of = np.array([other == reason for other in scene.clearance.reasons])
        if abs(rooms[of].min() + 2e-6) > 2e-6:
            assert (reason in found) == (rooms[of].min() < 0)
    if abs(within.box(q).min()) > 1e-8:
        assert (Reason.WORKSPACE in found) == (within.box(q).min() < 0)


def test_reserve_is_kept_on_top_of_the_margin() -> None:
    scene, stance = fr3(workspace=None, obstacles=[])
    names = [pair[1] for pair in scene.clearance.names]
    tables = np.array([name == "table" for name in names])
    high = scene.down_at(0.5, 0.0, 0.05)
    stance.begin(high)
    rooms = (scene.clearance.distances(high) - scene.clearance.margins)[tables]
    # The hand's margin is 1.5 mm: its reserve is 1.5 mm too and not 2 mm.
    low = 0.05 - float(rooms.min())
    assert stance.problems(scene.down_at(0.5, 0.0, low + 0.0016), 1e-6) is NONE
    assert stance.problems(scene.down_at(0.5, 0.0, low + 0.0014), 1e-6) == Reason.COLLISION


def test_too_close_only_outwards() -> None:
    scene, stance = fr3(workspace=None, obstacles=[])
    tight = scene.down_at(0.5, 0.0, 0.0095)
    stance.begin(tight)
    assert stance.problems(tight, 1e-6) is NONE
    assert stance.problems(scene.down_at(0.5, 0.0, 0.0099), 1e-6) is NONE
    assert stance.problems(scene.down_at(0.5, 0.0, 0.0091), 1e-6) == Reason.COLLISION


@pytest.mark.parametrize(("height", "fits"), [(0.30, True), (0.366, True), (0.3685, False),
                                              (0.204, True), (0.2015, False)])  # fmt: skip
def test_height_of_the_trunk(height: float, fits: bool) -> None:
    scene, stance = go2()
    stance.begin(standing(scene, 0.30))
    found = stance.problems(standing(scene, height), 0.0)
    assert (Reason.BODY in found) is not fits


def test_trunk_outside_its_heights_only_inwards() -> None:
    scene, stance = go2()
    assert scene.limits.body is not None
    high = scene.limits.body.height_max
    stance.begin(standing(scene, high + 0.005))
    assert Reason.BODY not in stance.problems(standing(scene, high + 0.003), 0.0)
    assert Reason.BODY in stance.problems(standing(scene, high + 0.008), 0.0)


def test_rows_are_the_slopes_of_the_limits() -> None:
    """At a configuration near the table, near the crate and in the box; tilted, since where two
    faces are parallel a distance has no slope."""
    scene, stance = fr3()
    q = scene.down_at(0.45, -0.06, 0.09) + 0.05 * np.sin(np.arange(1.0, 8.0))
    assert scene.clearance.distances(q).min() > 1e-3
    stance.begin(q)
    rows = stance.rows(q)
    within = Limits(scene, q)
    near = within.distances(q) < WITHIN
    assert near.sum() >= 2
    # A box over a plane has a row for each low corner; the lowest is the one that is measured.
    pairs = scene.clearance.rows(q, WITHIN, scene.limits.workspace_tolerance).pairs
    assert set(pairs.tolist()) == set(np.flatnonzero(near).tolist())
    lowest = [
        min(np.flatnonzero(pairs == pair).tolist(), key=lambda row: float(rows.room[row]))
        for pair in np.flatnonzero(near)
    ] + list(range(len(pairs), len(rows.room)))
    room = np.concatenate([within.distances(q)[near], within.box(q)])
    np.testing.assert_allclose(rows.room[lowest], room, atol=5e-6)
    expected = np.concatenate([slope(within.distances, q)[near], slope(within.box, q)])
    np.testing.assert_allclose(rows.jacobian[lowest], expected, atol=0.03)


def test_rows_of_the_trunk() -> None:
    scene, stance = go2()
    q = standing(scene, 0.3)
    q[1] += 0.1  # one leg is shorter
    q[2] -= 0.3
    stance.begin(q)
    rows = stance.rows(q)
    body = scene.limits.body
    assert body is not None
    feet = np.array([-scene.kinematics.fk(q, foot).position[2] for foot in scene.robot.feet])
    expected = [*(body.height_max - SAG - feet), feet.max() - body.height_min - SAG]
    np.testing.assert_allclose(rows.room[-5:], expected, atol=1e-12)

    def heights(at: np.ndarray) -> np.ndarray:
        return np.array([-scene.kinematics.fk(at, foot).position[2] for foot in scene.robot.feet])

    slopes = slope(heights, q)
    np.testing.assert_allclose(rows.jacobian[-5:-1], -slopes, atol=5e-4)
    np.testing.assert_allclose(rows.jacobian[-1], slopes[feet.argmax()], atol=5e-4)
