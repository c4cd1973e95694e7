"""Position controllers as ros2_control runs them: the last command is held for ever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class HeldCommand:
    """A polyline in joint space, [m] times in seconds and [m, n] positions in rad or m."""

    times_s: Vector
    positions: Vector


class JointController:
    """The position that a ros2_control joint controller commands at a time.

    Behaves as forward_command_controller and joint_trajectory_controller do: neither has a
    timeout, so after its last point the controller goes on commanding that point. Times are
    simulated seconds.
    """

    def __init__(self, joints: int) -> None:
        self._joints = joints
        self._held = HeldCommand(np.zeros(1), np.zeros((1, joints)))

    def initialise(self, positions: Vector) -> None:
        """Takes over at the measured positions [n], as a controller does when activated."""
        self._held = HeldCommand(np.zeros(1), self._checked(positions, "reset")[None].copy())

    def command_positions(self, positions: Vector) -> None:
        """Jumps to positions [n], as forward_command_controller does.

        Raises:
            InputError: a wrong length or a value that is not finite; the old command stays.
        """
        self._held = HeldCommand(np.zeros(1), self._checked(positions, "commands")[None].copy())

    def command_trajectory(
        self, points: Sequence[tuple[float, Vector]], start_s: float, now_s: float
    ) -> None:
        """Replaces the command by a polyline, as joint_trajectory_controller does.

        Until the first point's time the command moves linearly from the present one to that
        point; where that time has passed already, the polyline is entered at the present time,
        as the real controller does (Trajectory::sample in ros2_controllers).

        Args:
            points: (time from start in seconds, positions [n]), times strictly increasing.
            start_s: the time that the points count from (header stamp), seconds.
            now_s: the present time, seconds.

        Raises:
            InputError: no point, times out of order, a wrong length or a value that is not
                finite; the old command stays.
        """
        place = "joint_trajectory"
        if not points:
            raise InputError(place, "holds no point", "send at least one")
        times = np.array([start_s + time for time, _ in points], dtype=np.float64)
        positions = np.stack([self._checked(q, place) for _, q in points])
        if not np.isfinite(times).all() or points[0][0] < 0.0:
            raise InputError(place, "a time is negative or not finite", "count from the stamp")
        if (np.diff(times) <= 0.0).any():
            raise InputError(place, "times do not increase", "sort the points by time")
        if now_s < times[0]:
            present = self.sample(now_s)
            times = np.concatenate([[now_s], times])
            positions = np.concatenate([present[None], positions])
        self._held = HeldCommand(times, positions)

    def sample(self, now_s: float) -> Vector:
        """The commanded positions [n] at a time in seconds."""
        times, positions = self._held.times_s, self._held.positions
        if now_s >= times[-1]:
            last: Vector = positions[-1].copy()
            return last
        if now_s <= times[0]:
            first: Vector = positions[0].copy()
            return first
        after = int(np.searchsorted(times, now_s, side="right"))
        share = (now_s - times[after - 1]) / (times[after] - times[after - 1])
        between: Vector = (1.0 - share) * positions[after - 1] + share * positions[after]
        return between

    @property
    def held(self) -> HeldCommand:
        """The whole command, for saving; immutable."""
        return self._held

    @held.setter
    def held(self, command: HeldCommand) -> None:
        self._held = command

    def _checked(self, positions: Vector, place: str) -> Vector:
        q = np.asarray(positions, dtype=np.float64)
        if q.shape != (self._joints,):
            raise InputError(
                place, f"has shape {list(q.shape)}, not [{self._joints}]", "send one per joint"
            )
        if not np.isfinite(q).all():
            raise InputError(place, "holds a value that is not finite", "check the publisher")
        return q


class GripperController:
    """A parallel gripper's width command: speed limited, and giving way at its force limit.

    The Franka Hand moves at up to 0.1 m/s and then presses with a set force. Its fingers follow
    a set point that moves at the speed limit and never leads the measured width by more than
    ``lead``, which times the actuator's stiffness is the force.
    """

    def __init__(self, maximum_m: float, speed: float, lead: float) -> None:
        self._maximum, self._speed, self._lead = maximum_m, speed, lead
        self.target = maximum_m
        self.setpoint = maximum_m

    def initialise(self, width: float) -> None:
        """Takes over at the measured opening width in metres."""
        self.target = self.setpoint = min(max(width, 0.0), self._maximum)

    def command(self, width: float) -> None:
        """Sets the opening width to reach, metres; beyond the gripper's range it is clipped.

        Raises:
            InputError: the width is not finite; the old command stays.
        """
        if not np.isfinite(width):
            raise InputError("gripper command", "is not finite", "check the publisher")
        self.target = min(max(float(width), 0.0), self._maximum)

    def advance(self, measured: float, period_s: float) -> float:
        """The set point in metres after one physics step at a measured width in metres."""
        step = self._speed * period_s
        if (self.target - measured) * (self.setpoint - measured) < 0.0:
            # Told to let go, or to grip again: the pressing is over at once.
            self.setpoint = measured
        self.setpoint += min(max(self.target - self.setpoint, -step), step)
        self.setpoint = min(max(self.setpoint, measured - self._lead), measured + self._lead)
        return self.setpoint
