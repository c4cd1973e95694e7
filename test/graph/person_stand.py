"""A desk for a person in tests: a device's process, and a stand-in for the filter and policy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from vla_rl_nodes.bringup import NodeSpec
from vla_rl_nodes.contract.decode import stamp_ns
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.intervention.settings import load_device
from vla_rl_nodes.nodes.event import Event, to_message
from vla_rl_nodes.nodes.qos import STREAM
from vla_rl_nodes.nodes.vector import vector_message

from .running import CONTRACT, Graph, alone

ROBOT = "handled"
AXES = load_contract(CONTRACT).action.names
PERIOD_NS = load_contract(CONTRACT).period_ns

# A SpaceMouse's driver as a process of its own: it obeys the lines that it is sent.
DEVICE = """
import math, os, sys, threading
import rclpy
from geometry_msgs.msg import Twist
from rclpy.executors import ExternalShutdownException
from sensor_msgs.msg import Joy

rclpy.init()
node = rclpy.create_node("device", namespace=sys.argv[1])
twists = node.create_publisher(Twist, "spacenav/twist", 10)
joys = node.create_publisher(Joy, "spacenav/joy", 10)
said = ["rest"]
count = 0


def say():
    global count
    count += 1
    what, push = said[0], 0.0
    if what == "push":
        push = 0.4 + 0.001 * (count % 5)
    elif what == "freeze":
        push = 0.4
    elif what == "shake":
        push = 0.68 * (-1) ** count
    elif what == "nan":
        push = math.nan
    message = Twist()
    message.linear.x = push
    twists.publish(message)
    pressed = Joy(axes=[0.0] * 6, buttons=[int(what == "close"), int(what == "open")])
    pressed.header.stamp = node.get_clock().now().to_msg()
    joys.publish(pressed)


def read():
    for line in sys.stdin:
        said[0] = line.strip()
    os._exit(0)  # the test is gone


node.create_timer(0.02, say)
threading.Thread(target=read, daemon=True).start()
try:
    rclpy.spin(node)
except (KeyboardInterrupt, ExternalShutdownException):
    pass
"""


class Device:
    """The driver's process.

    Args:
        namespace: the robot's.
    """

    def __init__(self, namespace: str = ROBOT) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", DEVICE, f"/{namespace}"], stdin=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def does(self, what: str) -> None:
        """What its hand does from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()

    def unplug(self) -> None:
        """Ends it without a word."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()


class Stand:
    """In the filter's and the policy's place: follows intervention/active, ticks 20 times a
    second, and goes where it is commanded."""

    def __init__(self, running: Graph) -> None:
        self.running, self.node = running, running.driver.node
        self.source, self.policy_ticks, self.armed = "policy", True, True
        self.at = [0.45, 0.0, 0.3, 0.0, 0.05]
        self.policy_stamps: list[int] = []
        self.commands = running.listen(JointState, "intervention/command", sensor=False)
        self.active: list[bool] = []
        self.statuses = running.listen(DiagnosticArray, "intervention/status", sensor=False)
        self.devices = running.listen(JointState, "intervention/device", sensor=False)
        self.node.create_subscription(Bool, "intervention/active", self._hear_active, STREAM)
        self.node.create_subscription(JointState, "intervention/command", self._go, STREAM)
        topics = (
            ("safety/reference", JointState),
            *((name, DiagnosticArray) for name in ("safety/status", "policy/status")),
        )
        self._out = {t: self.node.create_publisher(kind, t, STREAM) for t, kind in topics}
        self._calls = {
            name: self.node.create_client(Trigger, f"intervention/{name}")
            for name in ("take_over", "release")
        }
        self.node.create_timer(0.05, self._tick)
        running.wait(
            lambda: all(p.get_subscription_count() for p in self._out.values())
            and all(c.service_is_ready() for c in self._calls.values()) and self.statuses,
            20.0, "the node",
        )  # fmt: skip
        state = {"episode_id": "one", "seed": "1"}
        for message in ("ready", "running"):
            event = Event("episode", message, state, stamp_ns=running.now_ns())
            running.publish("episode/state", to_message(event))
        running.wait(lambda: self.status("episode_id") == "one", 10.0, "the episode")

    def _hear_active(self, message: Bool) -> None:
        self.active.append(message.data)
        self.source = "intervention" if message.data else "policy"
        self._say_source("")

    def _go(self, message: JointState) -> None:
        step = message.position
        self.at = [*(a + s for a, s in zip(self.at[:4], step[:4], strict=True)), step[4]]

    def _say_source(self, executed: str) -> None:
        source = self.source if self.armed else ""
        values = {"source": source, "command_stamp": executed}
        event = Event(
            "safety_filter",
            "armed" if self.armed else "disarmed",
            values,
            stamp_ns=self.running.now_ns(),
        )
        self._out["safety/status"].publish(to_message(event))

    def _tick(self) -> None:
        now = self.running.now_ns()
        reference = vector_message(now, AXES, self.at)
        self._out["safety/reference"].publish(reference)
        if self.policy_ticks:
            self.policy_stamps.append(now)
            event = Event("policy", "running", {"episode_id": "one"}, stamp_ns=now)
            self._out["policy/status"].publish(to_message(event))
        theirs = self.policy_ticks and self.source == "policy"
        self._say_source(str(now) if theirs else "")

    def status(self, key: str = "") -> str:
        """The last status: its message, or one of its values."""
        status = self.statuses[-1][1].status[0]
        values = {pair.key: pair.value for pair in status.values}
        return values[key] if key else str(status.message)

    def at_ticks(self) -> list[int]:
        """The stamps of commands that are ticks of the policy.

        On a machine that stalls the policy may be so late that others go out in between.
        """
        ticks = set(self.policy_stamps)
        return [stamp for _, m in list(self.commands) if (stamp := stamp_ns(m)) in ticks]

    def edges(self) -> list[tuple[str, int]]:
        """Every edge that was told, with its stamp."""
        found = []
        for _, message in list(self.statuses):
            values = {pair.key: pair.value for pair in message.status[0].values}
            if values["edge"]:
                found.append((values["edge"], stamp_ns(message)))
        return found

    def ask(self, name: str) -> tuple[bool, str]:
        """Calls one of its services."""
        future = self._calls[name].call_async(Trigger.Request())
        self.running.wait(future.done, 5.0, name)
        return future.result().success, future.result().message

    def wait(self, condition: Callable[[], Any], what: str, timeout_s: float = 10.0) -> Any:
        """What a condition gives once it is true."""
        return self.running.wait(condition, timeout_s, what)

    def until(self, message: str) -> None:
        """Waits for a status."""
        self.wait(lambda: self.status() == message, message)

    def push(self, device: Device) -> None:
        """A hand pushes until it has the robot.

        On a machine that stalls the device may be lost for a moment, and has to be let go first.
        """
        for _ in range(6):
            device.does("push")
            with suppress(InputError):
                self.wait(lambda: self.status() == "active", "active", 5.0)
                return
            device.does("rest")
            known = len(self.statuses)
            self.wait(lambda n=known: len(self.statuses) > n + 10, "a rest", 20.0)
        raise AssertionError(f"{self.status()}: {self.status('reason')}")

    def after(self, count: int) -> list[JointState]:
        """The next commands."""
        known = len(self.commands)
        self.wait(lambda: len(self.commands) >= known + count, "commands")
        return [message for _, message in self.commands[known:]]


def patient_mouse(folder: Path, **changes: Any) -> str:
    """The shipped SpaceMouse, but one that a machine that stalls does not lose."""
    data = load_device("spacemouse").model_dump(exclude_none=True)
    data |= {"silence_timeout_s": 2.0, "frozen_after_s": 3.0, **changes}
    data["stamp"]["max_age_s"] = 4.0
    path = folder / "spacemouse.yaml"
    path.write_text(yaml.safe_dump(data))
    return str(path)


@contextmanager
def stand(folder: Path, devices: str, **more: Any) -> Iterator[Stand]:
    """The node by itself, at such a desk."""
    spec = NodeSpec("intervention", {"contract": CONTRACT, "devices": devices, **more})
    with alone(folder, spec, ROBOT) as running:
        yield Stand(running)
