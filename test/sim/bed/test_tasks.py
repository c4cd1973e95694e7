"""Each task can be done, is not done by itself, and ends in time."""

from __future__ import annotations

import numpy as np
import pytest

from vla_rl_nodes.sim.bed.arm import TASKS, ArmBed
from vla_rl_nodes.sim.bed.insert import CLEARANCE, DEEP, PEG_LENGTH


@pytest.fixture(scope="module", params=list(TASKS))
def bed(request: pytest.FixtureRequest) -> ArmBed:
    return ArmBed(request.param)


def test_the_expert_does_it_every_time(bed: ArmBed) -> None:
    for seed in range(12):
        bed.start(seed)
        step = bed.step(bed.expert())
        while not (step.terminated or step.truncated):
            assert step.reward == 0.0
            step = bed.step(bed.expert())
        assert step.terminated and step.reward == 1.0


def test_nobody_does_nothing(bed: ArmBed) -> None:
    for seed in range(3):
        bed.start(seed)
        ticks, ended = 0, False
        while not ended:
            step = bed.step(np.zeros(len(bed.actions)))
            ticks, ended = ticks + 1, step.terminated or step.truncated
        assert step.truncated and ticks == bed.limit and step.reward == 0.0


def test_less_is_left_when_the_expert_has_acted(bed: ArmBed) -> None:
    for seed in range(5):
        bed.start(seed)
        before = bed.task.left(bed.data, bed.tool)
        step = bed.step(bed.expert())
        while not step.terminated:
            step = bed.step(bed.expert())
        assert bed.task.left(bed.data, bed.tool) < 0.5 * before


def test_a_peg_beside_its_hole_does_not_go_in() -> None:
    bed = ArmBed("insert")
    aim = np.array([4 * CLEARANCE, 0.0, 0.0])
    for seed in range(5):
        bed.start(seed)
        step = bed.step(bed.expert(aim))
        while not step.truncated:
            assert not step.terminated
            step = bed.step(bed.expert(aim))
        tip = bed.tool[2] - PEG_LENGTH
        assert tip > bed.data.mocap_pos[0][2] + DEEP - 0.005  # it stands on the block


def test_a_cube_is_lifted_by_friction_alone() -> None:
    bed = ArmBed("pick")
    bed.start(0)
    step = bed.step(bed.expert())
    while not step.terminated:
        step = bed.step(bed.expert())
    action = np.array([0.0, 0.0, 0.0, 1.0])  # open
    for _ in range(20):
        bed.step(action)
    assert bed.data.body("cube").xpos[2] < 0.05
