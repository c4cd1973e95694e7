"""A wrong safety file is one line that names the file, the key and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.resources import resource
from vla_rl_nodes.safety.limits import load_limits

TEXT = resource("config/safety/franka_pick.yaml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("gripper_speed: 0.1", "griper_speed: 0.1", "did you mean 'gripper_speed'?"),
        ("velocity_scale: 0.6", "velocity_scale: 1.2", "less than or equal to 1"),
        ("velocity_scale: 0.6", "velocity_scale: 0", "greater than 0"),
        ("acceleration_scale: 1.0", "acceleration_scale: .nan", "acceleration_scale"),
        ("z: [0.012, 0.60]", "z: [0.60, 0.012]", "z 0.6 is not below 0.012; swap or widen"),
        ("x: [0.25, 0.70]", "x: [-.inf, 0.70]", "finite"),
        ("  tool_yaw: 0.08", "  tool_yaw: -0.08", "greater than or equal to 0"),
        ("stop_after_s: 0.30", "stop_after_s: 0.10", "hold first, stop later"),
        ("tracking_error_max: 0.15", "", "is missing"),
        ("joint_state_timeout_s: 0.05", "joint_state_timeout_s: 0", "greater than 0"),
    ],
)
def test_a_wrong_safety_file_is_one_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in TEXT
    path = tmp_path / "mine.yaml"
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(InputError) as raised:
        load_limits(path)
    message = str(raised.value)
    assert said in message
    assert str(path) in message
    assert "\n" not in message


def test_the_shipped_box_is_above_the_table_with_the_fingers() -> None:
    limits = load_limits("franka_pick")
    assert limits.workspace.lower.tolist() == [0.25, -0.35, 0.012]
    assert limits.workspace.upper.tolist() == [0.70, 0.35, 0.60]
    # The pads' lower ends are 8.8 mm below the tool point (urdf/fr3.urdf).
    assert limits.workspace.lower[2] - limits.workspace_tolerance > 0.0088
