"""A wrong key, unit, range, duplicate or missing topic is one line naming file, key, remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.resources import resource

TEXT = resource("config/contracts/franka_pick.yaml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "key", "said"),
    [
        ("policy_hz: 20", "policy_herz: 20", "rates.policy_herz", "did you mean 'policy_hz'?"),
        ("policy_hz: 20", "policy_hz: 0", "rates.policy_hz", "greater than or equal to 1"),
        ("filter_hz: 100", "filter_hz: 110", "rates", "no multiple"),
        ("unit: rad, minimum", "unit: deg, minimum", "action.axes.3.unit", "found 'deg'"),
        ("tool_x, unit: m, minimum", "tool_x, unit: rad, minimum", "action", "write it in m"),
        ("minimum: 0.0, maximum: 0.08", "minimum: 0.1, maximum: 0.08", "axes.4", "not below"),
        ("maximum: 0.15}", "maximum: .inf}", "axes.3.maximum", "finite"),
        ("max_age_s: 0.10", "max_age_s: -1.0", "observation.2.max_age_s", "greater than 0"),
        ("max_age_s: 0.10", "max_age_s: soon", "observation.2.max_age_s", "valid number"),
        ("    topic: observation/state\n", "", "observation.2.topic", "is missing"),
        ("topic: observation/state", "topic: /observation/state", "topic", "leading slash"),
        ("topic: observation/state", "topic: safety/reference", "", "stands twice"),
        ("key: image_wrist", "key: image_scene", "", "stands twice"),
        ("topic: cameras/wrist", "topic: cameras/scene", "", "source topic"),
        ("x: 16, y: 0, width: 96", "x: 60, y: 0, width: 96", "observation.0", "crops outside"),
        ("robot: fr3", "robot: fr3\nrobot: ur5e", "", "'robot' stands twice"),
        ("max_delay: 6", "max_delay: 16", "action", "leaves nothing"),
        ("name: gripper_speed", "name: gripper_width", "observation.2", "selects a name twice"),
        ("contract: 1", "contract: 2", "contract", "found 2"),
        ("rates:", "rates: [", "", "line"),
    ],
)
def test_wrong_contract_is_one_line(
    tmp_path: Path, old: str, new: str, key: str, said: str
) -> None:
    assert old in TEXT
    path = tmp_path / "contract.yaml"
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        load_contract(path)
    line = str(caught.value)
    assert line.startswith(str(path))
    assert key in line
    assert said in line
    assert "\n" not in line
    assert "; " in line


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\xff\xfe", "UTF-8"), (b"- 1\n", "no mapping"), (b"", "no mapping"), (b"1: 2", "not text")],
)
def test_files_that_are_no_contract(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        load_contract(path)


def test_missing_file_and_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_contract(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="franka_pick"):
        load_contract("franka_pik")


def test_hash_follows_meaning_only(tmp_path: Path) -> None:
    path = tmp_path / "contract.yaml"
    path.write_text(TEXT.replace("time_limit_s: 6.0", "time_limit_s: 7.0"))
    shipped = load_contract("franka_pick").sha256
    assert load_contract(path).sha256 == shipped
    path.write_text(TEXT.replace("maximum: 0.15", "maximum: 0.16"))
    assert load_contract(path).sha256 != shipped


def test_shapes_and_bounds_of_the_shipped_contract() -> None:
    contract = load_contract("franka_pick")
    assert [s.shape for s in contract.streams] == [(64, 64, 3), (64, 64, 3), (6,), (5,)]
    assert contract.period_ns == 50_000_000
    assert (contract.action.minimum < contract.action.maximum).all()
