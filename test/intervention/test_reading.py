"""Messages become motion and buttons; what cannot be used is refused in one line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.intervention.reading import Reader
from vla_rl_nodes.intervention.settings import load_device
from vla_rl_nodes.safety.state import Instant

from .said import START_NS, changed, joints, joy, twist

NOW = Instant(START_NS, 1)
FR3 = [f"fr3_joint{i}" for i in range(1, 8)]


def test_a_twist_is_shares_of_the_full_scale_without_the_dead_zone() -> None:
    reader = Reader(changed("spacemouse", dead_zone=0.2))
    reading = reader.read(twist([0.68, -0.34, 0.05, 0.0, 9.0, 0.136]), NOW)
    assert reading.motion == pytest.approx([1.0, -0.375, 0.0, 0.0, 1.0, 0.0])
    assert reading.stamp_ns == NOW.ros_ns  # it carries none
    assert reading.buttons is None


def test_axes_of_a_joy_go_where_the_file_says() -> None:
    axes = {"z": {"index": 2, "invert": True}, "x": {"index": 0, "full_scale": 0.5}}
    reader = Reader(changed("gamepad", axes=axes, dead_zone=0.0))
    reading = reader.read(joy(START_NS - 5, [0.25, 1.0, 0.5], (4,)), NOW)
    assert reading.motion.tolist() == [0.5, 0.0, -0.5, 0.0, 0.0, 0.0]
    assert reading.stamp_ns == START_NS - 5
    assert reading.buttons is not None and reading.buttons.index(True) == 4


def test_a_leaders_joints_are_the_robots_by_name_sign_and_offset() -> None:
    settings = changed("gello_fr3")
    rows = [joint.model_dump() for joint in settings.leader.joints]  # type: ignore[union-attr]
    rows[1] |= {"sign": -1, "offset": 0.5}
    trigger = {"name": "trigger", "open": 0.0, "closed": -2.0}
    settings = changed("gello_fr3", leader__joints=rows, leader__gripper=trigger)
    given = dict(zip(FR3, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], strict=True))
    names = ["trigger", "more", *reversed(FR3)]
    values = [-0.5, 9.0, *(given[name] for name in reversed(FR3))]
    reading = Reader(settings).read(joints(START_NS, names, values), NOW)
    assert reading.motion == pytest.approx([0.1, 0.3, 0.3, 0.4, 0.5, 0.6, 0.7])
    assert reading.opening == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("device", "message", "said"),
    [
        ("spacemouse", twist([0, 0, math.nan, 0, 0, 0]), "axis z is not finite"),
        ("spacemouse", twist([0, 0, 0, 0, math.inf, 0]), "axis ry is not finite"),
        ("gamepad", joy(START_NS, [0.0, 0.0]), "sends 2 axes, axis 4 is not there"),
        ("gamepad", joy(START_NS - 10**9), "1.00 s old"),
        ("gamepad", joy(0), "s old"),
        ("gamepad", joy(START_NS + 10**9), "1.00 s ahead"),
        ("gello_fr3", joints(START_NS, FR3[:6], [0.0] * 6), "'fr3_joint7' is not among"),
        ("gello_fr3", joints(START_NS, FR3, [0.0] * 6), "7 names but 6 positions"),
        ("gello_fr3", joints(START_NS, FR3, [math.nan] + [0.0] * 6), "not finite"),
        ("gello_fr3", joints(START_NS, FR3[:6] * 2, [0.0] * 12), "stands twice"),
    ],
)
def test_what_cannot_be_used_is_refused(device: str, message: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        Reader(load_device(device)).read(message, NOW)
    assert "\n" not in str(error.value)


def test_too_few_buttons_are_refused() -> None:
    short = joy(START_NS, [0.0] * 8)
    short.buttons = [0, 0]
    with pytest.raises(InputError, match="button 4 is not there"):
        Reader(load_device("gamepad")).read(short, NOW)


def test_motion_grows_from_the_edge_of_the_dead_zone() -> None:
    reader = Reader(changed("spacemouse", dead_zone=0.1))
    shares = np.linspace(-1.0, 1.0, 401)
    motion = [reader.read(twist([0.68 * s, 0, 0, 0, 0, 0]), NOW).motion[0] for s in shares]
    assert (np.diff(motion) >= 0.0).all() and np.abs(np.diff(motion)).max() < 0.006
    assert motion[0] == -1.0 and motion[-1] == 1.0
