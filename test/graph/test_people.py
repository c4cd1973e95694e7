"""The scripted person in the graph: by himself, and helping a policy that sees nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist
from sensor_msgs.msg import JointState, Joy

from vla_rl_nodes.bench.people.contract_file import with_time_limit
from vla_rl_nodes.bench.people.deeds import helps, read_log
from vla_rl_nodes.bench.people.help_judge import judge
from vla_rl_nodes.bench.people.help_record import read_evidence
from vla_rl_nodes.bench.people.help_run import HelpPlan, nodes, spoilt_by
from vla_rl_nodes.bringup import NodeSpec
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.intervention.settings import load_device
from vla_rl_nodes.nodes.event import Event, to_message
from vla_rl_nodes.nodes.vector import vector_message
from vla_rl_nodes.resources import resource
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.sim.scene import load_scene
from vla_rl_nodes.sim.world import World

from .running import CONTRACT, ROBOT, Graph, alone, some

pytestmark = pytest.mark.graph

NAMESPACE = "person_test"
DEVICE = load_device("spacemouse")


def episode(running: Graph, state: str) -> DiagnosticArray:
    values = {"episode_id": "e1", "seed": "3", "paused": "0"}
    return to_message(Event("episode", state, values, stamp_ns=running.now_ns()))


def test_he_pushes_only_while_an_episode_runs_and_says_so(tmp_path: Path) -> None:
    log = tmp_path / "person.jsonl"
    spec = NodeSpec("sim_person", {"contract": CONTRACT, "seed": 1, "log": str(log)})
    names, values = World(load_robot(ROBOT), load_scene(CONTRACT), 3).named_state()
    with alone(tmp_path, spec, NAMESPACE) as running:
        twists = running.listen(Twist, DEVICE.topic)
        joys = running.listen(Joy, DEVICE.buttons_topic or "")

        def look(condition: Any, what: str) -> None:
            """Goes on showing him the same world until something is so."""

            def shown() -> Any:
                message = vector_message(running.now_ns(), names, values)
                running.publish("sim/state", message)
                return condition()

            running.wait(shown, 20.0, what)

        def pushes() -> list[Any]:
            return [twist for _, twist in list(twists) if twist.linear.x != 0.0]

        look(lambda: len(twists) > 60, "a driver that speaks at rest")
        assert not pushes()
        assert not log.read_text()
        running.publish("episode/state", episode(running, "running"))
        look(pushes, "a push in an episode that makes no headway")
        look(lambda: any(joy.axes[0] != 0.0 for _, joy in list(joys)), "the same axes as a Joy")
        running.publish("episode/state", episode(running, "timeout"))
        look(lambda: "let_go" in log.read_text(), "that he lets go")
        twists.clear()
        look(
            lambda: len(twists) > 60 and not any(t.linear.x for _, t in twists[-20:]),
            "a cap at rest",
        )
    lines = read_log(log)["e1"]
    assert [line.what for line in lines][:2] == ["take_over", "felt"]
    (help_,) = helps(lines)
    assert help_.decided_ns < help_.hand_ns <= (help_.felt_ns or 0) <= (help_.let_go_ns or 0)
    largest = max(abs(value) for _, joy in joys for value in joy.axes)
    assert 0.0 < largest <= DEVICE.axes["x"].full_scale


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"device": "gamepad"}, "is no SpaceMouse"),
        ({"trouble": "wet"}, "trouble 'wet': is unknown"),
        ({"log": "/nowhere/at/all"}, "/nowhere/at/all: cannot be written"),
    ],
)
def test_bad_parameters_are_one_line(
    tmp_path: Path, parameters: dict[str, Any], problem: str
) -> None:
    spec = NodeSpec("sim_person", {"contract": CONTRACT, **parameters})
    with pytest.raises(Exception, match="sim_person") as caught:  # noqa: SIM117
        with alone(tmp_path, spec, NAMESPACE) as running:
            running.wait(lambda: False, 20.0, "an end")
    assert problem in str(caught.value) + (tmp_path / "logs" / "sim_person.log").read_text()


def test_he_helps_a_policy_that_sees_nothing(tmp_path: Path) -> None:
    """With the lens caps on the policy picks nothing, and he does, from whose bag every step says
    what was proposed, asked for and executed."""
    plan = HelpPlan(
        contract=with_time_limit(CONTRACT, 14.0, tmp_path / "contract"),
        bundle=resource(f"config/policies/{CONTRACT}"), keys=resource("config/keys"),
        seed=1, seeds=(11,), out=tmp_path, repeats=0,
    )  # fmt: skip
    with some(tmp_path, nodes(plan), ROBOT) as running:
        running.driver.wait_until_up()
        running.driver.set_parameter("sim_cameras", "blackout", True)
        for seed in (11, 12, 13):  # a machine that stalls spoils an episode, as it should
            result = running.driver.run_episode(seed, 60.0)
            if not spoilt_by(result, load_contract(plan.contract)):
                break
    assert result.outcome == "success", result.reason
    assert result.bag is not None
    evidence = read_evidence(result.bag, load_contract(plan.contract))
    done = helps(read_log(plan.log)[evidence.episode_id])
    verdict = judge(evidence, done)
    assert verdict.expected == verdict.recorded >= 1
    assert verdict.complete == verdict.intervened > 20
    assert verdict.jerks == 0 and verdict.faults == (), verdict.faults
    assert np.isfinite(evidence.executed[evidence.intervened]).all()


def test_the_joints_of_the_simulator_are_what_he_sees(tmp_path: Path) -> None:
    """A state that lacks what he needs is said once, and he waits."""
    spec = NodeSpec("sim_person", {"contract": CONTRACT})
    with alone(tmp_path, spec, NAMESPACE) as running:
        twists = running.listen(Twist, DEVICE.topic)
        message: JointState = vector_message(running.now_ns(), ["cube_x"], [0.5])
        running.publish("sim/state", message)
        running.wait_for_line("sim_person", "sim/state")
        running.wait(lambda: len(twists) > 30, 10.0, "a driver that goes on")
        assert not any(twist.linear.x or twist.linear.z for _, twist in list(twists))
