"""What a reset commands where it moves the arm by its joints: an action of its own."""

from __future__ import annotations

from vla_rl_nodes.contract.spec import Action, Axis, Contract
from vla_rl_nodes.robots.model import Robot


def joint_action(robot: Robot, contract: Contract) -> Action | None:
    """Absolute positions of the arm's joints (rad) within their ranges, then the opening (m).

    None for a robot whose actions are of its base: nothing of its legs is commanded here.
    """
    if contract.action.kind == "base_velocity":
        return None
    axes = [
        Axis(name=joint.name, unit="rad", minimum=joint.position[0], maximum=joint.position[1])
        for joint in robot.axes
    ]
    if robot.gripper is not None:
        width = robot.gripper.width_max
        axes.append(Axis(name="gripper_width", unit="m", minimum=0.0, maximum=width))
    return Action(
        kind="joint_position", frame=robot.base_frame, chunk_length=1, max_delay=0, axes=axes
    )
