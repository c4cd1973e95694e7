"""A SpaceMouse on the running graph: real policy, real filter, and a bag that shows it all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.bringup import Value, graph
from vla_rl_nodes.contract.decode import stamp_ns
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.demo.measure import measure_episode
from vla_rl_nodes.replay.interventions import edges
from vla_rl_nodes.replay.recording import (
    INTERVENTION_COMMAND,
    SAFETY_EXECUTED,
    SAFETY_STATUS,
    read_recording,
    replay_topics,
)
from vla_rl_nodes.replay.steps import actions_at, read_ticks
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.limits import load_limits

from .person_stand import Device, patient_mouse
from .running import CONTRACT, ROBOT, Graph, in_motion, some

pytestmark = pytest.mark.graph

TAKEOVERS = 3
ACTIONS = 6  # of the person in each, at least


@contextmanager
def whole(folder: Path) -> Iterator[Graph]:
    """The simulated graph with a SpaceMouse; patient, a machine that stalls ends no episode."""
    parameters: dict[str, dict[str, Value]] = {
        "recorder": {"folder": str(folder / "bags")},
        "safety_filter": {"command_timeout_s": 1.0, "stop_after_s": 3.0},
    }
    mouse = patient_mouse(folder)
    nodes = graph(CONTRACT, sim=True, intervention=mouse, parameters=parameters)
    with some(folder, nodes, ROBOT) as running:
        running.driver.wait_until_up()
        yield running


def last(statuses: list[Any]) -> str:
    """What the intervention said last."""
    return str(statuses[-1][1].status[0].message) if statuses else ""


def told(running: Graph, statuses: list[Any], kind: str, count: int) -> None:
    """Waits until so many beginnings or ends were told."""
    running.wait(
        lambda: sum(
            v.key == "edge" and v.value == kind
            for m in list(statuses) for v in m[1].status[0].values
        ) == count,
        10.0, f"{kind} {count}",
    )  # fmt: skip


def in_command(running: Graph) -> str:
    """Who is, as the filter said last."""
    event = running.driver.event("safety/status")
    return "" if event is None else event.values.get("source", "")


def test_every_intervention_is_in_the_bag_once(tmp_path: Path) -> None:
    contract, robot = load_contract(CONTRACT), load_robot(ROBOT)
    with whole(tmp_path) as running:
        device = Device(ROBOT)
        try:
            statuses = running.listen(DiagnosticArray, "intervention/status", sensor=False)
            joints = running.listen(JointState, robot.topics.joint_states)
            commands = running.listen(JointState, "intervention/command")
            running.wait(
                lambda: any("spacemouse: ok" in v.value
                            for m in statuses[-1:] for v in m[1].status[0].values),
                60.0, "the device",
            )  # fmt: skip
            episode_id = in_motion(running, joints)
            for number in range(TAKEOVERS):
                device.does("push")
                running.wait(lambda: in_command(running) == "intervention", 5.0, "the person")
                running.wait(lambda: last(statuses) == "active", 5.0, "active")
                told(running, statuses, "start", number + 1)
                acted = len(commands)
                running.wait(lambda n=acted: len(commands) >= n + ACTIONS, 10.0, "his actions")
                if number == TAKEOVERS - 1:
                    device.does("nan")
                    running.wait(lambda: last(statuses) == "lost", 5.0, "the loss")
                    break  # and the episode ends while it is held
                device.does("rest")
                running.wait(lambda: in_command(running) == "policy", 5.0, "the policy")
                told(running, statuses, "end", number + 1)
            running.driver.abort()
            result = running.driver.finish(episode_id, 11, 20.0)
        finally:
            device.unplug()
    assert result.bag is not None
    check(result.bag)
    measured = measure_episode(result.bag, contract, robot, load_limits(CONTRACT))
    broken = [v for v in measured.limits.violations if v.quantity != "seam"]
    assert broken == []


def check(bag: Path) -> None:
    """What the bag's ticks show is what the node said.

    The ticks are read without their observations: a machine that stalls records some too late.
    """
    contract = load_contract(CONTRACT)
    reader = EpisodeReader(bag, hold=replay_topics(contract))
    recording = read_recording(reader, contract)
    stamps = np.array([tick.stamp_ns for tick in read_ticks(recording)[0]])
    names = contract.action.names
    human = actions_at(recording, INTERVENTION_COMMAND, names, stamps.tolist())
    executed = actions_at(recording, SAFETY_EXECUTED, names, stamps.tolist())
    rows = np.isfinite(human).all(axis=1)
    start, end = edges(rows, executed)
    # What the recorder of a machine that stalls has missed, the filter's status may tell.
    accepted = {
        event.whole_number("command_stamp", SAFETY_STATUS, 64)
        for event in recording.events(SAFETY_STATUS)
    }
    said: dict[str, list[int]] = {"start": [], "end": []}
    for entry in reader.messages(f"/{ROBOT}/intervention/status"):
        values = {pair.key: pair.value for pair in entry.message.status[0].values}
        if values["edge"]:
            said[values["edge"]].append(stamp_ns(entry.message))
    assert stamps[start].tolist() == said["start"] and len(said["start"]) == TAKEOVERS
    # The episode's own end makes the last one, perhaps after the bag was closed.
    assert stamps[end].tolist()[: len(said["end"])] == said["end"]
    assert len(said["end"]) >= TAKEOVERS - 1
    assert rows.sum() >= TAKEOVERS * 5
    assert set(stamps[rows].tolist()) <= set(stamps[np.isfinite(executed).all(axis=1)]) | accepted
    assert np.abs(human[start][:, :3]).max() < 0.008  # each grows from nothing
