"""A wrong robot description is one line that names the file, the key and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.resources import resource
from vla_rl_nodes.robots.load import load_robot

TEXT = resource("config/robots/fr3.yaml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("effort: 12.0", "efort: 12.0", "did you mean 'effort'?"),
        ("home: 0.0", "home: 3.5", "is outside -2.9007..2.9007; move it inside"),
        ("position: [-1.8361, 1.8361]", "position: [1.8361, -1.8361]", "swap or widen"),
        ("velocity: 4.18", "velocity: 0", "greater than 0"),
        ("velocity: 4.18", "velocity: .nan", "velocity"),
        ("acceleration: 10.0", "acceleration: .inf", "finite"),
        ("name: fr3_joint3", "name: fr3_joint2", "'fr3_joint2' stands twice; keep one"),
        ("joint_states: franka/", "joint_states: /franka/", "without a leading slash"),
        ("  gripper_command: gripper_controller/commands\n", "", "add the topic"),
        ("urdf: urdf/fr3.urdf", "urdf: urdf/fr4.urdf", "urdf/fr4.urdf is neither beside"),
        ("urdf: urdf/fr3.urdf", "urdf: /nowhere/fr3.urdf", "/nowhere/fr3.urdf is not a file"),
        ("floating_base: false", "floating_base: maybe", "valid boolean"),
    ],
)
def test_a_wrong_description_is_one_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in TEXT
    path = tmp_path / "arm.yaml"
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(InputError) as raised:
        load_robot(path)
    message = str(raised.value)
    assert said in message
    assert str(path) in message
    assert "\n" not in message


def test_an_unknown_robot_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"fr4: is none of config/robots: fr3, go2, panda, ur5e"):
        load_robot("fr4")


def test_a_urdf_beside_the_description_comes_before_a_packaged_one(tmp_path: Path) -> None:
    (tmp_path / "arm.yaml").write_text(TEXT.replace("urdf: urdf/fr3.urdf", "urdf: mine.urdf"))
    (tmp_path / "mine.urdf").write_text("<robot name='mine'/>")
    assert Path(load_robot(tmp_path / "arm.yaml").urdf) == (tmp_path / "mine.urdf").resolve()
    assert Path(load_robot("fr3").urdf) == resource("urdf/fr3.urdf")


def test_topics_and_frames_are_the_drivers_ones() -> None:
    fr3, panda, ur5e = load_robot("fr3"), load_robot("panda"), load_robot("ur5e")
    assert fr3.topics.joint_states == "franka/joint_states"
    assert fr3.topics.trajectory_command == "fr3_arm_controller/joint_trajectory"
    assert fr3.topics.gripper_command == "gripper_controller/commands"
    assert (fr3.base_frame, fr3.tool_frame) == ("fr3_link0", "fr3_hand_tcp")
    assert panda.topics.gripper_joint_states == "panda_gripper/joint_states"
    assert panda.topics.trajectory_command == "panda_arm_controller/joint_trajectory"
    assert (panda.base_frame, panda.tool_frame) == ("panda_link0", "panda_hand_tcp")
    assert ur5e.topics.wrench == "force_torque_sensor_broadcaster/wrench"
    assert ur5e.gripper is None
    assert ur5e.topics.gripper_command is None
