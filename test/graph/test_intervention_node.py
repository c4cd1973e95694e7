"""The intervention node by itself: a device as a process of its own, a stand-in for the filter."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from geometry_msgs.msg import TwistStamped
from sensor_msgs.msg import JointState, Joy
from std_srvs.srv import Trigger

from vla_rl_nodes.bringup import NodeSpec
from vla_rl_nodes.contract.decode import stamp_ns
from vla_rl_nodes.nodes.event import Event, to_message
from vla_rl_nodes.nodes.qos import STREAM

from .person_stand import AXES, PERIOD_NS, ROBOT, Device, Stand, patient_mouse, stand
from .running import CONTRACT, alone

pytestmark = pytest.mark.graph


def still(messages: list[JointState]) -> bool:
    """Whether commands move nothing."""
    return all(not any(message.position[:4]) for message in messages)


class Teleop:
    """A program that sends a velocity, and a page at which nobody sits."""

    def __init__(self, desk: Stand) -> None:
        self._desk, self._message = desk, TwistStamped()
        self._joy = desk.node.create_publisher(Joy, "operator/joy", STREAM)
        self._say()
        desk.node.create_timer(0.05, self._say)
        desk.wait(lambda: "twist: ok" in desk.status("devices"), "the device")

    def push(self, x: float = 0.0, y: float = 0.0) -> None:
        """The velocity from now on, m/s."""
        self._message.twist.linear.x, self._message.twist.linear.y = x, y

    def _say(self) -> None:
        self._message.header.stamp = self._desk.node.get_clock().now().to_msg()
        self._desk.running.publish("teleop/twist", self._message)
        page = Joy(axes=[0.0] * 6, buttons=[0])
        page.header.stamp = self._message.header.stamp
        self._joy.publish(page)


def test_take_over_hand_back_and_every_failure(tmp_path: Path) -> None:
    with stand(tmp_path, patient_mouse(tmp_path)) as desk:
        device = Device()
        try:
            desk.wait(lambda: desk.status("devices") == "spacemouse: ok", "the device", 20.0)
            assert desk.active == [] and not desk.commands

            # Taken over by a push: the policy's ticks get the person's actions.
            desk.push(device)
            desk.wait(lambda: desk.edges(), "the edge")
            assert desk.active[0] is True
            commands = desk.after(5)
            desk.wait(lambda: len(desk.at_ticks()) >= 5, "commands at the policy's ticks")
            assert list(commands[-1].name) == list(AXES)
            assert commands[-1].position[0] > 0.004 and commands[-1].position[4] == 0.05
            used = desk.devices[-1][1]
            assert used.header.frame_id == "spacemouse"
            assert list(used.name)[:7] == ["x", "y", "z", "rx", "ry", "rz", "button_0"]
            assert 0.4 < used.position[0] < 0.6 and desk.status("latency_ms")
            device.does("close")
            desk.wait(lambda: desk.commands[-1][1].position[4] == 0.0, "the gripper")
            device.does("rest")
            desk.until("idle")
            desk.wait(lambda: desk.active[-1] is False, "hand-back")
            desk.wait(lambda: len(desk.edges()) == 2, "the end")
            ticks = desk.at_ticks()
            assert desk.edges() == [("start", ticks[0]), ("end", ticks[-1])]
            assert desk.status("edges") == "1"

            # Each failure in mid-intervention: held, told, and no leap when it is over.
            for number, (fail, reason) in enumerate(
                (("freeze", "frozen"), ("shake", "noisy"), ("nan", "not finite"))
            ):
                desk.push(device)
                desk.wait(lambda: desk.commands[-1][1].position[0] > 0.004, "motion")
                device.does(fail)
                desk.until("lost")
                assert reason in desk.status("reason")
                desk.after(1)
                assert still(desk.after(6)) and desk.active[-1] is True
                device.does("push")  # back, but pushed
                assert still(desk.after(12)) and desk.status() == "lost"
                device.does("rest")
                assert still(desk.after(12)) and desk.status() == "lost"
                if number == 0:
                    assert desk.ask("release")[0]
                else:
                    desk.push(device)
                    assert desk.commands[-1][1].position[0] < 0.006
                    device.does("rest")
                desk.until("idle")
                desk.wait(lambda n=number: len(desk.edges()) == 4 + 2 * n, "the end")

            # Unplugged: held until a person acts.
            desk.push(device)
            device.unplug()
            desk.until("lost")
            assert "silent" in desk.status("reason")
            desk.after(1)
            assert still(desk.after(20)) and desk.active[-1] is True
            assert desk.ask("release") == (True, "given back")
            desk.wait(lambda: desk.active[-1] is False, "hand-back")
            assert desk.wait(lambda: "silent" in desk.status("devices"), "its state")
        finally:
            device.unplug()
        edges = desk.wait(lambda: len(desk.edges()) == 10 and desk.edges(), "all edges")
        assert [kind for kind, _ in edges] == ["start", "end"] * 5
        assert desk.status("edges") == "5"


def test_a_person_can_drive_when_the_policy_is_dead(tmp_path: Path) -> None:
    with stand(tmp_path, "twist,page", default_device="page") as desk:
        hand = Teleop(desk)
        desk.wait(lambda: desk.status("devices") == "twist: ok, page: ok", "devices")
        desk.policy_ticks = False
        hand.push(y=0.2)
        desk.until("active")
        commands = desk.after(10)
        stamps = [stamp_ns(m) for m in commands]
        assert not set(stamps) & set(desk.policy_stamps)
        assert commands[-1].position[1] == pytest.approx(0.01)
        desk.policy_ticks = True  # it comes back: its ticks are taken again
        known = len(desk.policy_stamps)
        desk.wait(lambda: len(desk.policy_stamps) > known + 4, "the policy")
        assert stamp_ns(desk.after(3)[-1]) in desk.policy_stamps
        every = [stamp_ns(m) for _, m in desk.commands]
        assert all(b - a >= PERIOD_NS // 2 for a, b in pairwise(every))
        success, said = desk.ask("take_over")
        assert not success and "twist is in command" in said
        hand.push()
        desk.until("idle")

        # Taken over by the service: held, and the gripper stays.
        assert desk.ask("take_over")[0]
        desk.until("active")
        assert desk.status("device") == "page" and still(desk.after(10))
        hand.push(y=0.2)  # whoever moves it first
        desk.wait(lambda: desk.status("device") == "twist", "the other device")
        hand.push()
        assert len(desk.after(20)) >= 20 and desk.active[-1] is True
        assert desk.ask("release")[0]
        desk.wait(lambda: desk.active[-1] is False, "hand-back")


def test_where_the_filter_takes_no_commands_none_are_sent(tmp_path: Path) -> None:
    with stand(tmp_path, "twist") as desk:
        hand = Teleop(desk)
        desk.armed = False
        hand.push(x=0.2)
        desk.until("active")
        desk.wait(lambda: desk.active, "intervention/active")
        ticks = len(desk.policy_stamps)
        desk.wait(lambda: len(desk.policy_stamps) > ticks + 20, "ticks")
        assert not desk.commands and desk.status("in_command") == "1"
        desk.wait(lambda: "let go first" in desk.status("reason"), "its patience")
        desk.armed = True
        assert still(desk.after(10))  # what was pushed all the time does not drive it
        hand.push()
        desk.until("idle")
        hand.push(x=0.2)
        desk.wait(lambda: desk.commands[-1][1].position[0] == pytest.approx(0.01), "motion")


def test_a_loss_aborts_the_episode_where_the_file_says_so(tmp_path: Path) -> None:
    mouse = patient_mouse(tmp_path, on_loss={"then": "abort", "after_s": 0.3})
    with stand(tmp_path, mouse) as desk:
        asked: list[str] = []

        def abort(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            asked.append(desk.status())
            response.success = True
            return response

        desk.node.create_service(Trigger, "episode/abort", abort)
        device = Device()
        try:
            desk.wait(lambda: desk.status("devices") == "spacemouse: ok", "the device", 20.0)
            desk.push(device)
            desk.wait(lambda: desk.commands, "commands")
        finally:
            device.unplug()
        desk.wait(lambda: asked, "episode/abort")
        assert asked == ["lost"] and desk.active[-1] is True
        over = Event("episode", "aborted", {"episode_id": "one"}, stamp_ns=desk.running.now_ns())
        desk.running.publish("episode/state", to_message(over))
        desk.until("idle")
        desk.wait(lambda: desk.active[-1] is False, "hand-back")
        assert len(asked) == 1 and [kind for kind, _ in desk.edges()] == ["start", "end"]


def test_a_device_of_another_type_is_told(tmp_path: Path) -> None:
    with stand(tmp_path, "gamepad") as desk:
        wrong = desk.node.create_publisher(TwistStamped, "joy", STREAM)
        desk.wait(lambda: "has type geometry_msgs" in desk.status("devices"), "the type")
        line = desk.running.wait_for_line("intervention", "has type")
        assert "joy: has type geometry_msgs/msg/TwistStamped, not sensor_msgs/msg/Joy" in line
        assert wrong is not None


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"devices": "mouse"}, "mouse: is none of config/intervention"),
        ({"contract": "plane"}, "plane"),
    ],
)
def test_bad_parameters_are_one_line(
    tmp_path: Path, parameters: dict[str, str], said: str
) -> None:
    spec = NodeSpec("intervention", {"contract": CONTRACT, **parameters})
    with alone(tmp_path, spec, ROBOT) as running:
        line = running.wait_for_line("intervention", "[ERROR]", 20.0)
        assert said in line and "Traceback" not in running.log("intervention")
