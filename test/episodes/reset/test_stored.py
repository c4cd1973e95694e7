"""States to go back to: strict, whole, and of this robot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vla_rl_nodes.bags.durable import write_durably
from vla_rl_nodes.episodes.reset.seen import NeedsPerson
from vla_rl_nodes.episodes.reset.stored import StoredState, StoredStates
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.load import load_robot

FR3 = load_robot("fr3")


def state(shift: float = 0.0, robot: str = "fr3") -> StoredState:
    joints = dict(zip(FR3.joints, (FR3.home + shift).tolist(), strict=True))
    return StoredState(robot=robot, joints=joints, gripper_width=0.05, stamp_ns=1)


@pytest.fixture
def states(tmp_path: Path) -> StoredStates:
    return StoredStates(tmp_path / "of" / "states.json", write_durably)


def test_what_is_stored_comes_back(states: StoredStates, tmp_path: Path) -> None:
    states.add("above", state(0.1))
    states.add("below", state(-0.1))
    again = StoredStates(tmp_path / "of" / "states.json", write_durably)
    assert list(again.load()) == ["above", "below"]
    name, found = again.choose("below", 0)
    assert name == "below"
    assert np.abs(found.positions(FR3) - (FR3.home - 0.1)).max() < 1e-12
    assert {again.choose("", seed)[0] for seed in range(20)} == {"above", "below"}


def test_none_or_another_is_left_to_a_person(states: StoredStates) -> None:
    with pytest.raises(NeedsPerson, match="no state is stored"):
        states.choose("", 0)
    states.add("here", state())
    with pytest.raises(NeedsPerson, match="no state 'there' is stored, only here"):
        states.choose("there", 0)


def test_another_robots_state_is_not_gone_to() -> None:
    with pytest.raises(NeedsPerson, match="of panda, not of fr3"):
        state(robot="panda").positions(FR3)
    with pytest.raises(NeedsPerson, match="outside the joints' ranges"):
        state(4.0).positions(FR3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "invalid json"),
        ('{"reset_states": 2, "states": {}}', "reset_states"),
        ('{"reset_states": 1, "states": {"a": {}}}', "states.a"),
        ('{"reset_states": 1, "states": {}, "more": 1}', "more"),
    ],
)
def test_a_damaged_file_is_refused_and_kept(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "states.json"
    path.write_text(text)
    states = StoredStates(path, write_durably)
    with pytest.raises(InputError, match=words) as caught:
        states.add("x", state())
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert path.read_text() == text


def test_a_bad_name_is_refused(states: StoredStates) -> None:
    with pytest.raises(InputError, match="state 'No Name'"):
        states.add("No Name", state())


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="no space left"):
        StoredStates(tmp_path / "states.json", full).add("x", state())
