"""The filter's switches over topics, services and parameters, with the simulated arm behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from vla_rl_nodes.bringup import NodeSpec
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.nodes.vector import vector_message
from vla_rl_nodes.resources import resource
from vla_rl_nodes.robots.load import load_robot

from .running import CONTRACT, ROBOT, Graph, alone, some, speeds

pytestmark = pytest.mark.graph

FR3 = load_robot(ROBOT)
AXES = load_contract(CONTRACT).action.names
MOVING, AT_REST = 0.1, 0.02  # rad/s


class Desk:
    """A person's desk: the enabling switch, a joystick that intervenes, and the filter's services.

    What is held is told 20 times a second, as a real desk does.
    """

    def __init__(self, running: Graph) -> None:
        self.running = running
        self.held: bool | None = None  # the enabling switch; None: nothing is told
        self.speed: float | None = None  # of the tool upwards, m per control tick
        node = running.driver.node
        self._clients = {
            name: node.create_client(Trigger, f"safety/{name}")
            for name in ("arm", "disarm", "reset_e_stop")
        }
        self.parameters = AsyncParameterClient(node, "safety_filter")
        self.joints = running.listen(JointState, FR3.topics.joint_states)
        self.statuses = running.listen(DiagnosticArray, "safety/status", sensor=False)
        clients = self._clients.values()
        running.wait(lambda: all(c.service_is_ready() for c in clients), 30.0, "services")
        running.wait(self.parameters.services_are_ready, 30.0, "parameters")
        running.wait(lambda: self.statuses and self.joints, 30.0, "status and joint states")
        for topic in ("safety/deadman", "intervention/active", "safety/e_stop"):
            self.tell(topic, False)  # finds its listener before it matters
        node.create_timer(0.05, self._beat)

    def _beat(self) -> None:
        if self.held is not None:
            self.tell("safety/deadman", self.held)
        if self.speed is not None:
            values = [0.0, 0.0, self.speed, 0.0, 0.08]
            message = vector_message(self.running.now_ns(), AXES, values)
            self.running.publish("intervention/command", message)

    def tell(self, topic: str, value: bool) -> None:
        self.running.publish(topic, Bool(data=value))

    def ask(self, name: str) -> tuple[bool, str]:
        future = self._clients[name].call_async(Trigger.Request())
        self.running.wait(future.done, 5.0, f"safety/{name}")
        answer = future.result()
        assert "\n" not in answer.message
        return answer.success, answer.message

    def set(self, name: str, value: float) -> tuple[bool, str]:
        future = self.parameters.set_parameters([Parameter(name, value=value)])
        self.running.wait(future.done, 5.0, name)
        answer = future.result().results[0]
        assert "\n" not in answer.reason
        return answer.successful, answer.reason

    def status(self) -> tuple[str, dict[str, str]]:
        """The filter's state and the values of its last status."""
        status = self.statuses[-1][1].status[0]
        return status.message, {value.key: value.value for value in status.values}

    def wait_for(self, *states: str) -> dict[str, str]:
        self.running.wait(lambda: self.status()[0] in states, 5.0, f"{states}")
        return self.status()[1]

    def speed_now(self) -> float:
        return speeds(self.joints)[-1][1] if self.joints else 0.0

    def wait_for_motion(self) -> None:
        self.running.wait(lambda: self.speed_now() > MOVING, 5.0, "motion")

    def wait_for_rest(self) -> None:
        def rests() -> bool:
            last = [speed for _, speed in speeds(self.joints)[-25:]]  # a tenth of a second
            return len(last) == 25 and max(last) < AT_REST

        self.running.wait(rests, 5.0, "rest")


@pytest.fixture(scope="module")
def desk(folder: Path) -> Iterator[Desk]:
    """The simulated arm and the filter, armed by its service, with an enabling switch."""
    limits = yaml.safe_load(resource(f"config/safety/{CONTRACT}.yaml").read_text())
    limits |= {"deadman_timeout_s": 0.3, "first_command_timeout_s": 10.0, "stop_after_s": 5.0}
    limits |= {"velocity_scale": 0.6, "tool_speed_max": 0.6}
    limits["wrench"]["force_max"] = 60.0
    path = folder / "limits.yaml"
    path.write_text(yaml.safe_dump(limits))
    specs = [
        NodeSpec("sim_robot", {"contract": CONTRACT}),
        NodeSpec(
            "safety_filter", {"contract": CONTRACT, "safety": str(path), "arming": "service"}
        ),
    ]
    with some(folder, specs, ROBOT) as running:
        yield Desk(running)


@pytest.fixture
def armed(desk: Desk) -> Iterator[Desk]:
    """Armed, enabled and in a person's hands; disarmed afterwards."""
    desk.held = True
    ok, why = desk.ask("arm")
    assert ok, why
    desk.wait_for("armed", "holding")
    desk.tell("intervention/active", True)
    yield desk
    desk.speed = None
    desk.ask("disarm")
    desk.wait_for("disarmed", "faulted", "stopped")
    desk.wait_for_rest()
    desk.ask("disarm")
    desk.wait_for("disarmed")


def test_nothing_moves_until_it_is_armed_by_service(desk: Desk) -> None:
    assert desk.status()[0] == "disarmed"
    desk.held, desk.speed = True, 0.004
    desk.tell("intervention/active", True)
    desk.running.wait_for_line("safety_filter", "intervention/command: the filter is disarmed")
    assert desk.speed_now() < AT_REST
    desk.speed = None
    assert desk.ask("arm")[0]
    desk.wait_for("armed", "holding")
    again, why = desk.ask("arm")
    assert not again and "disarm it first" in why
    desk.speed = 0.004
    desk.wait_for_motion()
    desk.running.wait(lambda: desk.status()[1]["source"] == "intervention", 5.0, "the source")
    assert desk.ask("disarm")[0]
    desk.wait_for("disarmed")
    desk.speed = None
    desk.wait_for_rest()


def test_letting_go_of_the_enabling_switch_holds_and_holding_it_goes_on(armed: Desk) -> None:
    armed.speed = -0.004
    armed.wait_for_motion()
    armed.held = False
    armed.wait_for("holding")
    armed.running.wait(lambda: "deadman" in armed.status()[1]["reasons"], 5.0, "the reason")
    assert armed.status()[1]["status"] == "22"
    armed.wait_for_rest()
    armed.held = True
    armed.wait_for_motion()
    armed.wait_for("armed")
    armed.held = None  # silence is no holding either
    armed.wait_for("holding")
    armed.wait_for_rest()


def test_the_emergency_stop_latches_until_it_is_released_and_reset(armed: Desk) -> None:
    armed.speed = 0.004
    armed.wait_for_motion()
    armed.tell("safety/e_stop", True)
    values = armed.wait_for("faulted")
    assert "e_stop" in values["reasons"] and values["status"] == "21"
    assert "latched" in values["status_text"]
    armed.wait_for_rest()
    ok, why = armed.ask("arm")
    assert not ok and "latched" in why
    ok, why = armed.ask("reset_e_stop")
    assert not ok and "still pressed" in why
    armed.tell("safety/e_stop", False)
    ok, why = armed.ask("arm")
    assert not ok and "latched" in why  # releasing it is not enough
    assert armed.ask("reset_e_stop")[0]
    assert armed.speed_now() < AT_REST and armed.status()[0] == "faulted"
    assert armed.ask("arm")[0]
    armed.wait_for_motion()


def test_limits_become_only_stricter_while_armed(armed: Desk) -> None:
    ok, why = armed.set("velocity_scale", 0.5)
    assert ok, why
    for name, value in (("velocity_scale", 0.55), ("force_max", 61.0), ("stop_after_s", 6.0)):
        ok, why = armed.set(name, value)
        assert not ok and "stricter" in why
    ok, why = armed.set("velocity_scale", 1.5)
    assert not ok and "range" in why
    assert armed.set("residual_share", 0.5)[0]
    assert not armed.set("residual_share", 0.75)[0]
    assert armed.set("tool_speed_max", 0.05)[0]
    executed = armed.running.listen(JointState, "safety/executed", sensor=False)
    armed.speed = -0.02  # 0.4 m/s
    armed.running.wait(lambda: len(executed) > 5, 5.0, "executed actions")
    # 0.05 m/s over a control period of 50 ms, less what targets leave to the smoothing.
    for _, message in list(executed)[1:5]:
        assert 0.9 * 0.0025 < -message.position[2] <= 0.0025
    armed.running.wait(lambda: "tool_speed" in armed.status()[1]["reasons"], 5.0, "the reason")
    armed.speed = None
    assert armed.ask("disarm")[0]
    armed.wait_for("disarmed")
    for name, value in (("tool_speed_max", 0.6), ("velocity_scale", 0.6), ("residual_share", 1.0)):
        ok, why = armed.set(name, value)
        assert ok, why


def test_parameters_have_descriptions_and_ranges(desk: Desk) -> None:
    future = desk.parameters.describe_parameters(["velocity_scale", "controller", "arming"])
    desk.running.wait(future.done, 5.0, "descriptors")
    found: list[ParameterDescriptor] = list(future.result().descriptors)
    assert found[0].floating_point_range[0].to_value == 1.0
    assert "unbounded acceleration and jerk" in found[1].description and found[1].read_only
    assert "safety/arm" in found[2].description and found[2].read_only


def test_diagnostics_and_markers_tell_what_is_close(desk: Desk) -> None:
    listened: dict[str, list[Any]] = {
        "/diagnostics": desk.running.listen(DiagnosticArray, "/diagnostics", sensor=False),
        "markers": desk.running.listen(MarkerArray, "safety/markers", sensor=False),
    }
    desk.running.wait(lambda: all(listened.values()), 10.0, "diagnostics and markers")
    status = listened["/diagnostics"][-1][1].status[0]
    assert status.name == f"{ROBOT}/safety_filter" and status.hardware_id == ROBOT
    values = {value.key: value.value for value in status.values}
    assert values["state"] == "disarmed"
    assert float(values["its distance [m]"]) > 0.0 and " - " in values["closest pair"]
    assert int(values["ticks"]) > 100 and int(values["skipped ticks"]) >= 0
    spaces = {marker.ns for marker in listened["markers"][-1][1].markers}
    assert {"workspace", "planes", "distances", "distances text"} <= spaces


def test_a_velocity_stream_without_a_timeout_is_refused(folder: Path) -> None:
    spec = NodeSpec("safety_filter", {"contract": CONTRACT, "controller": "forward_velocity"})
    with alone(folder / "refused", spec, "other") as running:
        line = running.wait_for_line("safety_filter", "[ERROR]", 30.0)
    assert "forward_velocity: is no controller of fr3" in line
    assert "give joint_trajectory or forward_position" in line
