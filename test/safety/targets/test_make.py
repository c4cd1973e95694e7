"""Each kind of action gets its target."""

from __future__ import annotations

import numpy as np
import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.safety.targets.base import BaseTarget
from vla_rl_nodes.safety.targets.joints import JointTarget
from vla_rl_nodes.safety.targets.tool import ToolTarget

from .scenes import WIDTH, Scene, limits, settle

XYZ = ("tool_x", "tool_y", "tool_z")


@pytest.mark.parametrize(
    ("name", "kind", "made", "names"),
    [
        ("fr3", "tool_delta", ToolTarget, (*XYZ, "tool_yaw", "gripper_width")),
        ("fr3", "tool_pose_delta", ToolTarget,
         (*XYZ, "tool_qx", "tool_qy", "tool_qz", "tool_qw", "gripper_width")),
        ("ur5e", "tool_pose_delta", ToolTarget,
         (*XYZ, "tool_qx", "tool_qy", "tool_qz", "tool_qw")),
        ("fr3", "joint_position", JointTarget,
         (*(f"fr3_joint{k}" for k in range(1, 8)), "gripper_width")),
        ("go2", "joint_delta", JointTarget, None),
        ("ur5e_mobile", "base_velocity", BaseTarget, ("base_vx", "base_vy", "base_wz")),
    ],
)  # fmt: skip
def test_kind(name: str, kind: str, made: type, names: tuple[str, ...] | None) -> None:
    scene = Scene(name, kind, limits(name.split("_")[0]))
    target = scene.target()
    assert type(target) is made
    assert target.pose_names == (scene.robot.joints if names is None else names)
    assert target.pose.shape == (len(target.pose_names),)
    still = np.zeros(3) if made is BaseTarget else scene.robot.home
    np.testing.assert_array_equal(settle(target), still)
    assert target.width == (WIDTH if name == "fr3" else None)


def test_velocity_of_a_robot_that_does_not_drive() -> None:
    with pytest.raises(InputError, match="no mobile base"):
        Scene("ur5e", "base_velocity", limits("ur5e")).target()
