"""The arm of the bed: repeatable, bounded, and not moved by nonsense."""

from __future__ import annotations

import numpy as np
import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.sim.bed.arm import AHEAD, TASKS, ArmBed
from vla_rl_nodes.sim.bed.task import CENTRE, HALF, STEP


@pytest.fixture(scope="module", params=list(TASKS))
def bed(request: pytest.FixtureRequest) -> ArmBed:
    return ArmBed(request.param)


def actions(bed: ArmBed, count: int) -> np.ndarray:
    return np.random.default_rng(3).uniform(-1.0, 1.0, (count, len(bed.actions)))


def test_the_same_seed_and_actions_give_the_same_bytes(bed: ArmBed) -> None:
    runs = []
    for _ in range(2):
        seen = [bed.start(7)]
        seen += [bed.step(action).seen for action in actions(bed, 15)]
        runs.append(np.stack(seen).tobytes())
    assert runs[0] == runs[1]
    assert bed.start(8).tobytes() != bed.start(7).tobytes()


def test_what_is_seen_has_names_and_is_of_order_one(bed: ArmBed) -> None:
    for seed in range(10):
        seen = bed.start(seed)
        assert seen.shape == (len(bed.sees),) and seen.dtype == np.float32
        assert np.abs(seen).max() < 3.0


def test_the_tool_begins_where_the_task_said_and_goes_no_further_than_the_box(
    bed: ArmBed,
) -> None:
    bed.start(1)
    outwards = np.ones(len(bed.actions))
    for _ in range(60):
        bed.step(outwards)
    assert (np.abs(bed.tool - CENTRE) < HALF + 0.005).all()


def test_an_action_of_one_moves_the_tool_by_a_step(bed: ArmBed) -> None:
    bed.start(2)
    action = np.zeros(len(bed.actions))
    for _ in range(10):
        bed.step(action)
    before = bed.tool
    action[0] = -1.0
    for _ in range(3):
        bed.step(action)
    action[0] = 0.0
    for _ in range(10):
        bed.step(action)
    moved = bed.tool - before
    assert moved[0] == pytest.approx(-3 * STEP, abs=0.002)
    assert np.abs(moved[1:]).max() < 0.002


def test_actions_beyond_one_count_as_one(bed: ArmBed) -> None:
    seen = []
    for size in (1.0, 50.0):
        bed.start(4)
        seen.append(bed.step(np.full(len(bed.actions), size)).seen)
    np.testing.assert_array_equal(seen[0], seen[1])


@pytest.mark.parametrize("bad", [np.zeros(2), np.full(3, np.nan), np.zeros((1, 3))])
def test_what_is_no_action_is_refused(bad: np.ndarray) -> None:
    bed = ArmBed("reach")
    bed.start(0)
    with pytest.raises(InputError, match="action: is not usable"):
        bed.step(bad)


def test_an_unknown_task_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="give one of reach, push, insert, pick"):
        ArmBed("fold")


def test_the_reference_does_not_run_away_from_a_tool_that_is_held() -> None:
    bed = ArmBed("insert")
    bed.start(0)
    down = np.array([0.0, 0.0, -1.0])
    for _ in range(40):  # the peg stands on the block, or on the table
        seen = bed.step(down).seen
    ahead = [name.startswith("ahead") for name in bed.sees]
    assert np.abs(seen[ahead]).max() <= 1.0 + 0.01 / AHEAD
