"""The reset node with the real filter and the simulated robot, each a process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from vla_rl_nodes.bringup import NodeSpec
from vla_rl_nodes.contract.decode import named_vector
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.episodes.reset.draw import draw
from vla_rl_nodes.episodes.reset.script import load_script
from vla_rl_nodes.nodes.event import Event, to_message
from vla_rl_nodes.nodes.reset_recordings import RecordedDemonstrations, RecordedStarts
from vla_rl_nodes.nodes.vector import vector_message
from vla_rl_nodes.resources import resource
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot

from .running import CONTRACT, ROBOT, Graph, some

pytestmark = pytest.mark.graph

SEED = 11
BAG = resource("bags/franka_pick_sample")
NODES = ("sim_robot", "safety_filter", "reset")
# A machine that stalls must not fail what is looked at here.
PATIENT = {"command_timeout_s": 1.0, "stop_after_s": 3.0, "joint_state_timeout_s": 0.5}


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Graph]:
    own: dict[str, dict[str, Any]] = {
        "safety_filter": PATIENT,
        "reset": {
            "states": str(folder / "states.json"),
            "recorded": str(BAG),
            "demonstrations": str(BAG.parent),
        },
    }
    specs = [NodeSpec(name, {"contract": CONTRACT, **own.get(name, {})}) for name in NODES]
    with some(folder, specs, ROBOT) as graph:
        graph.listen(JointState, "sim/state", sensor=False)
        graph.statuses = graph.listen(DiagnosticArray, "reset/status", sensor=False)  # type: ignore[attr-defined]
        tell_episode(graph, "idle")
        yield graph


def tell_episode(running: Graph, state: str, mode: str = "") -> None:
    told = {"episode_id": "1-test", "seed": str(SEED), "reset_mode": mode}
    stamp = running.now_ns()
    running.publish("episode/state", to_message(Event("episode", state, told, stamp_ns=stamp)))


def call(running: Graph, name: str, timeout_s: float = 40.0) -> tuple[bool, str]:
    return answer(running, asked(running, name), timeout_s)


def asked(running: Graph, name: str) -> Any:
    client = running.driver.node.create_client(Trigger, name)
    running.wait(client.service_is_ready, 30.0, name)
    return client.call_async(Trigger.Request())


def answer(running: Graph, future: Any, timeout_s: float = 40.0) -> tuple[bool, str]:
    running.wait(future.done, timeout_s, "the answer")
    return future.result().success, future.result().message


def messages(running: Graph) -> list[str]:
    heard = running.statuses  # type: ignore[attr-defined]
    return [message.status[0].message for _, message in list(heard)]


def values(running: Graph, key: str) -> list[str]:
    heard = running.statuses  # type: ignore[attr-defined]
    events = [message.status[0] for _, message in list(heard)]
    return [{kv.key: kv.value for kv in event.values}[key] for event in events]


def joints_of(running: Graph) -> Any:
    heard = running.listen(JointState, load_robot(ROBOT).topics.joint_states)
    running.wait(lambda: len(heard) > 2, 30.0, "joint states")
    return named_vector(heard[-1][1], load_robot(ROBOT).joints)


def goal() -> Any:
    robot = load_robot(ROBOT)
    return draw(robot, Kinematics(robot), load_script(CONTRACT), SEED).joints


def test_the_arm_goes_to_the_seeds_start_through_the_filter(running: Graph) -> None:
    tell_episode(running, "resetting")
    executed = running.listen(JointState, "reset/executed", sensor=False)
    active = running.listen(Bool, "reset/active", sensor=False)
    done, said = call(running, "reset/request")
    assert done, said
    assert said.startswith("mode=start attempts=")
    assert np.abs(joints_of(running) - goal()).max() < 0.02
    running.wait(lambda: active and not active[-1][1].data, 30.0, "the end of command")
    assert len(executed) > 3
    assert {"moving", "verifying"} <= set(messages(running))
    running.wait(lambda: messages(running)[-1] == "done", 30.0, "the status")


def test_a_second_request_is_refused_and_a_cancel_ends_the_first(running: Graph) -> None:
    tell_episode(running, "resetting", "person")
    first = asked(running, "reset/request")
    running.wait(lambda: messages(running)[-1] == "asking", 30.0, "the question")
    done, said = call(running, "reset/request")
    assert not done and "under way" in said
    assert call(running, "reset/cancel")[0]
    done, said = answer(running, first)
    assert not done and said == "cancelled"
    done, said = call(running, "reset/confirm")
    assert not done and "nobody was asked" in said


@pytest.mark.parametrize("after", ["aborted", "idle"])
def test_what_an_episode_asked_for_ends_with_the_episode(running: Graph, after: str) -> None:
    """Also where its node sends no cancel, or is started anew."""
    tell_episode(running, "resetting", "person")
    asks = messages(running).count("asking")
    first = asked(running, "reset/request")
    running.wait(lambda: messages(running).count("asking") > asks, 30.0, "the question")
    tell_episode(running, after)
    assert answer(running, first) == (False, "cancelled")


def test_a_person_is_asked_and_confirms(running: Graph) -> None:
    tell_episode(running, "resetting", "person")
    first = asked(running, "reset/request")
    running.wait(lambda: messages(running)[-1] == "asking", 30.0, "the question")
    assert call(running, "reset/confirm") == (True, "checked again")
    done, said = answer(running, first)
    assert done and said.startswith("mode=person ")


def test_the_simulator_puts_the_world_to_the_seed(running: Graph) -> None:
    tell_episode(running, "resetting", "simulation")
    done, said = call(running, "reset/request")
    assert done and said.startswith("mode=simulation attempts=1 "), said
    assert np.abs(joints_of(running) - goal()).max() < 0.02


def test_it_returns_to_a_stored_state(running: Graph) -> None:
    tell_episode(running, "resetting", "start")
    assert call(running, "reset/request")[0]
    stored = call(running, "reset/store")
    assert stored == (True, "stored state_1")
    where = joints_of(running)
    tell_episode(running, "idle", "")
    assert call(running, "reset/return_and_explore")[0]
    done, said = call(running, "reset/request")
    assert done and said.startswith("mode=return_and_explore "), said
    assert np.abs(joints_of(running) - where).max() < 0.03
    assert call(running, "reset/normal") == (True, "the next resets: start")


def test_a_recorded_start_is_restored(running: Graph) -> None:
    start = RecordedStarts(str(BAG), load_contract(CONTRACT)).start()
    states = running.listen(JointState, "sim/state", sensor=False)
    tell_episode(running, "resetting", "recorded_start")
    done, said = call(running, "reset/request")
    assert done and said.startswith("mode=recorded_start attempts=1 "), said
    running.wait(lambda: start.sha256 in values(running, "start_sha256"), 30.0, "its hash")

    def restored() -> bool:
        """What was heard last may still be of before."""
        if not states:
            return False
        shown = dict(zip(states[-1][1].name, states[-1][1].position, strict=True))
        return max(abs(shown[name] - value) for name, value in start.state.items()) < 5e-3

    running.wait(restored, 30.0, "the simulator at the recorded start")


def test_it_goes_along_a_demonstration(running: Graph) -> None:
    tell_episode(running, "resetting", "demo_replay")
    done, said = call(running, "reset/request", 90.0)
    assert done and said.startswith("mode=demo_replay "), said
    robot = load_robot(ROBOT)
    demo = RecordedDemonstrations(str(BAG.parent), robot, 0.05).choose(SEED)
    assert np.abs(demo.joints - joints_of(running)).max(axis=1).min() < 0.03


def test_it_retreats_in_mid_episode_and_gives_back(running: Graph) -> None:
    robot, axes = load_robot(ROBOT), load_contract(CONTRACT).action.names
    kinematics = Kinematics(robot)
    tell_episode(running, "ready")
    states = running.listen(DiagnosticArray, "safety/status", sensor=False)

    def filter_is(*wanted: str) -> bool:
        return bool(states) and states[-1][1].status[0].message in wanted

    running.wait(lambda: filter_is("armed", "holding"), 30.0, "the filter")
    tell_episode(running, "running")

    def descend() -> None:
        message = vector_message(running.now_ns(), axes, [0.0, 0.0, -0.01, 0.0, 0.05])
        running.publish("policy/command", message)

    timer = running.driver.node.create_timer(0.05, descend)
    low = float(kinematics.fk(joints_of(running)).position[2])
    running.wait(
        lambda: float(kinematics.fk(joints_of(running)).position[2]) < low - 0.05, 30.0, "descent"
    )
    done, said = call(running, "reset/retreat")
    timer.cancel()
    assert done, said
    assert not any(
        "stopping" in m.status[0].message or "faulted" in m.status[0].message for _, m in states
    )
    tell_episode(running, "idle")


def test_a_node_that_is_told_to_end_gives_back_command(running: Graph) -> None:
    tell_episode(running, "resetting", "human_guided")
    active = running.listen(Bool, "reset/active", sensor=False)
    asked(running, "reset/request")
    running.wait(lambda: active and active[-1][1].data, 30.0, "command")
    os.kill(running.processes.pid("reset"), signal.SIGINT)
    deadline = time.monotonic() + 10.0  # not running.wait, which misses the node
    while active[-1][1].data and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not active[-1][1].data
