"""MoveIt's planner behind the reset's interface, where moveit_py is installed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.episodes.reset.planner import Candidate
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.model import Robot

Array = NDArray[np.float64]


class MoveItPlanner:
    """Asks MoveItPy (moveit_py of MoveIt 2) for a way; its timing is not used.

    What it proposes is checked like any other way, and timed and commanded in the same manner:
    MoveIt itself moves nothing here.

    Args:
        robot: names of the joints.
        group: of MoveIt's planning group.
        node_name: under which MoveItPy finds its parameters (robot description, pipelines).

    Raises:
        InputError: moveit_py is not installed, or cannot be set up.
    """

    def __init__(self, robot: Robot, group: str, node_name: str = "reset_moveit") -> None:
        self._robot, self._group = robot, group
        try:
            planning = importlib.import_module("moveit.planning")
            self._states = importlib.import_module("moveit.core.robot_state")
        except ImportError as error:
            raise InputError(
                "MoveIt planner", f"moveit_py cannot be imported ({error})",
                "install ros-<distro>-moveit-py, or set the parameter planner to room",
            ) from error  # fmt: skip
        try:
            self._moveit: Any = planning.MoveItPy(node_name=node_name)
            self._component: Any = self._moveit.get_planning_component(group)
        except Exception as error:  # its own bindings raise RuntimeError and others
            said = " ".join(str(error).split())
            raise InputError(
                "MoveIt planner", f"cannot be set up ({said})",
                f"give {node_name} its robot description and pipelines, or set planner to room",
            ) from error  # fmt: skip

    def candidates(self, start: Array, goal: Array, seed: int) -> Iterator[Candidate]:
        """See :class:`~vla_rl_nodes.episodes.reset.planner.Planner`; the seed is not used."""
        yield self._planned(start, goal)

    def _planned(self, start: Array, goal: Array) -> Candidate:
        try:
            self._component.set_start_state(robot_state=self._state(start))
            self._component.set_goal_state(robot_state=self._state(goal))
            result = self._component.plan()
            if not result:
                return Candidate("moveit", None, "MoveIt found no way")
            message = result.trajectory.get_robot_trajectory_msg().joint_trajectory
            order = [list(message.joint_names).index(name) for name in self._robot.joints]
            way = np.array([list(point.positions) for point in message.points], dtype=np.float64)
            way = way[:, order]
        except Exception as error:  # of the bindings, or a message without our joints
            said = " ".join(str(error).split())
            return Candidate("moveit", None, f"MoveIt failed ({said})")
        return Candidate("moveit", np.concatenate([start[None], way, goal[None]]))

    def _state(self, q: Array) -> Any:
        state = self._states.RobotState(self._moveit.get_robot_model())
        state.set_joint_group_positions(self._group, q)
        state.update()
        return state
