"""Every robot has safety limits of its own that fit it, and says where each number comes from."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from vla_rl_nodes.resources import resource
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.clearance import Clearance
from vla_rl_nodes.safety.limits import SafetyLimits, load_limits

NAMES = sorted(path.stem for path in resource("config/robots").glob("*.yaml"))
ARMS = ["fr3", "panda", "ur5e"]
ORIGIN = re.compile(r"\b(vendor|our choice|not used)\b", re.IGNORECASE)
TICK = 0.01  # s, at which the files count their jerk


def lines_with_numbers(text: str) -> list[tuple[str, str]]:
    """Key lines whose value holds a number, with the comments that explain them: on the line,
    on the lines that continue it further right, and on the lines above it."""
    lines = text.splitlines()
    comment_at = [line.find("#") if line.lstrip().startswith("#") else -1 for line in lines]
    found = []
    for index, line in enumerate(lines):
        code, _, said = line.partition("#")
        key, _, value = code.strip().removeprefix("- ").partition(":")
        if key == "safety" or not re.search(r"(?<![A-Za-z_0-9])\d", value):
            continue
        after, before = index + 1, index - 1
        while after < len(lines) and comment_at[after] > 8:
            said, after = said + lines[after], after + 1
        while before >= 0 and 0 <= comment_at[before] <= 8:
            said, before = lines[before] + said, before - 1
        found.append((key.strip(), said))
    return found


def test_there_is_a_file_for_every_robot() -> None:
    shipped = {path.stem for path in resource("config/safety").glob("*.yaml")}
    assert NAMES == ["fr3", "go2", "panda", "ur5e"]
    assert set(NAMES) <= shipped


@pytest.mark.parametrize("name", NAMES)
def test_the_defaults_are_for_their_robot_and_leave_nothing_to_the_code(name: str) -> None:
    limits, robot = load_limits(name), load_robot(name)
    assert limits.name == limits.robot == robot.name == name
    optional = {key for key, field in SafetyLimits.model_fields.items() if not field.is_required()}
    assert set(SafetyLimits.model_fields) - limits.model_fields_set <= optional
    assert limits.model_fields_set >= {"obstacles", "planes"}
    assert (limits.gripper_speed is None) == (robot.gripper is None)
    if robot.gripper is not None and limits.gripper_speed is not None:
        assert limits.gripper_speed <= robot.gripper.speed_max
    assert (limits.wrench is None) == (robot.topics.wrench is None)
    assert (limits.body is None) == (not robot.feet) == (robot.topics.imu is None)


@pytest.mark.parametrize("name", NAMES)
def test_every_number_says_where_it_comes_from(name: str) -> None:
    found = lines_with_numbers(resource(f"config/safety/{name}.yaml").read_text())
    assert len(found) > 20
    silent = [key for key, comment in found if not ORIGIN.search(comment)]
    assert silent == []


def test_a_number_without_an_origin_is_found() -> None:
    text = (
        "a: 1  # vendor: m\nb: 0.5\n\n# Our choice.\nc:\n  d: [0.1, 2]  # m\n  e: fr3\n"
        "f: 2  # m\n              # our choice, too\ng: -1.5e3  # m\n# our choice\nh: {i: 3}\n"
    )
    said = dict(lines_with_numbers(text))
    assert list(said) == ["a", "b", "d", "f", "g", "h"]
    assert [key for key in said if not ORIGIN.search(said[key])] == ["b", "d", "g"]


@pytest.mark.parametrize("name", NAMES)
def test_acceleration_takes_two_to_six_ticks_from_one_bound_to_the_other(name: str) -> None:
    limits, robot = load_limits(name), load_robot(name)
    acceleration = limits.acceleration_scale * robot.acceleration_max
    jerk = limits.jerk_scale * robot.jerk_max
    ticks = np.ceil(2.0 * acceleration / (jerk * TICK) - 1e-9)
    assert (ticks >= 2).all() and (ticks <= 6).all()
    # Two moving averages of smoothing_s turn a step of velocity into such an acceleration.
    assert (acceleration / limits.smoothing_s <= jerk).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_drive_at_full_speed_stays_within_the_tracking_error(name: str) -> None:
    limits, robot = load_limits(name), load_robot(name)
    lag = np.array([axis.servo.kd / axis.servo.kp for axis in robot.axes])
    behind = lag * robot.velocity_max * limits.velocity_scale
    assert behind.max() < 0.7 * limits.tracking_error_max


@pytest.mark.parametrize("name", NAMES)
def test_home_keeps_every_distance_twice(name: str) -> None:
    limits, robot = load_limits(name), load_robot(name)
    clearance = Clearance(robot, limits)
    distances = clearance.distances(robot.home)
    assert len(distances) > 20
    assert (distances > 2.0 * clearance.margins).all()
    assert (clearance.margins > 0.0).all()


@pytest.mark.parametrize("name", ARMS)
def test_an_arms_home_is_well_inside_its_box_and_far_from_singular(name: str) -> None:
    limits, robot = load_limits(name), load_robot(name)
    kinematics = Kinematics(robot)
    pose = kinematics.fk(robot.home)
    assert limits.workspace is not None and limits.singularity is not None
    assert (pose.position > limits.workspace.lower + 0.2).all()
    assert (pose.position < limits.workspace.upper - 0.2).all()
    weights = np.array([1.0] * 3 + [limits.rotation_length] * 3)
    values = np.linalg.svd(weights[:, None] * kinematics.jacobian(robot.home), compute_uv=False)
    assert values[0] / values[-1] < limits.singularity.slow_from / 2.0
    (table,) = limits.planes
    assert table.normal == [0.0, 0.0, 1.0] and table.offset == 0.0
    assert 0.0 < table.tool_margin <= table.margin
    axes = ["tool_x", "tool_y", "tool_z", "tool_rx", "tool_ry", "tool_rz"]
    if robot.gripper is not None:
        axes.append("gripper_width")
    assert list(limits.residual_bound) == axes


def test_the_pick_tasks_box_is_inside_the_arms() -> None:
    task, arm = load_limits("franka_pick").workspace, load_limits("fr3").workspace
    assert task is not None and arm is not None
    assert (task.lower >= arm.lower).all() and (task.upper < arm.upper).all()


def test_the_dog_may_stand_and_may_not_stretch() -> None:
    limits, robot = load_limits("go2"), load_robot("go2")
    kinematics = Kinematics(robot)

    def height(q: np.ndarray) -> float:
        return -min(float(kinematics.fk(q, foot).position[2]) for foot in robot.feet)

    stretched = robot.home.copy()
    stretched[2::3] = robot.position_max[2::3]
    stretched[1::3] = -robot.position_max[2::3] / 2.0
    assert limits.body is not None
    assert height(robot.home) == pytest.approx(0.311, abs=1e-3)
    assert limits.body.height_min + 0.05 < height(robot.home) < limits.body.height_max - 0.05
    assert limits.body.height_max < height(stretched) < 0.4
    assert limits.body.tilt_max < math.radians(30)
    assert tuple(limits.residual_bound) == robot.joints
    assert limits.workspace is None and limits.tool_speed_max is None and limits.planes == []
