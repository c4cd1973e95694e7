"""Hands on devices, for sessions that are played: on a SpaceMouse, and on a leader arm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.intervention.session import State
from vla_rl_nodes.safety.state import Instant

from .said import Play, changed, joints, joy, twist

REST = (0.0,) * 6


@dataclass
class Hand:
    """A hand on a SpaceMouse: what it pushes, which buttons it presses; None: unplugged."""

    play: Play
    push: tuple[float, ...] | None = REST
    pressed: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.play.says.append(self.say)
        self._wobble = 0

    def say(self, now: Instant) -> None:
        if self.push is None:
            return
        device = self.play.device("spacemouse")
        self._wobble += 1
        # A real cap never reads the same twice while it is pushed.
        wobble = 1e-3 * (self._wobble % 7) if any(self.push) else 0.0
        device.hear(twist([0.68 * v * (1.0 - wobble) for v in self.push]), now)
        device.hear_buttons(joy(now.ros_ns, (), self.pressed), now)


def spacemouse(contract: Contract, **changes: object) -> tuple[Play, Hand]:
    play = Play(contract, [changed("spacemouse", **changes)])
    hand = Hand(play)
    play.run(0.2)
    assert play.session.state is State.IDLE and not play.actions
    return play, hand


FR3 = [f"fr3_joint{i}" for i in range(1, 8)]


@dataclass
class LeaderArm:
    """A leader arm in a hand; space is its button."""

    play: Play
    at: np.ndarray
    pressed: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.play.says.append(self.say)
        self._wobble = 0

    def say(self, now: Instant) -> None:
        device = self.play.device("gello_fr3")
        self._wobble += 1
        values = self.at + 1e-4 * (self._wobble % 5)
        device.hear(joints(now.ros_ns, FR3, values.tolist()), now)
        device.hear_buttons(joy(now.ros_ns, (), self.pressed), now)

    def press(self) -> None:
        self.pressed = (0,)
        self.play.run(0.05)
        self.pressed = ()
        self.play.run(0.05)


def leader(contract: Contract, off: float, **changes: object) -> tuple[Play, LeaderArm]:
    play = Play(contract, [changed("gello_fr3", **changes)])
    if play.reference is not None and play.reference.pose is not None:
        # Where the robot's home is, so that the leader's joints mean the same.
        pose = play.moves._kinematics.fk(play.robot.home)  # type: ignore[attr-defined]
        start = play.reference.pose._replace(
            position=pose.position, rotation=pose.rotation, yaw=0.0
        )
        play.reference = play.reference._replace(pose=start)
    arm = LeaderArm(play, play.robot.home + np.array([0, 0, 0, off, 0, 0, 0]))
    play.run(0.2)
    return play, arm
