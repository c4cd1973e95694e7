"""A process dies in mid-motion: the arm comes to rest, the episode ends, the bag is whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sensor_msgs.msg import JointState

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.demo.measure import measure_episode
from vla_rl_nodes.nodes.episode_alive import SILENT_NS
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.limits import load_limits

from .running import CONTRACT, in_motion, speeds, start

pytestmark = pytest.mark.graph

AT_REST = 0.02  # rad/s
WITHIN_S = 0.3  # along a verified stop, and as far as the arm's drives lag behind it
LIMITS = load_limits(CONTRACT)


@pytest.mark.parametrize(
    ("killed", "reason", "within_s"),
    [
        # The last command is carried out first; what is not at rest by then is stopped.
        ("policy", "the policy was silent", LIMITS.stop_after_s + WITHIN_S),
        ("safety_filter", "the safety filter was silent", WITHIN_S),
    ],
)
def test_arm_is_at_rest_and_within_its_limits(
    killed: str, reason: str, within_s: float, tmp_path: Path
) -> None:
    robot = load_robot("fr3")
    with start(tmp_path) as running:
        driver = running.driver
        joints = running.listen(JointState, robot.topics.joint_states)
        episode_id = in_motion(running, joints)
        running.processes.kill(killed)
        died = running.now_ns()
        result = driver.finish(episode_id, 11, 10.0)
        after = [(stamp, speed) for stamp, speed in speeds(joints) if stamp > died]
        positions = np.array([m.position for _, m in joints])
    assert result.outcome == "aborted"
    assert reason in result.reason

    assert len(after) > 50
    moving = [stamp for stamp, speed in after if speed > AT_REST]
    rest_s = (max(moving, default=died) - died) / 1e9
    print(f"{killed} killed: at rest {rest_s:.3f} s later")
    assert rest_s < within_s
    assert (positions >= robot.position_min).all() and (positions <= robot.position_max).all()

    assert result.bag is not None
    assert EpisodeReader(result.bag).closed
    measured = measure_episode(result.bag, load_contract(CONTRACT), robot, LIMITS)
    assert len(measured.limits.commanded.times_s) > 5
    # A machine that stalls may leave a seam, and only it.
    broken = [v for v in measured.limits.violations if v.quantity != "seam"]
    assert broken == []
    assert measured.limits.late or measured.limits.leap < 1e-9


def test_without_the_episodes_node_the_arm_is_disarmed_at_rest(tmp_path: Path) -> None:
    robot = load_robot("fr3")
    with start(tmp_path) as running:
        joints = running.listen(JointState, robot.topics.joint_states)
        in_motion(running, joints)
        running.processes.kill("episode")
        died = running.now_ns()

        def disarmed() -> bool:
            event = running.driver.event("safety/status")
            return event is not None and event.message == "disarmed"

        running.wait(disarmed, 5.0, "the filter to disarm")
        since = running.now_ns()
        running.wait(lambda: len(joints) and joints[-1][0] - since > 10**9, 10.0, "a second more")
        moving = [stamp for stamp, speed in speeds(joints) if speed > AT_REST and stamp > died]
    rest_s = (max(moving, default=died) - died) / 1e9
    print(f"episode killed: at rest {rest_s:.3f} s later")
    assert rest_s < SILENT_NS / 1e9 + LIMITS.stop_after_s + WITHIN_S
    assert max(moving, default=died) < since + WITHIN_S * 1e9
