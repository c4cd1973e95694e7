"""The modes besides start: a simulator, stored states, demonstrations, robots without an arm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vla_rl_nodes.bags.durable import write_durably
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.episodes.reset.demonstration import Demonstration
from vla_rl_nodes.episodes.reset.kit import Kit, Pending, at_once, make_kit
from vla_rl_nodes.episodes.reset.run import ResetRun
from vla_rl_nodes.episodes.reset.seen import Phase
from vla_rl_nodes.episodes.reset.settings import Mode, ResetRequest, ResetSettings, mode_named
from vla_rl_nodes.episodes.reset.sources import RecordedStart, Sources
from vla_rl_nodes.episodes.reset.stored import StoredState, StoredStates
from vla_rl_nodes.episodes.reset.totals import Totals
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.limits import load_limits

from .fake_robot import UPRIGHT, FakeRobot

SEED = 5


def run_of(kit: Kit, mode: Mode, sources: Sources, seed: int = SEED) -> ResetRun:
    return ResetRun(kit, sources, ResetRequest(mode, seed), Totals(0.0))


class FakeSimulator:
    """Puts the fake robot's cube somewhere."""

    def __init__(self, robot: FakeRobot, refuses: str = "") -> None:
        self.robot, self.refuses = robot, refuses
        self.asked: list[object] = []

    def reset(self, seed: int) -> Pending[str]:
        self.asked.append(seed)
        self.robot.cube = [0.52, 0.01, 0.02, *UPRIGHT]
        return at_once(lambda: self.refuses)

    def restore(self, start: RecordedStart) -> Pending[str]:
        self.asked.append(start.sha256)
        self.robot.cube = list(start.state.values())
        return at_once(lambda: self.refuses)


class FakeRecordings:
    def __init__(self, cube: list[float]) -> None:
        names = [f"cube_{part}" for part in ("x", "y", "z", "qw", "qx", "qy", "qz")]
        self._start = RecordedStart("7-abc", dict(zip(names, cube, strict=True)), "feed")

    def start(self) -> RecordedStart:
        return self._start


def test_the_simulator_resets_and_the_arm_is_not_commanded(fake: FakeRobot) -> None:
    simulator = FakeSimulator(fake)
    run = run_of(fake.kit, Mode.SIMULATION, Sources(simulator=simulator))
    fake.cube = [0.9, 0.9, 0.02, *UPRIGHT]
    fake.run(run)
    assert run.done and simulator.asked == [SEED]
    assert not any(orders.active for orders in fake.orders)


def test_what_the_simulator_refuses_is_said(fake: FakeRobot) -> None:
    simulator = FakeSimulator(fake, refuses="the seed is odd")
    run = run_of(fake.kit, Mode.SIMULATION, Sources(simulator=simulator))
    fake.run(run, until="asking")
    assert run.progress.reason.endswith("the simulator refuses: the seed is odd")
    assert len(simulator.asked) == fake.kit.settings.attempts


def test_a_world_that_does_not_show_the_reset_fails(fake: FakeRobot) -> None:
    simulator = FakeSimulator(fake)
    run = run_of(fake.kit, Mode.SIMULATION, Sources(simulator=simulator))

    def gone(robot: FakeRobot) -> None:
        robot.cube = None

    fake.meddle = gone
    fake.run(run, until="asking")
    assert "sim/state is silent" in run.progress.reason


def test_a_recorded_start_is_restored_and_compared(fake: FakeRobot) -> None:
    cube = [0.44, -0.03, 0.02, *UPRIGHT]
    simulator = FakeSimulator(fake)
    sources = Sources(simulator=simulator, recordings=FakeRecordings(cube))
    run = run_of(fake.kit, Mode.RECORDED_START, sources)
    fake.run(run)
    assert run.done and simulator.asked == ["feed"]
    assert run.progress.start_sha256 == "feed"
    assert fake.cube == cube


def test_a_recorded_start_that_is_not_reached_fails(fake: FakeRobot) -> None:
    simulator = FakeSimulator(fake)
    sources = Sources(simulator=simulator, recordings=FakeRecordings([0.44, 0, 0.02, *UPRIGHT]))

    def push(robot: FakeRobot) -> None:
        assert robot.cube is not None
        robot.cube[0] = 0.5

    fake.meddle = push
    run = run_of(fake.kit, Mode.RECORDED_START, sources)
    fake.run(run, until="asking")
    assert "cube_x is 0.0600 from the recorded start" in run.progress.reason


def test_it_returns_to_a_stored_state_and_explores_round_it(
    fake: FakeRobot, tmp_path: Path
) -> None:
    robot = fake.kit.robot
    stored = StoredStates(tmp_path / "states.json", write_durably)
    where = robot.home + np.array([0.1, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0])
    joints = dict(zip(robot.joints, where.tolist(), strict=True))
    stored.add("there", StoredState(robot="fr3", joints=joints, gripper_width=0.05, stamp_ns=0))
    kit = replace(fake.kit, settings=replace(fake.kit.settings, perturb_rad=0.03))
    run = run_of(kit, Mode.RETURN_AND_EXPLORE, Sources(stored=stored))
    fake.run(run)
    assert run.done, run.progress
    away = np.abs(fake.q - where)
    assert 1e-3 < away.max() <= 0.03 + 1e-9
    assert abs(fake.width - 0.05) < 0.01


def test_a_bad_file_of_states_is_told_to_a_person(fake: FakeRobot, tmp_path: Path) -> None:
    path = tmp_path / "states.json"
    path.write_text("[]")
    run = run_of(
        fake.kit, Mode.RETURN_AND_EXPLORE, Sources(stored=StoredStates(path, write_durably))
    )
    fake.run(run, until="asking")
    assert str(path) in run.progress.reason
    assert not fake.orders[-1].active


class FakeDemonstrations:
    def __init__(self, demonstration: Demonstration) -> None:
        self._demonstration = demonstration

    def choose(self, seed: int) -> Demonstration:
        return self._demonstration


def demonstration(kit: Kit) -> Demonstration:
    way = np.linspace(0.0, 1.0, 60)[:, None] * np.array([0.3, 0.2, 0.0, 0.1, 0.0, 0.0, 0.0])
    widths = np.concatenate([np.full(30, 0.08), np.linspace(0.08, 0.03, 10), np.full(20, 0.03)])
    return Demonstration("demo", kit.robot.home + way, widths)


def test_it_goes_along_a_demonstration_up_to_a_drawn_point(fake: FakeRobot) -> None:
    demo = demonstration(fake.kit)
    ends = set()
    for seed in (1, 2):
        sources = Sources(demonstrations=FakeDemonstrations(demo), demo_share=1.0)
        run = run_of(fake.kit, Mode.DEMO_REPLAY, sources, seed)
        fake.run(run)
        assert run.done, run.progress
        gaps = np.abs(demo.joints - fake.q).max(axis=1)
        assert gaps.min() < 1e-6
        ends.add(int(np.argmin(gaps)))
    assert len(ends) == 2


def test_another_robots_demonstration_is_not_gone_along(fake: FakeRobot) -> None:
    other = Demonstration("demo", np.zeros((9, 6)), None)
    sources = Sources(demonstrations=FakeDemonstrations(other))
    run = run_of(fake.kit, Mode.DEMO_REPLAY, sources)
    fake.run(run, until="asking")
    assert "is of another robot" in run.progress.reason


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (Mode.RETURN_AND_EXPLORE, "no file of stored states is given"),
        (Mode.DEMO_REPLAY, "no folder of demonstrations is given"),
    ],
)
def test_what_was_not_given_is_asked_for(fake: FakeRobot, mode: Mode, words: str) -> None:
    run = run_of(fake.kit, mode, Sources())
    fake.run(run, until="asking")
    assert words in run.progress.reason


def test_legs_are_not_planned_for_but_a_person_may_help() -> None:
    contract = load_contract("test/graph/contracts/go2_sway.yaml")
    robot = load_robot(contract.robot)
    kit = make_kit(robot, contract, load_limits("go2"), None, ResetSettings(), at_once)
    fake = FakeRobot(kit)
    fake.cube = None
    run = run_of(kit, Mode.START, Sources())
    fake.run(run, until="asking")
    assert "go2 stands on legs: there is no arm whose way could be planned" in run.progress.reason
    assert not any(orders.active for orders in fake.orders)
    assert run.confirm()
    fake.run(run)
    assert run.progress.phase is Phase.DONE


def test_modes_have_names() -> None:
    assert mode_named("human_guided") is Mode.HUMAN_GUIDED
    with pytest.raises(InputError, match="give one of simulation, start"):
        mode_named("magic")
