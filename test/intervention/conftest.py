"""Contracts of every kind of action, made from the ones that there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Action, Axis, Contract
from vla_rl_nodes.robots.load import load_robot

GRAPH = Path(__file__).resolve().parents[1] / "graph" / "contracts"


def with_action(kind: str, frame: str, axes: list[Axis], robot: str = "fr3") -> Contract:
    """The shipped contract with another action."""
    action = Action.model_validate(
        {"kind": kind, "frame": frame, "chunk_length": 8, "max_delay": 2,
         "axes": [axis.model_dump() for axis in axes]}
    )  # fmt: skip
    return load_contract("franka_pick").model_copy(update={"action": action, "robot": robot})


def axis(name: str, unit: str, low: float, high: float) -> Axis:
    """One axis."""
    return Axis.model_validate({"name": name, "unit": unit, "minimum": low, "maximum": high})


def make(kind: str) -> Contract:
    """A contract of a kind; tool_pose_delta in the base's frame or, with _tool, in the tool's."""
    fr3 = load_robot("fr3")
    width = axis("gripper_width", "m", 0.0, 0.08)
    if kind == "tool_delta":
        return load_contract("franka_pick")
    if kind.startswith("tool_pose_delta"):
        frame = "fr3_hand_tcp" if kind.endswith("_tool") else "fr3_link0"
        way = [axis(f"tool_{a}", "m", -0.01, 0.01) for a in "xyz"]
        turn = [axis(f"tool_r{a}", "rad", -0.05, 0.05) for a in "xyz"]
        return with_action("tool_pose_delta", frame, [*way, *turn, width])
    if kind == "joint_delta":
        axes = [axis(name, "rad", -0.05, 0.05) for name in fr3.joints]
        return with_action("joint_delta", "fr3_link0", [*axes, width])
    if kind == "joint_position":
        rows = [axis(j.name, "rad", *j.position) for j in fr3.axes]
        return with_action("joint_position", "fr3_link0", [*rows, width])
    assert kind == "base_velocity"
    axes = [axis("base_vx", "m/s", -0.5, 0.6), axis("base_vy", "m/s", -0.3, 0.3),
            axis("base_wz", "rad/s", -0.8, 0.8)]  # fmt: skip
    return with_action("base_velocity", "base", axes, "go2")


KINDS = ["tool_delta", "tool_pose_delta", "tool_pose_delta_tool", "joint_delta",
         "joint_position", "base_velocity"]  # fmt: skip
ARM_KINDS = KINDS[:-1]


@pytest.fixture(params=KINDS)
def any_contract(request: pytest.FixtureRequest) -> Contract:
    """One contract of every kind of action."""
    return make(request.param)


@pytest.fixture(params=ARM_KINDS)
def arm_contract(request: pytest.FixtureRequest) -> Contract:
    """One contract of every kind that moves an arm."""
    return make(request.param)
