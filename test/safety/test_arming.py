"""From where the filter takes an arm over, and when it does not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.arming import starting_position
from vla_rl_nodes.safety.clearance import Clearance
from vla_rl_nodes.safety.inputs import Sample
from vla_rl_nodes.safety.limits import load_limits
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Instant, Problem

ROBOT, LIMITS = load_robot("fr3"), load_limits("franka_pick")
KINEMATICS = Kinematics(ROBOT)
CLEARANCE = Clearance(ROBOT, LIMITS)


def start(
    q: np.ndarray,
    sample: Sample | Problem | None = None,
    commanded: np.ndarray | None = None,
    downward: bool = True,
    at_rest: bool = True,
) -> np.ndarray:
    if sample is None:
        sample = Sample(0, Instant(0, 0), np.nan_to_num(q))
    return starting_position(
        ROBOT, KINEMATICS, LIMITS, CLEARANCE, downward, sample, q, at_rest, commanded
    )


def moved(joint: int, by: float) -> np.ndarray:
    q = ROBOT.home.copy()
    q[joint] += by
    return q


def test_it_begins_where_the_arm_was_measured_or_commanded_to_be() -> None:
    sagging = moved(1, 0.003)
    np.testing.assert_array_equal(start(sagging), sagging)
    np.testing.assert_array_equal(start(sagging, commanded=ROBOT.home), ROBOT.home)
    np.testing.assert_array_equal(start(sagging, commanded=moved(0, 0.2)), sagging)


@pytest.mark.parametrize(
    ("q", "said"),
    [
        (moved(0, math.nan), "is not usable"),
        (ROBOT.home[:6], "is not usable"),
        (moved(1, 2.64), "fr3_joint2 is at 1.8546 rad, outside -1.8361..1.8361; move the arm by"),
        (moved(5, 0.43), "the tool is tilted by 0.43 rad; point it down"),
    ],
)
def test_an_unfit_arm_is_not_taken_over(q: np.ndarray, said: str) -> None:
    sample = Sample(0, Instant(0, 0), ROBOT.home if len(q) == 6 else np.nan_to_num(q))
    with pytest.raises(InputError) as raised:
        start(q, sample)
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_the_measurement_has_to_be_fresh_and_to_agree() -> None:
    with pytest.raises(InputError, match="no fresh joint state: it is old; check the robot's"):
        start(ROBOT.home, Problem(Reason.STALE_STATE, "it is old"))
    with pytest.raises(InputError, match="not at the given position"):
        start(ROBOT.home, Sample(0, Instant(0, 0), moved(3, 0.16)))


def test_a_part_that_is_in_another_is_refused() -> None:
    down = np.diag([1.0, -1.0, -1.0])
    found = KINEMATICS.solve(ROBOT.home, np.array([0.5, 0.0, 0.004]), down, iterations=200)
    assert found.converged
    with pytest.raises(InputError, match=r"fr3_leftfinger\+fr3_rightfinger and table overlap by"):
        start(found.q)


def test_a_tilt_is_asked_of_downward_tools_only() -> None:
    tilted = moved(5, 0.5)
    with pytest.raises(InputError, match="tilted"):
        start(tilted)
    np.testing.assert_array_equal(start(tilted, downward=False), tilted)


def test_an_arm_that_moves_goes_on_from_its_command_or_waits() -> None:
    lagging = moved(0, 0.01)
    np.testing.assert_array_equal(start(lagging, commanded=ROBOT.home, at_rest=False), ROBOT.home)
    for commanded in (None, moved(0, 0.2)):
        with pytest.raises(InputError, match="the arm moves, or was not measured for 20 ms"):
            start(ROBOT.home, commanded=commanded, at_rest=False)
