"""The check of ways: in the filter's own geometry, and in words."""

from __future__ import annotations

import numpy as np

from .walls import FR3, LEFT, LIMITS, RIGHT, WALLED, at, planner


def test_the_check_names_what_is_in_the_way() -> None:
    _, check = planner(WALLED)
    assert check.problem(np.stack([LEFT, RIGHT])).endswith("mm are kept")
    assert "wall" in check.problem(np.stack([LEFT, RIGHT]))
    out = at(0.74, 0.0, 0.2)
    assert "outside the workspace at (0.7" in check.problem(np.stack([at(0.68, 0, 0.2), out]))
    beyond = FR3.home.copy()
    beyond[6] = FR3.position_max[6] + 0.01
    assert check.problem(np.stack([FR3.home, beyond])) == "fr3_joint7 would leave its range"
    assert check.standing(np.full(7, np.nan)) == "a joint's position is not finite"


def test_who_is_outside_may_come_in_but_not_go_further_out() -> None:
    _, check = planner(LIMITS)
    out = at(0.74, 0.0, 0.3)
    assert check.problem(np.stack([out, FR3.home])) == ""
    assert check.problem(np.stack([out, at(0.76, 0.0, 0.3)])) != ""
