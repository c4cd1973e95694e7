"""UR5e and Go2 through the same simulation node."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sensor_msgs.msg import JointState

from vla_rl_nodes.bringup import hold_pose
from vla_rl_nodes.robots.load import load_robot

from .running import alone

pytestmark = pytest.mark.graph


@pytest.mark.parametrize("name", ["ur5e", "go2"])
def test_robot_loads_and_holds_its_pose(name: str, folder: Path) -> None:
    robot = load_robot(name)
    with alone(folder / name, hold_pose(name)[0], name) as running:
        joints = running.listen(JointState, robot.topics.joint_states)
        running.wait(lambda: len(joints) > 500, 30.0, "two seconds of joint states")
        assert tuple(joints[0][1].name) == robot.joints
        held = np.array([m.position for _, m in list(joints)[250:]])
        assert np.abs(held - held[0]).max() < 0.01
        status = running.driver.event("sim/status")
        assert status is not None and status.hardware_id == name
        assert float(status.values["real_time_factor"]) >= 0.0
