"""Pauses, retreats and discards in the whole simulated graph, and what of them is in the bag."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from vla_rl_nodes.bags.manifest import load_manifest
from vla_rl_nodes.bringup import NodeSpec
from vla_rl_nodes.contract.decode import stamp_ns
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.event import Event, to_message
from vla_rl_nodes.replay.convert import build_episode
from vla_rl_nodes.replay.episode import EpisodeData
from vla_rl_nodes.robots.load import load_robot

from .running import CONTRACT, ROBOT, Graph, alone, in_motion, speeds, start

pytestmark = pytest.mark.graph

STILL = 0.01  # rad/s


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Graph]:
    # A machine that stalls must not end the episodes, whose own limit is 6 s.
    patient = {
        "safety_filter": {"command_timeout_s": 1.0, "stop_after_s": 3.0},
        "episode": {"silence_s": 3.0},
    }
    with start(folder, parameters=patient) as whole:
        yield whole


def call(running: Graph, name: str) -> str:
    client = running.driver.node.create_client(Trigger, name)
    running.wait(client.service_is_ready, 10.0, name)
    future = client.call_async(Trigger.Request())
    running.wait(future.done, 10.0, name)
    assert future.result().success, future.result().message
    return str(future.result().message)


def told(running: Graph, **values: str) -> dict[str, str]:
    """What the episode says, once it says this."""

    def said() -> dict[str, str] | None:
        event = running.driver.event("episode/state")
        assert event is not None
        fits = all(event.values.get(key) == value for key, value in values.items())
        return dict(event.values) if fits else None

    found: dict[str, str] = running.wait(said, 30.0, f"episode/state {values}")
    return found


def rests_since(joints: list[Any]) -> float:
    """For how many seconds, by the joint states' own stamps, nothing has moved."""
    heard = speeds(joints)
    moved = max((stamp for stamp, speed in heard if speed >= STILL), default=heard[0][0])
    return (heard[-1][0] - moved) / 1e9


def paused_episode(running: Graph) -> EpisodeData:
    """An episode that was paused in motion, and judged by its operator some steps later."""
    running.driver.abort()  # whatever an earlier test has left
    joints = running.listen(JointState, load_robot(ROBOT).topics.joint_states)
    ticks = running.listen(DiagnosticArray, "policy/status", sensor=False)
    episode_id = in_motion(running, joints)
    call(running, "episode/pause")
    told(running, paused="1")
    # What a busy machine has still under way is over when nothing has moved for half a second.
    running.wait(lambda: rests_since(joints) > 0.5, 20.0, "rest")
    resting, ticked = speeds(joints)[-1][0], len(ticks)
    running.wait(lambda: rests_since(joints) > 1.0, 20.0, "a while")
    assert not any(stamp_ns(message) > resting for _, message in ticks[ticked:]), "no steps"
    call(running, "episode/resume")
    told(running, paused="0", episode_id=episode_id)
    running.wait(lambda: len(ticks) > ticked + 10, 20.0, "ticks")
    call(running, "episode/success")
    result = running.driver.finish(episode_id, 11, 20.0)
    assert result.outcome == "success" and result.bag is not None
    return build_episode(result.bag, load_contract(CONTRACT))


def test_a_paused_robot_rests_and_goes_on_and_no_step_leads_across(running: Graph) -> None:
    for _ in range(3):
        data = paused_episode(running)
        # On a machine that stalls the recorder misses what the policy saw; another one, then.
        if data.header.counts["dropped_sample_not_recorded"] == 0:
            break
    assert data.header.counts["breaks"] == 1
    row = int(np.flatnonzero(data.transitions.truncated)[-1])
    assert np.flatnonzero(data.transitions.truncated).tolist() == [row - 1, row]
    assert np.isnan(data.transitions.action_executed[row]).all()
    assert np.isfinite(data.transitions.action_executed[row + 1 :]).any()
    assert data.transitions.stamp_ns[row + 1] - data.transitions.stamp_ns[row] > 300_000_000


def test_a_retreat_is_in_the_bag_with_its_cause(running: Graph) -> None:
    running.driver.abort()
    joints = running.listen(JointState, load_robot(ROBOT).topics.joint_states)
    episode_id = in_motion(running, joints)
    values = {"episode_id": episode_id, "attempt": "1", "cause": "21 steps behind"}
    event = Event("retry_monitor", "retry", values, stamp_ns=running.now_ns())
    running.publish("retry/request", to_message(event))
    told(running, retreating="1", retry_cause="21 steps behind")
    told(running, retreating="0", attempt="2")
    call(running, "episode/failure")
    result = running.driver.finish(episode_id, 11, 20.0)
    assert result.bag is not None
    manifest = load_manifest(result.bag)
    assert manifest is not None and manifest.metadata["attempt"] == "2"
    data = build_episode(result.bag, load_contract(CONTRACT))
    assert data.header.metadata["retry_cause"] == "21 steps behind"
    assert data.header.metadata["reset_mode"] == "simulation"
    assert data.header.counts["dropped_held"] > 0


def test_a_discarded_episode_stays_on_the_disk_and_is_not_converted(running: Graph) -> None:
    running.driver.abort()
    episode_id = in_motion(running, running.listen(JointState, "franka/joint_states"))
    call(running, "episode/discard")
    result = running.driver.finish(episode_id, 11, 20.0)
    assert result.bag is not None and result.reason == "discarded by the operator"
    manifest = load_manifest(result.bag)
    assert manifest is not None and manifest.metadata["discarded"] == "1"
    with pytest.raises(InputError, match="was discarded by its operator"):
        build_episode(result.bag, load_contract(CONTRACT))


def test_a_policy_is_silent_while_it_is_paused(tmp_path: Path) -> None:
    with alone(tmp_path, NodeSpec("sim_expert", {}), "held") as graph:
        ticks = graph.listen(DiagnosticArray, "policy/status", sensor=False)

        def say(paused: str) -> None:
            values = {"episode_id": "e", "paused": paused}
            graph.publish("episode/state", to_message(Event("episode", "running", values)))

        for round_ in range(2):
            say("0")
            heard = len(ticks)
            graph.wait(lambda heard=heard: len(ticks) > heard + 5, 20.0, f"ticks {round_}")
            say("1")
            # One may be on its way; then there is silence for ten periods.
            last = [0, graph.now_ns()]

            def silent(last: list[int] = last) -> bool:
                if len(ticks) != last[0]:
                    last[:] = len(ticks), graph.now_ns()
                return graph.now_ns() - last[1] > 500_000_000

            graph.wait(silent, 20.0, "silence")
