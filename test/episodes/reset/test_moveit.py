"""MoveIt's planner: absent, broken, and behind the same check as our own."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.episodes.reset.moveit import MoveItPlanner
from vla_rl_nodes.episodes.reset.planner import Candidate, choose
from vla_rl_nodes.errors import InputError

from .walls import FR3, LEFT, LIMITS, RIGHT, TIMED, WALLED, planner


def test_without_moveit_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "moveit", None)
    monkeypatch.setitem(sys.modules, "moveit.planning", None)
    with pytest.raises(InputError, match=r"moveit_py cannot be imported .* set the parameter"):
        MoveItPlanner(FR3, "fr3_arm")


class _State:
    def __init__(self, model: str) -> None:
        self.q: Any = None

    def set_joint_group_positions(self, group: str, q: Any) -> None:
        assert group == "fr3_arm"
        self.q = q

    def update(self) -> None: ...


class _Component:
    """Proposes the middle between start and goal, joints in another order."""

    finds = True

    def set_start_state(self, robot_state: _State) -> None:
        self.start = robot_state.q

    def set_goal_state(self, robot_state: _State) -> None:
        self.goal = robot_state.q

    def plan(self) -> Any:
        if not self.finds:
            return None
        middle = (self.start + self.goal) / 2.0
        point = types.SimpleNamespace(positions=middle[::-1].tolist())
        message = types.SimpleNamespace(joint_names=list(FR3.joints)[::-1], points=[point])
        whole = types.SimpleNamespace(joint_trajectory=message)
        return types.SimpleNamespace(
            trajectory=types.SimpleNamespace(get_robot_trajectory_msg=lambda: whole)
        )


@pytest.fixture
def moveit(monkeypatch: pytest.MonkeyPatch) -> _Component:
    component = _Component()

    class Py:
        def __init__(self, node_name: str) -> None:
            assert node_name == "reset_moveit"

        def get_planning_component(self, group: str) -> _Component:
            return component

        def get_robot_model(self) -> str:
            return "model"

    planning = types.SimpleNamespace(MoveItPy=Py)
    states = types.SimpleNamespace(RobotState=_State)
    monkeypatch.setitem(sys.modules, "moveit", types.ModuleType("moveit"))
    monkeypatch.setitem(sys.modules, "moveit.core", types.ModuleType("moveit.core"))
    monkeypatch.setitem(sys.modules, "moveit.planning", planning)
    monkeypatch.setitem(sys.modules, "moveit.core.robot_state", states)
    return component


def test_moveits_way_is_checked_like_any_other(moveit: _Component) -> None:
    own, check = planner(LIMITS)
    asked = MoveItPlanner(FR3, "fr3_arm")
    found = choose([asked, own], check, TIMED, LEFT, RIGHT, 0)
    assert found.name == "moveit" and found.way is not None
    assert np.abs(found.way[1] - (LEFT + RIGHT) / 2.0).max() < 1e-9
    room, walled = planner(WALLED)
    assert choose([asked, room], walled, TIMED, LEFT, RIGHT, 0).name != "moveit"
    moveit.finds = False
    assert list(asked.candidates(LEFT, RIGHT, 0)) == [
        Candidate("moveit", None, "MoveIt found no way")
    ]


def test_a_moveit_that_cannot_be_set_up_says_so(
    moveit: _Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(node_name: str) -> None:
        raise RuntimeError("no robot_description")

    monkeypatch.setattr(sys.modules["moveit.planning"], "MoveItPy", broken)
    with pytest.raises(InputError, match=r"cannot be set up .no robot_description."):
        MoveItPlanner(FR3, "fr3_arm")
