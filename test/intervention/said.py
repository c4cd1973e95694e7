"""Messages of devices without ROS, and a session that is played through in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.intervention.device import Device
from vla_rl_nodes.intervention.make import make_moves
from vla_rl_nodes.intervention.reference import Reference
from vla_rl_nodes.intervention.session import Session, State
from vla_rl_nodes.intervention.settings import DeviceSettings, load_device
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw, yaw_from_rotation
from vla_rl_nodes.safety.state import Instant
from vla_rl_nodes.safety.targets.pose_axes import PoseAxes, ToolPose

Array = NDArray[np.float64]

STEP_NS = 10_000_000
START_NS = 1_700_000_000_000_000_000  # the nodes' clock is not the steady one


def header(stamp: int) -> SimpleNamespace:
    """A message's header."""
    stamp = max(stamp, 0)
    return SimpleNamespace(
        stamp=SimpleNamespace(sec=stamp // 1_000_000_000, nanosec=stamp % 1_000_000_000)
    )


def twist(values: Sequence[float], stamp: int | None = None) -> SimpleNamespace:
    """A Twist [6], or with a stamp a TwistStamped."""
    x, y, z, rx, ry, rz = values
    plain = SimpleNamespace(
        linear=SimpleNamespace(x=x, y=y, z=z), angular=SimpleNamespace(x=rx, y=ry, z=rz)
    )
    return plain if stamp is None else SimpleNamespace(header=header(stamp), twist=plain)


def joy(stamp: int, axes: Sequence[float] = (0.0,) * 8, pressed: Sequence[int] = ()) -> Any:
    """A Joy with eight buttons."""
    buttons = [int(i in pressed) for i in range(8)]
    return SimpleNamespace(header=header(stamp), axes=list(axes), buttons=buttons)


def joints(stamp: int, names: Sequence[str], values: Sequence[float]) -> SimpleNamespace:
    """A JointState."""
    return SimpleNamespace(header=header(stamp), name=list(names), position=list(values))


def changed(name: str, **changes: Any) -> DeviceSettings:
    """A shipped device with other settings; keys with a double underscore reach inside."""
    data = load_device(name).model_dump(exclude_none=True)
    for key, value in changes.items():
        place = data
        *outer, last = key.split("__")
        for part in outer:
            place = place[part]
        place[last] = value
    return DeviceSettings.model_validate(data)


@dataclass
class Play:
    """A session with its devices, played in steps of 10 ms.

    ``says`` are called at every step with the present time to send messages. The robot goes where
    it is commanded, at once; ``actions`` are what went out, one each control period.
    """

    contract: Contract
    settings: Sequence[DeviceSettings]
    says: list[Callable[[Instant], None]] = field(default_factory=list)
    actions: list[Array] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    owned: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.now = Instant(START_NS, 5_000_000_000)
        self.robot = load_robot(self.contract.robot)
        self.moves = make_moves(self.contract, self.robot)
        self.devices = [Device(settings) for settings in self.settings]
        self.session = Session(self.contract, self.moves, self.devices, self.devices[0])
        self.reference: Reference | None = self.home()
        self.listens, self.waits = True, False
        self._steps = 0

    def home(self) -> Reference:
        """Where the robot is sent at first."""
        kind = self.contract.action.kind
        opening = 0.05 if self.contract.action.has_gripper else None
        if kind in ("joint_position", "joint_delta"):
            return Reference(None, self.robot.home.copy(), opening)
        if kind == "base_velocity":
            return Reference(None, None, None)
        pose = ToolPose(np.array([0.45, 0.0, 0.30]), rotation_from_yaw(0.2), 0.2)
        return Reference(pose, None, opening)

    def device(self, name: str) -> Device:
        """A device by its name."""
        return next(device for device in self.devices if device.name == name)

    def run(self, seconds: float) -> None:
        """Plays on."""
        period = round(1e9 / self.contract.policy_hz / STEP_NS)
        for _ in range(round(seconds * 1e9) // STEP_NS):
            self.now = Instant(self.now.ros_ns + STEP_NS, self.now.steady_ns + STEP_NS)
            for say in self.says:
                say(self.now)
            self.session.look(self.now, self.reference, self.listens, self.waits)
            self._steps += 1
            if self._steps % period == 0:
                self._tick()

    def until(self, state: State, limit_s: float = 5.0) -> None:
        """Plays on until the session is in a state."""
        for _ in range(round(limit_s * 100)):
            if self.session.state is state:
                return
            self.run(0.01)
        raise AssertionError(f"{self.session.state} {self.session.reason}, not {state}")

    def _tick(self) -> None:
        self.states.append(self.session.state)
        self.owned.append(self.session.in_command)
        if not self.session.in_command:
            return
        action = self.session.command(self.reference)
        if action is not None:
            self.actions.append(action)
            self.reference = self._moved(action)

    def _moved(self, action: Array) -> Reference:
        """Where the robot is sent by an action that nothing forbids."""
        reference, kind = self.reference, self.contract.action.kind
        assert reference is not None
        opening = float(action[-1]) if self.contract.action.has_gripper else None
        arm = action[:-1] if opening is not None else action
        if reference.joints is not None:
            after = arm if kind == "joint_position" else reference.joints + arm
            return Reference(None, after.copy(), opening)
        if reference.pose is None:
            return reference
        axes = PoseAxes(self.contract.action, self.robot.base_frame)
        pose = axes.moved(reference.pose, arm)
        return Reference(
            ToolPose(pose.position, pose.rotation, yaw_from_rotation(pose.rotation)), None, opening
        )
