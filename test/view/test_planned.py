"""Where a chunk leads, against what is worked out otherwise."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.view.planned import PlannedPath

PICK = load_contract("franka_pick")
FR3, GO2 = load_robot("fr3"), load_robot("go2")
ARM = Kinematics(FR3)
GO2_SWAY = Path(__file__).parents[1] / "graph" / "contracts" / "go2_sway.yaml"


def acting(
    kind: str, axes: dict[str, str], frame: str = "fr3_link0", robot: str = "fr3"
) -> Contract:
    """franka_pick with other actions."""
    data = PICK.model_dump()
    data["robot"] = robot
    data["action"] |= {
        "kind": kind, "frame": frame,
        "axes": [{"name": n, "unit": u, "minimum": -1.0, "maximum": 1.0} for n, u in axes.items()],
    }  # fmt: skip
    return Contract.model_validate(data)


def path(contract: Contract) -> PlannedPath:
    robot = load_robot(contract.robot)
    return PlannedPath(contract, robot, Kinematics(robot))


def chunk_of(contract: Contract, seed: int, scale: float = 0.02) -> NDArray[np.float64]:
    shape = (contract.action.chunk_length, len(contract.action.names))
    return np.random.default_rng(seed).uniform(-scale, scale, shape)


def test_tool_deltas_add_up_from_the_reference() -> None:
    planned = path(PICK)
    assert planned.reference_names == ("tool_x", "tool_y", "tool_z", "tool_yaw")
    reference, chunk = np.array([0.4, -0.1, 0.3, 3.0]), chunk_of(PICK, 1)
    chunk[:, 3] = 0.1  # on beyond a half turn
    found = planned.poses(reference, chunk)
    expected = reference[:3] + np.vstack([np.zeros(3), np.cumsum(chunk[:, :3], axis=0)])
    np.testing.assert_allclose(found.positions, expected, atol=1e-12)
    yaw = 3.0 + 0.1 * np.arange(len(chunk) + 1)
    turns = Rotation.from_euler("z", yaw[:, None]) * Rotation.from_euler(
        "x", math.pi
    )  # points down
    apart = (Rotation.from_quat(found.quaternions).inv() * turns).magnitude()
    assert apart.max() < 1e-7


@pytest.mark.parametrize("frame", ["fr3_link0", "fr3_hand_tcp"])
def test_pose_deltas_move_along_their_frame(frame: str) -> None:
    axes = dict.fromkeys(["tool_x", "tool_y", "tool_z"], "m")
    axes |= dict.fromkeys(["tool_rx", "tool_ry", "tool_rz"], "rad")
    contract = acting("tool_pose_delta", axes, frame)
    chunk = chunk_of(contract, 2, 0.3)
    turn = Rotation.from_euler("xyz", [0.4, -1.1, 2.0])
    at = np.array([0.3, 0.2, 0.5])
    found = path(contract).poses(np.concatenate([at, turn.as_quat()]), chunk)
    for row, action in enumerate(chunk):
        assert np.allclose(found.positions[row], at, atol=1e-9)
        assert (Rotation.from_quat(found.quaternions[row]).inv() * turn).magnitude() < 1e-7
        step = Rotation.from_rotvec(action[3:])
        if frame == "fr3_link0":
            at, turn = at + action[:3], step * turn
        else:
            at, turn = at + turn.apply(action[:3]), turn * step
    assert np.allclose(found.positions[-1], at, atol=1e-9)


@pytest.mark.parametrize("kind", ["joint_position", "joint_delta"])
@pytest.mark.parametrize("gripper", [False, True])
def test_joints_go_through_the_kinematics(kind: str, gripper: bool) -> None:
    axes = dict.fromkeys(FR3.joints, "rad") | ({"gripper_width": "m"} if gripper else {})
    contract = acting(kind, axes)
    planned = path(contract)
    assert planned.reference_names == FR3.joints
    chunk = chunk_of(contract, 3, 0.05)
    if kind == "joint_position":
        chunk[:, :7] += FR3.home
    found = planned.poses(FR3.home, chunk)
    q = FR3.home
    for row in range(len(chunk) + 1):
        assert np.allclose(found.positions[row], ARM.fk(q).position, atol=1e-12)
        if row < len(chunk):
            q = chunk[row, :7] if kind == "joint_position" else q + chunk[row, :7]


@given(
    st.floats(-1.0, 1.0), st.floats(-1.0, 1.0),
    st.floats(-2.0, 2.0).filter(lambda w: abs(w) > 1e-3),
)  # fmt: skip
def test_a_base_drives_arcs_from_where_it_is(vx: float, vy: float, wz: float) -> None:
    contract = acting(
        "base_velocity", {"base_vx": "m/s", "base_vy": "m/s", "base_wz": "rad/s"}, "base", "go2"
    )
    planned = path(contract)
    assert planned.reference_names == ()
    length = contract.action.chunk_length
    found = planned.poses(np.empty(0), np.tile([vx, vy, wz], (length, 1)))
    angle = wz * contract.period_ns / 1e9 * np.arange(length + 1)
    # At constant velocities the way is a circle's arc.
    x = (vx * np.sin(angle) - vy * (1 - np.cos(angle))) / wz
    y = (vx * (1 - np.cos(angle)) + vy * np.sin(angle)) / wz
    expected = np.stack([x, y, np.zeros(length + 1)], axis=1)
    np.testing.assert_allclose(found.positions, expected, atol=1e-9)
    headings = Rotation.from_quat(found.quaternions).as_rotvec()[:, 2]
    np.testing.assert_allclose(np.sin(headings - angle), 0.0, atol=1e-9)


def test_what_has_no_way_to_show_is_refused() -> None:
    with pytest.raises(InputError, match="moves no robot"):
        PlannedPath(load_contract("plane"), FR3, ARM)
    with pytest.raises(InputError, match="moves a tool that go2 does not have"):
        PlannedPath(load_contract(GO2_SWAY), GO2, Kinematics(GO2))
