"""A person takes the arm over from the policy at speed and gives it back: no limit is broken."""

from __future__ import annotations

from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.demo.measure import measure_episode
from vla_rl_nodes.nodes.vector import vector_message
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.limits import load_limits

from .running import CONTRACT, Graph, in_motion, start

pytestmark = pytest.mark.graph

AXES = load_contract(CONTRACT).action.names
TAKEOVERS = 3


def in_command(running: Graph) -> str:
    """Who is, as the filter said last."""
    event = running.driver.event("safety/status")
    return "" if event is None else event.values.get("source", "")


def test_hand_overs_keep_every_limit(tmp_path: Path) -> None:
    robot = load_robot("fr3")
    # A machine that stalls must not end the episode before the hand-overs are through.
    patient = {"safety_filter": {"command_timeout_s": 1.0, "stop_after_s": 3.0}}
    with start(tmp_path, parameters=patient) as running:
        driver, node = running.driver, running.driver.node
        joints = running.listen(JointState, robot.topics.joint_states)
        statuses = running.listen(DiagnosticArray, "safety/status", sensor=False)
        sideways = [0.0]

        def push() -> None:
            values = [0.0, sideways[0], 0.015, 0.0, 0.08]
            running.publish("intervention/command", vector_message(running.now_ns(), AXES, values))

        running.publish("intervention/active", Bool(data=False))
        push()  # finds its listener
        episode_id = in_motion(running, joints)
        timer = node.create_timer(0.05, push)
        for number in range(TAKEOVERS):
            sideways[0] = 0.02 * (-1) ** number
            running.publish("intervention/active", Bool(data=True))
            running.wait(lambda: in_command(running) == "intervention", 5.0, "the person")
            heard = len(statuses)
            running.wait(lambda heard=heard: len(statuses) > heard + 10, 5.0, "the person's way")
            running.publish("intervention/active", Bool(data=False))
            running.wait(lambda: in_command(running) == "policy", 5.0, "the policy")
            heard = len(statuses)
            running.wait(lambda heard=heard: len(statuses) > heard + 10, 5.0, "the policy's way")
        timer.cancel()
        disarm = node.create_client(Trigger, "safety/disarm")
        running.wait(disarm.service_is_ready, 10.0, "safety/disarm")
        answered = disarm.call_async(Trigger.Request())
        running.wait(answered.done, 5.0, "safety/disarm")
        assert answered.result().success
        result = driver.finish(episode_id, 11, 20.0)
    assert result.outcome == "aborted" and "safety filter disarmed" in result.reason
    assert result.bag is not None
    limits = load_limits(CONTRACT)
    measured = measure_episode(result.bag, load_contract(CONTRACT), robot, limits)
    assert measured.filter.executed > 10
    assert measured.limits.peak_use("acceleration").max() > 0.1
    # A machine that stalls may leave a seam, and only it.
    broken = [v for v in measured.limits.violations if v.quantity != "seam"]
    assert broken == []
    assert measured.limits.late or measured.limits.leap < 1e-9
