"""Pushes at full speed with physics on: nothing touches, as the simulator measures it."""

from __future__ import annotations

from itertools import product

import mujoco
import numpy as np
import pytest

from vla_rl_nodes.bench.safety_physics.aims import Aim, Aims
from vla_rl_nodes.bench.safety_physics.measure import LOOK, Meter
from vla_rl_nodes.bench.safety_physics.push import run_unfiltered
from vla_rl_nodes.bench.safety_physics.run import ROBOTS, PhysicsOptions, push_robot
from vla_rl_nodes.bench.safety_physics.setting import STIFF, Setting, contracts, load_setting
from vla_rl_nodes.safety.clearance import Clearance

STATES, SECONDS, TARGETS = 12, 1.2, 2


@pytest.mark.parametrize("name", ROBOTS)
def test_pushed_at_full_speed_nothing_touches_or_comes_too_close(name: str) -> None:
    found = push_robot(name, PhysicsOptions(STATES, seed=1, seconds=SECONDS, targets=TARGETS))
    assert found["trials"] == STATES * TARGETS
    assert found["bad"] == []
    assert found["contacts"] == found["too_close"] == found["outside"] == found["faults"] == 0
    # It was really pushed: fast, and against what it was pushed at.
    assert found["full_speed_share"] > 0.5
    rooms = (found["all"]["table_room_mm"], found["all"]["body_room_mm"])
    assert min(room for room in rooms if room is not None) < 1.0
    assert "joint_velocity" in found["all"]["reasons"]
    if name != "ur5e":  # whose joints turn twice round: too far for a short push
        assert "joint_position" in found["all"]["reasons"]
    # The same pushes do touch when no filter is in the way.
    assert found["unfiltered"]["trials"] > 0
    assert found["unfiltered"]["with_contact"] == found["unfiltered"]["trials"]


@pytest.mark.parametrize("name", ROBOTS)
def test_without_the_filter_the_simulator_measures_overlap(name: str) -> None:
    setting = load_setting(name)
    meter = Meter(setting)
    aims = Aims(setting, meter, np.random.default_rng(5))
    start = aims.start(contracts(setting.robot)[0])
    for aim in (a for a in aims.kinds if a in (Aim.TABLE, Aim.BODY)):
        peaks = run_unfiltered(setting, meter, aims.push(aim, start, 0), 0.3)
        assert peaks.contacts > 0
        assert peaks.touching
        assert min(peaks.room.values()) < -STIFF


@pytest.mark.parametrize("name", ROBOTS)
def test_starts_are_free_and_goals_are_not(name: str) -> None:
    setting = load_setting(name)
    meter = Meter(setting)
    robot = setting.robot
    for seed, contract in enumerate(contracts(robot)[:5]):
        aims = Aims(setting, meter, np.random.default_rng(seed))
        start = aims.start(contract)
        assert ((start >= robot.position_min) & (start <= robot.position_max)).all()
        for table in (True, False):
            assert meter.least_room(start, table=table) > STIFF
        if robot.tool_frame is not None:
            assert meter.outside(meter.tool(meter.look(start))) < 0.0
        for aim in aims.kinds:
            goal = aims.push(aim, start, seed).goal
            if aim in (Aim.TABLE, Aim.BODY):
                assert meter.least_room(goal, table=aim is Aim.TABLE) < 0.0
            elif aim is Aim.STOP:
                assert ((goal < robot.position_min) | (goal > robot.position_max)).sum() == 1


def test_the_meter_measures_a_hand_above_the_table() -> None:
    """The tool 9 mm above the fingers' ends points down: its height tells the distance."""
    setting = load_setting("fr3")
    meter = Meter(setting)
    aims = Aims(setting, meter, np.random.default_rng(0))
    contract = next(c for c in contracts(setting.robot) if c.action.kind == "tool_delta")
    low = _lowest(setting, [aims.start(contract) for _ in range(20)])
    height = float(meter.tool(meter.look(low))[2])
    plane = setting.limits.planes[0]
    expected = min(height - 0.009 - plane.tool_margin, LOOK)
    assert meter.least_room(low, table=True) == pytest.approx(expected, abs=2e-3)
    setting.place(low)
    meter.restart()
    setting.world.step()
    meter.step()
    assert meter.peaks.room[True] == pytest.approx(meter.least_room(low, table=True), abs=2e-4)
    assert meter.peaks.contacts == 0
    assert meter.peaks.box < 0.0


@pytest.mark.parametrize("name", ["fr3", "ur5e", "go2"])
def test_mujoco_and_the_filter_measure_the_same_distances(name: str) -> None:
    setting = load_setting(name)
    meter, clearance = Meter(setting), Clearance(setting.robot, setting.limits)
    random, robot, compared = np.random.default_rng(0), setting.robot, 0
    for _ in range(200):
        q = random.uniform(robot.position_min, robot.position_max)
        expected = float((clearance.distances(q) - clearance.margins).min())
        if 0.0 <= expected < LOOK:
            compared += 1
            rooms = [meter.least_room(q, table=table) for table in (True, False)]
            assert min(rooms) == pytest.approx(expected, abs=1e-5)
    assert compared > 3


def test_every_part_is_measured_that_mujoco_lets_touch() -> None:
    """Each contact in random overlapping configurations is of a pair whose distance is taken."""
    setting = load_setting("ur5e")
    meter = Meter(setting)
    known = {frozenset((pair.one, pair.other)) for pair in meter.pairs}
    model, data = setting.world.model, setting.world.data
    random, robot = np.random.default_rng(3), setting.robot
    seen = 0
    for _ in range(200):
        setting.place(random.uniform(robot.position_min, robot.position_max))
        mujoco.mj_forward(model, data)
        for one, other in data.contact.geom:
            seen += 1
            assert frozenset((int(one), int(other))) in known
    assert seen > 50


def test_the_same_seed_gives_the_same_figures() -> None:
    options = PhysicsOptions(1, seed=7, seconds=0.2, targets=1)
    assert push_robot("ur5e", options) == push_robot("ur5e", options)


def test_contracts_cover_every_kind_of_action_of_an_arm() -> None:
    setting = load_setting("fr3")
    found = {(c.action.kind, c.action.frame) for c in contracts(setting.robot)}
    kinds = {"joint_position", "joint_delta", "tool_pose_delta", "tool_delta"}
    assert {kind for kind, _ in found} == kinds
    assert ("tool_pose_delta", setting.robot.tool_frame) in set(
        product({"tool_pose_delta"}, {frame for _, frame in found})
    )


def _lowest(setting: Setting, configurations: list[np.ndarray]) -> np.ndarray:
    meter = Meter(setting)
    return min(configurations, key=lambda q: float(meter.tool(meter.look(q))[2]))
