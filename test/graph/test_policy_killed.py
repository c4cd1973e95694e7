"""The policy dies in mid-motion: the arm comes to rest, the episode ends, the bag is whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import CONTRACT, Graph, speeds, start
from sensor_msgs.msg import JointState

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.demo.measure import measure_episode
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.limits import load_limits

pytestmark = pytest.mark.graph

MOVING, AT_REST = 0.15, 0.02  # rad/s


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Graph]:
    with start(
        folder, actor="sim_expert", parameters={"sim_expert": {"perturbed": False}}
    ) as whole:
        yield whole


def test_arm_is_at_rest_within_300_ms(running: Graph) -> None:
    robot = load_robot("fr3")
    joints = running.listen(JointState, robot.topics.joint_states)
    episode_id = running.driver.start_episode(seed=11)
    running.wait(lambda: running.driver.state(episode_id) == "running", 20.0, "running")
    running.wait(lambda: joints and speeds(joints)[-1][1] > MOVING, 5.0, "motion")
    running.processes.kill("sim_expert")
    killed = running.now_ns()
    result = running.driver.finish(episode_id, 11, 10.0)
    assert result.outcome == "aborted"
    assert "silent" in result.reason
    after = [(stamp, speed) for stamp, speed in speeds(joints) if stamp > killed]
    assert len(after) > 50
    moving = [stamp for stamp, speed in after if speed > AT_REST]
    rest_s = (max(moving, default=killed) - killed) / 1e9
    print(f"at rest {rest_s:.3f} s after the kill")
    assert rest_s < 0.3
    positions = np.array([m.position for _, m in joints])
    assert (positions >= robot.position_min).all() and (positions <= robot.position_max).all()

    assert result.bag is not None
    reader = EpisodeReader(result.bag)
    assert reader.closed
    measured = measure_episode(result.bag, load_contract(CONTRACT), robot, load_limits(CONTRACT))
    assert not measured.limits.violations
