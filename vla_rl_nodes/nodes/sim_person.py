"""sim_person: a scripted person at a SpaceMouse, for runs that nobody wants to sit by."""

from __future__ import annotations

import json
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TextIO, get_args

import numpy as np
from geometry_msgs.msg import Twist
from sensor_msgs.msg import JointState, Joy

from vla_rl_nodes.contract.decode import named_vector, stamp_ns
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.episodes.machine import State
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.ingest.proprio import GripperState
from vla_rl_nodes.intervention.settings import AXES, TWIST, DeviceSettings, TwistField, load_device
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.episode_state import EpisodeState
from vla_rl_nodes.nodes.event import Event, time_message
from vla_rl_nodes.nodes.lean_node import LeanNode
from vla_rl_nodes.nodes.qos import STREAM
from vla_rl_nodes.nodes.spin import end_after_failed_tick, spin
from vla_rl_nodes.nodes.tick import TickThread
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.tool_frame import yaw_from_rotation
from vla_rl_nodes.sim.expert import ExpertState, cube_yaw
from vla_rl_nodes.sim.person import Deed, Person
from vla_rl_nodes.sim.person_hand import feel_of
from vla_rl_nodes.sim.person_sight import View
from vla_rl_nodes.sim.person_trouble import TROUBLES, Reading, Trouble
from vla_rl_nodes.sim.scene import load_scene

RATE_HZ = 60  # of the SpaceMouse's driver
_FIELDS = get_args(TwistField)  # in the order of the driver's Joy axes


class SimPerson(LeanNode):
    """Watches ``sim/state`` with a person's delay, and acts through the device's topics alone.

    What he did goes to a file of JSON lines, one for each deed, with the nodes' clock: the bags
    are judged by it. Each line is written at once.
    """

    def __init__(self) -> None:
        super().__init__("sim_person")
        contract = load_contract(
            parameters.text(self, "contract", "franka_pick", "Contract name or path.")
        )
        seed = parameters.integer(self, "seed", 0, 0, 2**31 - 1, "Of everything that he draws.")
        device = load_device(
            parameters.text(self, "device", "spacemouse", "Device: name or path of its settings.")
        )
        log = parameters.text(self, "log", "", "File of JSON lines; empty: none is written.")
        trouble = parameters.text(
            self, "trouble", "",
            "What becomes of the device in the middle of each episode's first help:"
            f" {', '.join(TROUBLES)}; empty: nothing.",
        )  # fmt: skip
        robot, scene = load_robot(contract.robot), load_scene(contract.name)
        if scene.task is None or robot.gripper is None:
            raise InputError(
                f"scene {scene.name}", "has no task for a gripper", "use a scene that has"
            )
        self._object, self._robot = scene.task.object, robot
        self._names = (
            *robot.joints, *robot.gripper.joints,
            *(f"{self._object}_{part}" for part in ("x", "y", "z", "qw", "qx", "qy", "qz")),
        )  # fmt: skip
        self._kinematics = Kinematics(robot)
        self._device = _usable(device)
        self.failed = False
        self._complaints = Complaints(self.get_logger())
        self._lock = threading.Lock()
        self._person = Person(feel_of(device), seed)
        self._trouble = Trouble(trouble, seed)
        self._log: TextIO | None = _opened(log) if log else None
        self._watched = ""  # the episode that runs
        self._last: tuple[int, float] | None = None  # stamp and width
        self._episode = EpisodeState(self, self._complaints, self._episode_changed)
        self.create_subscription(JointState, "sim/state", self._see, STREAM)
        self._twist = self.create_publisher(Twist, device.topic, STREAM)
        self._joy = self.create_publisher(Joy, device.buttons_topic or "", STREAM)
        self._ticker = TickThread(
            round(1e9 / RATE_HZ), self._tick, partial(end_after_failed_tick, self), "sim_person"
        )
        self._ticker.start()

    def close(self) -> None:
        """Takes the hands off."""
        self._ticker.stop()
        if self._log is not None:
            self._log.close()

    def _episode_changed(self, state: State, event: Event) -> None:
        runs = state is State.RUNNING and event.values.get("paused") != "1"
        with self._lock:
            self._watched = self._episode.episode_id if runs else ""
            if runs and self._person.episode != self._watched:
                self._person.start(self._watched, self._episode.seed)
                self._trouble.start()

    def _see(self, message: JointState) -> None:
        try:
            values = named_vector(message, self._names, "sim/state")
        except InputError as error:
            self._complaints.say(error)
            return
        stamp = stamp_ns(message)
        arm, fingers = len(self._robot.joints), len(self._names) - 7
        pose = self._kinematics.fk(values[:arm])
        tool = np.array([*pose.position, yaw_from_rotation(pose.rotation)])
        width = GripperState(float(values[arm:fingers].sum()), 0.0)
        speed = 0.0
        if self._last is not None and stamp > self._last[0]:
            speed = (width.width - self._last[1]) / ((stamp - self._last[0]) / 1e9)
        self._last = stamp, width.width
        place, turn = values[fingers : fingers + 3], values[fingers + 3 :]
        state = ExpertState(tool, tool, width.width, speed, place, cube_yaw(turn))
        with self._lock:
            self._person.look(View(stamp / 1e9, self._watched, state))

    def _tick(self, lateness_ns: int) -> None:
        now = self.get_clock().now().nanoseconds
        with self._lock:
            hands = self._person.act(now / 1e9)
            deeds = self._person.deeds()
            reading = self._trouble.reading(now / 1e9, hands, deeds)
            troubles = self._trouble.deeds(self._person.episode)
        for deed in (*deeds, *troubles):
            self._note(deed)
        if reading is not None:
            self._publish(now, reading)

    def _publish(self, now: int, reading: Reading) -> None:
        twist, axes = Twist(), [0.0] * len(AXES)
        for name, source in self._device.axes.items():
            value = float(reading.axes[AXES.index(name)] * source.full_scale)
            part, _, axis = (source.field or "").partition(".")
            sent = -value if source.invert else value
            setattr(getattr(twist, part), axis, sent)
            axes[_FIELDS.index(f"{part}.{axis}")] = sent
        joy = Joy(axes=axes, buttons=list(reading.buttons))
        joy.header.stamp = time_message(now)
        self._twist.publish(twist)
        self._joy.publish(joy)

    def _note(self, deed: Deed) -> None:
        line = {
            "at_ns": round(deed.at_s * 1e9),
            "decided_ns": round(deed.decided_s * 1e9),
            "what": deed.what,
            "why": deed.why,
            "episode_id": deed.episode,
        }
        self.get_logger().info(f"{deed.what} {deed.why}".strip())
        if self._log is not None:
            self._log.write(json.dumps(line) + "\n")


def _usable(device: DeviceSettings) -> DeviceSettings:
    if device.kind != "twist" or device.type != TWIST or device.buttons_topic is None:
        raise InputError(
            f"device {device.name}",
            "is no SpaceMouse: a Twist with buttons on a topic of their own",
            "give the scripted person one",
        )
    return device


def _opened(path: str) -> TextIO:
    try:
        return Path(path).expanduser().open("a", buffering=1, encoding="utf-8")
    except (OSError, RuntimeError) as error:
        raise InputError(path, f"cannot be written ({error})", "name another file") from error


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return spin(SimPerson, args, realtime_priority=5)


if __name__ == "__main__":
    sys.exit(main())
