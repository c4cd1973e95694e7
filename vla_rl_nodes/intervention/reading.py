"""What a device's message says: ROS messages in, motion and buttons out.

The functions read attributes only, so that they take rclpy's messages and those of a bag alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.decode import named_vector, stamp_ns
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.intervention.settings import AXES, TWIST_STAMPED, DeviceSettings
from vla_rl_nodes.safety.state import Instant

Array = NDArray[np.float64]

BUTTONS_MAX = 64


class Reading(NamedTuple):
    """One message of a device.

    Attributes:
        stamp_ns: when it was taken, on the nodes' clock; its arrival where it carries no stamp.
        arrival: when it came.
        raw: the numbers that its motion was made of, to see whether they ever change.
        motion: of a twist or joy [6]: x, y, z, rx, ry, rz in -1..1, the dead zone taken off.
            Of a leader: where it sends the robot's joints [n], rad.
        opening: of a leader's trigger, 0 closed to 1 open; None without one.
        buttons: which are pressed; None where the message has none.
    """

    stamp_ns: int
    arrival: Instant
    raw: tuple[float, ...]
    motion: Array
    opening: float | None = None
    buttons: tuple[bool, ...] | None = None


class Reader:
    """Reads the messages of one device.

    Args:
        settings: its description.
    """

    def __init__(self, settings: DeviceSettings) -> None:
        self._settings = settings
        self._sources = [settings.axes.get(axis) for axis in AXES]

    @property
    def names(self) -> tuple[str, ...]:
        """What ``motion`` consists of: the axes, or the leader's joints, then its trigger."""
        leader = self._settings.leader
        if leader is None:
            return AXES
        trigger = () if leader.gripper is None else (leader.gripper.name,)
        return (*(joint.name for joint in leader.joints), *trigger)

    def read(self, message: Any, arrival: Instant) -> Reading:
        """A message of the device's topic.

        Raises:
            InputError: its numbers are too few or not finite, or its stamp is old or ahead.
        """
        stamp = self._stamp(message, arrival)
        if self._settings.kind == "leader":
            return self._leader(message, stamp, arrival)
        if self._settings.kind == "joy":
            return self._reading(message.axes, stamp, arrival, self.buttons(message))
        twist = message.twist if self._settings.type == TWIST_STAMPED else message
        return self._reading(twist, stamp, arrival, None)

    def buttons(self, message: Any) -> tuple[bool, ...]:
        """The buttons of a Joy message.

        Raises:
            InputError: a button that is used is not there.
        """
        pressed = tuple(bool(b) for b in message.buttons[:BUTTONS_MAX])
        settings = self._settings
        gripper = settings.gripper
        used = [settings.engage.button]
        if gripper is not None:
            used += [gripper.toggle, gripper.open, gripper.close]
        missing = next((b for b in used if b is not None and b >= len(pressed)), None)
        if missing is not None:
            raise InputError(
                settings.name, f"sends {len(pressed)} buttons, button {missing} is not there",
                "correct the device's file, or its driver",
            )  # fmt: skip
        return pressed

    def stamp(self, message: Any, arrival: Instant) -> int:
        """The stamp of a Joy message that has the buttons; see :meth:`read`."""
        return self._checked(stamp_ns(message), arrival)

    def _stamp(self, message: Any, arrival: Instant) -> int:
        if not self._settings.stamped:
            return arrival.ros_ns
        return self._checked(stamp_ns(message), arrival)

    def _checked(self, stamp: int, arrival: Instant) -> int:
        rule, age_s = self._settings.stamp, (arrival.ros_ns - stamp) / 1e9
        if age_s > rule.max_age_s:
            raise InputError(
                self._settings.name, f"its stamp is {age_s:.2f} s old, {rule.max_age_s:g} s are"
                " allowed", "set the clocks, or let its driver stamp",
            )  # fmt: skip
        if -age_s > rule.future_s:
            raise InputError(
                self._settings.name, f"its stamp is {-age_s:.2f} s ahead of now", "set the clocks"
            )
        return stamp

    def _reading(
        self, source: Any, stamp: int, arrival: Instant, buttons: tuple[bool, ...] | None
    ) -> Reading:
        """Of sticks or of a cap: the numbers as shares of their full deflections."""
        shares = np.zeros(len(AXES))
        for place, axis in enumerate(self._sources):
            if axis is None:
                continue
            value = (
                attrgetter(axis.field)(source) if axis.field is not None
                else self._at(source, axis.index or 0)
            )  # fmt: skip
            if not np.isfinite(value):
                raise InputError(
                    self._settings.name, f"axis {AXES[place]} is not finite", "check the device"
                )
            share = min(max(float(value) / axis.full_scale, -1.0), 1.0)
            shares[place] = -share if axis.invert else share
        zone = self._settings.dead_zone
        motion = np.sign(shares) * np.maximum(np.abs(shares) - zone, 0.0) / (1.0 - zone)
        return Reading(stamp, arrival, tuple(shares.tolist()), motion, None, buttons)

    def _at(self, axes: Sequence[float], index: int) -> float:
        if index >= len(axes):
            raise InputError(
                self._settings.name, f"sends {len(axes)} axes, axis {index} is not there",
                "correct the device's file, or its driver",
            )  # fmt: skip
        return float(axes[index])

    def _leader(self, message: Any, stamp: int, arrival: Instant) -> Reading:
        leader = self._settings.leader
        assert leader is not None  # a leader has one
        values = named_vector(message, self.names, self._settings.name)
        joints = values[: len(leader.joints)]
        sign = np.array([float(joint.sign) for joint in leader.joints])
        offset = np.array([joint.offset for joint in leader.joints])
        opening = None
        if leader.gripper is not None:
            way = leader.gripper.open - leader.gripper.closed
            opening = min(max((float(values[-1]) - leader.gripper.closed) / way, 0.0), 1.0)
        return Reading(stamp, arrival, tuple(values.tolist()), sign * joints + offset, opening)
