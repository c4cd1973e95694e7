"""What a seed stands for, and what is added to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.episodes.reset.draw import draw, perturbed
from vla_rl_nodes.episodes.reset.script import ResetScript, load_script
from vla_rl_nodes.episodes.reset.seen import AttemptFailed
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.sim.scene import load_scene
from vla_rl_nodes.sim.start import draw_start

FR3 = load_robot("fr3")
KINEMATICS = Kinematics(FR3)
SCRIPT, SCENE = load_script("franka_pick"), load_scene("franka_pick")


@settings(max_examples=25)
@given(st.integers(0, 2**31 - 1))
def test_the_simulator_draws_the_same_start(seed: int) -> None:
    ours = draw(FR3, KINEMATICS, SCRIPT, seed)
    its = draw_start(FR3, SCENE, KINEMATICS, seed)
    assert np.array_equal(ours.joints, its.joints)
    cube, place = its.objects["cube"], ours.places["cube"]
    assert (place.x, place.y) == (cube[0], cube[1])
    assert np.cos(place.yaw / 2.0) == pytest.approx(cube[3])


def test_a_start_out_of_reach_is_said_so() -> None:
    data = SCRIPT.model_dump()
    data["tool_start"]["position_m"] = [2.0, 0.0, 0.3]
    with pytest.raises(AttemptFailed, match="out of the arm's reach"):
        draw(FR3, KINEMATICS, ResetScript.model_validate(data), 0)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.floats(0.0, 0.05), st.floats(0.0, 0.03))
def test_a_perturbation_keeps_its_bounds(seed: int, rad: float, metres: float) -> None:
    goal = draw(FR3, KINEMATICS, SCRIPT, 3).joints
    moved = perturbed(FR3, KINEMATICS, goal, rad, metres, seed)
    again = perturbed(FR3, KINEMATICS, goal, rad, metres, seed)
    assert np.array_equal(moved, again)
    shifted = perturbed(FR3, KINEMATICS, goal, 0.0, metres, seed)
    assert np.abs(moved - shifted).max() <= rad + 1e-12
    way = KINEMATICS.fk(shifted).position - KINEMATICS.fk(goal).position
    assert np.abs(way).max() <= metres + 1e-5


def test_without_a_perturbation_nothing_moves() -> None:
    assert np.array_equal(perturbed(FR3, KINEMATICS, FR3.home, 0.0, 0.0, 5), FR3.home)
