"""Position controllers as ros2_control runs them: the last command is held for ever."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError

Vector = NDArray[np.float64]

PLACE = "joint_trajectory"
REST = 1.2e-7  # rad/s, the controller's own bound on the speed at a trajectory's last point


# Hermite's interpolation between two knots: what the first one's position, velocity and
# acceleration and then the second one's weigh, as polynomials in the share s of the segment,
# lowest power first. Velocities also count times the segment's duration, accelerations times
# its square.
_HERMITE = {
    1: np.array(
        [[1, -1, 0, 0, 0, 0], [0] * 6, [0] * 6, [0, 1, 0, 0, 0, 0], [0] * 6, [0] * 6], np.float64
    ),
    3: np.array(
        [[1, 0, -3, 2, 0, 0], [0, 1, -2, 1, 0, 0], [0] * 6,
         [0, 0, 3, -2, 0, 0], [0, 0, -1, 1, 0, 0], [0] * 6], np.float64
    ),
    5: np.array(
        [[1, 0, 0, -10, 15, -6], [0, 1, 0, -6, 8, -3], [0, 0, 0.5, -1.5, 1.5, -0.5],
         [0, 0, 0, 10, -15, 6], [0, 0, 0, -4, 7, -3], [0, 0, 0, 0.5, -1, 0.5]]
    ),
}  # fmt: skip


@dataclass(frozen=True)
class HeldCommand:
    """A curve in joint space; before its first knot and after its last one it stands still.

    ``times_s`` are m times in seconds; ``knots`` [m, 3, n] are positions (rad or m), velocities
    and accelerations; between two knots lies a polynomial in time of the ``degree`` 1, 3 or 5.
    """

    times_s: tuple[float, ...]
    knots: Vector
    degree: int

    @classmethod
    def still(cls, positions: Vector) -> HeldCommand:
        """Standing still at positions [n]."""
        rest = np.zeros_like(positions)
        return cls((0.0,), np.stack([positions, rest, rest])[None], 1)

    def sample(self, now_s: float) -> Vector:
        """Positions [n] at a time in seconds."""
        after = bisect_right(self.times_s, now_s)
        if after == 0 or after == len(self.times_s):
            return np.array(self.knots[max(after - 1, 0), 0])
        h = self.times_s[after] - self.times_s[after - 1]
        s = (now_s - self.times_s[after - 1]) / h
        weights = _HERMITE[self.degree] @ (1.0, s, s**2, s**3, s**4, s**5)
        # The rows of neighbouring knots lie behind each other in memory.
        rows = self.knots[after - 1 : after + 1].reshape(6, -1)
        between: Vector = (weights * (1.0, h, h * h, 1.0, h, h * h)) @ rows
        return between

    def state(self, now_s: float) -> Vector:
        """Positions, velocities and accelerations [3, n] at a time in seconds."""
        after = bisect_right(self.times_s, now_s)
        if after == 0 or after == len(self.times_s):
            position = self.knots[max(after - 1, 0), 0]
            return np.stack([position, np.zeros_like(position), np.zeros_like(position)])
        h = self.times_s[after] - self.times_s[after - 1]
        s = (now_s - self.times_s[after - 1]) / h
        powers = np.array([
            (1.0, s, s**2, s**3, s**4, s**5),
            (0.0, 1.0, 2 * s, 3 * s**2, 4 * s**3, 5 * s**4),
            (0.0, 0.0, 2.0, 6 * s, 12 * s**2, 20 * s**3),
        ])  # fmt: skip
        weights = powers @ _HERMITE[self.degree].T * (1.0, h, h * h, 1.0, h, h * h)
        rows = self.knots[after - 1 : after + 1].reshape(6, -1)
        state: Vector = (weights / [[1.0], [h], [h * h]]) @ rows
        return state


class JointController:
    """The position that a ros2_control joint controller commands at a time.

    Behaves as forward_command_controller and joint_trajectory_controller do: neither has a
    timeout, so after its last point the controller goes on commanding that point. Times are
    simulated seconds.
    """

    def __init__(self, joints: int) -> None:
        self._joints = joints
        self._held = HeldCommand.still(np.zeros(joints))

    def initialise(self, positions: Vector) -> None:
        """Takes over at the measured positions [n], as a controller does when activated."""
        self._held = HeldCommand.still(self._checked(positions, "reset"))

    def command_positions(self, positions: Vector) -> None:
        """Jumps to positions [n], as forward_command_controller does.

        Raises:
            InputError: a wrong length or a value that is not finite; the old command stays.
        """
        self._held = HeldCommand.still(self._checked(positions, "commands"))

    def command_trajectory(
        self,
        times_s: Vector,
        positions: Vector,
        velocities: Vector | None,
        accelerations: Vector | None,
        start_s: float,
        now_s: float,
    ) -> None:
        """Replaces the command by a curve, as joint_trajectory_controller does.

        Between two points it is the straight line, with velocities the cubic through them, with
        accelerations too the quintic (Trajectory::interpolate_between_points in ros2_controllers,
        Jazzy). Until the first point's time it leads there from the present command, velocity
        and acceleration, as with ``interpolate_from_desired_state``; where that time has passed,
        the curve is entered at the present time (Trajectory::sample).

        Args:
            times_s: seconds from the start [m], strictly increasing.
            positions: [m, n], rad or m.
            velocities: [m, n], rad/s or m/s, at rest in the last row; or None.
            accelerations: [m, n], rad/s^2 or m/s^2; or None. Not without velocities.
            start_s: the time that the points count from (header stamp), seconds.
            now_s: the present time, seconds.

        Raises:
            InputError: no point, times out of order, a wrong shape, a value that is not finite,
                or a last point that is not at rest; the old command stays.
        """
        since = np.asarray(times_s, dtype=np.float64)
        if since.ndim != 1 or not len(since):
            raise InputError(PLACE, "holds no point", "send at least one")
        if not np.isfinite(since).all() or since[0] < 0.0:
            raise InputError(PLACE, "a time is negative or not finite", "count from the stamp")
        if (since[1:] <= since[:-1]).any():
            raise InputError(PLACE, "times do not increase", "sort the points by time")
        if accelerations is not None and velocities is None:
            raise InputError(PLACE, "has accelerations only", "send the velocities too")
        shape = (len(since), self._joints)
        knots = np.zeros((len(since), 3, self._joints))
        for row, given in enumerate((positions, velocities, accelerations)):
            if given is not None:
                if np.shape(given) != shape:
                    raise _wrong_shape(PLACE, given, shape)
                knots[:, row] = given
        if not np.isfinite(knots).all():
            raise _not_finite(PLACE)
        if np.abs(knots[-1, 1]).max() > REST:
            raise InputError(PLACE, "is not at rest at its last point", "add the way to rest")
        degree = 1 if velocities is None else 3 if accelerations is None else 5
        times = (since + start_s).tolist()
        if now_s < times[0]:
            times = [now_s, *times]
            knots = np.concatenate([self._held.state(now_s)[None], knots])
        self._held = HeldCommand(tuple(times), knots, degree)

    def sample(self, now_s: float) -> Vector:
        """The commanded positions [n] at a time in seconds."""
        return self._held.sample(now_s)

    @property
    def held(self) -> HeldCommand:
        """The whole command, for saving; immutable."""
        return self._held

    @held.setter
    def held(self, command: HeldCommand) -> None:
        self._held = command

    def _checked(self, positions: Vector, place: str) -> Vector:
        given = np.array(positions, dtype=np.float64)
        if given.shape != (self._joints,):
            raise _wrong_shape(place, given, (self._joints,))
        if not np.isfinite(given).all():
            raise _not_finite(place)
        return given


def _wrong_shape(place: str, given: Vector, shape: tuple[int, ...]) -> InputError:
    return InputError(
        place, f"has shape {list(np.shape(given))}, not {list(shape)}", "send one per joint"
    )


def _not_finite(place: str) -> InputError:
    return InputError(place, "holds a value that is not finite", "check the publisher")


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
