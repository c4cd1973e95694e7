"""A reset from request to end: attempts, other plans, questions, and what ends them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.episodes.reset.draw import draw
from vla_rl_nodes.episodes.reset.kit import Kit, at_once, make_kit
from vla_rl_nodes.episodes.reset.run import ResetRun
from vla_rl_nodes.episodes.reset.seen import Phase
from vla_rl_nodes.episodes.reset.settings import Mode, ResetRequest
from vla_rl_nodes.episodes.reset.sources import Sources
from vla_rl_nodes.episodes.reset.totals import Totals
from vla_rl_nodes.safety.limits import Obstacle

from .fake_robot import UPRIGHT, FakeRobot

SEED = 7


def started(
    fake: FakeRobot, mode: Mode = Mode.START, sources: Sources | None = None, **settings: Any
) -> ResetRun:
    assert fake.kit.script is not None
    kit = replace(fake.kit, settings=replace(fake.kit.settings, **settings))
    totals = Totals(fake.now)
    run = ResetRun(kit, sources or Sources(), ResetRequest(mode, SEED), totals)
    fake.totals = totals  # type: ignore[attr-defined]
    return run


def goal(kit: Kit) -> np.ndarray:
    assert kit.script is not None
    return draw(kit.robot, kit.kinematics, kit.script, SEED).joints


def test_the_arm_goes_to_the_seeds_start(fake: FakeRobot) -> None:
    run = started(fake)
    fake.run(run)
    assert run.done
    assert run.answer.startswith("mode=start attempts=1 seconds=")
    assert np.abs(fake.q - goal(fake.kit)).max() < 1e-6
    assert not fake.orders[-1].active
    assert {"planning", "moving", "verifying", "done"} >= set(fake.phases)
    assert fake.phases[-1] == "done"


def test_a_fallen_cube_is_put_into_its_area(fake: FakeRobot) -> None:
    fake.cube = [0.62, 0.25, 0.02, *UPRIGHT]
    run = started(fake)
    fake.run(run)
    assert run.done, run.progress
    assert fake.cube is not None
    assert abs(fake.cube[0] - 0.5) <= 0.105 and abs(fake.cube[1]) <= 0.105
    assert fake.width > 0.07


def test_a_held_cube_is_put_down_first(fake: FakeRobot) -> None:
    fake.cube = [*fake.kit.tool.fk(fake.q).position.tolist(), *UPRIGHT]
    fake.width, fake.command, fake.holding = 0.04, 0.0, True
    run = started(fake)
    fake.run(run)
    assert run.done, run.progress
    assert fake.cube is not None and abs(fake.cube[2] - 0.02) < 1e-6


def test_a_cube_that_is_pushed_away_at_the_end_is_put_back_again(fake: FakeRobot) -> None:
    pushes = iter([True])

    def push(robot: FakeRobot) -> None:
        if run.progress.step == "go to the start" and next(pushes, False):
            robot.cube = [0.62, 0.25, 0.02, *UPRIGHT]

    fake.meddle = push
    run = started(fake)
    fake.run(run)
    assert run.done and run.progress.attempt == 2
    assert "outside its area" in run.progress.failed[0]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ((0.16, -0.29, 0.02), "cannot be reached: the tool would be outside the workspace"),
        ((0.85, 0.0, 0.02), "cannot be reached: out of the arm's reach"),
        ((0.50, 0.0, -0.70), "below what it belongs on"),
    ],
)
def test_what_cannot_be_reached_is_asked_for_at_once(
    fake: FakeRobot, place: tuple[float, float, float], words: str
) -> None:
    fake.cube = [*place, *UPRIGHT]
    run = started(fake)
    fake.run(run, until="asking")
    assert run.progress.phase is Phase.ASKING
    assert words in run.progress.reason
    assert run.progress.attempt == 1
    assert not fake.orders[-1].active and not run.tick(fake.look()).active


def test_a_place_that_is_blocked_is_drawn_anew(fake: FakeRobot) -> None:
    kit = fake.kit
    assert kit.script is not None
    place = draw(kit.robot, kit.kinematics, kit.script, SEED).places["cube"]
    box = Obstacle(
        name="box", centre=[place.x, place.y, 0.04], size=[0.03, 0.03, 0.08], margin=0.02,
        tool_margin=0.005,
    )  # fmt: skip
    limits = kit.limits.model_copy(update={"obstacles": [box]})
    fake.kit = make_kit(kit.robot, kit.contract, limits, kit.script, kit.settings, at_once)
    fake.cube = [0.62, 0.28, 0.02, *UPRIGHT]
    run = started(fake)
    fake.run(run)
    assert run.done, run.progress
    assert "place is at" in run.progress.failed[0] and "of box" in run.progress.failed[0]


def test_after_a_person_has_helped_all_is_checked_again(fake: FakeRobot) -> None:
    fake.cube = [0.85, 0.0, 0.02, *UPRIGHT]
    run = started(fake)
    fake.run(run, until="asking")
    assert run.confirm()  # without having helped
    fake.run(run, until="asking")
    assert run.progress.phase is Phase.ASKING
    fake.cube = [0.50, 0.05, 0.02, *UPRIGHT]
    assert run.confirm()
    fake.run(run)
    assert run.done
    totals: Totals = fake.totals  # type: ignore[attr-defined]
    assert (totals.resets, totals.failures, totals.asked) == (1, 0, 2)
    assert totals.per_failure == 0.5


def test_nobody_comes(fake: FakeRobot) -> None:
    run = started(fake, Mode.PERSON, ask_limit_s=3.0)
    fake.run(run)
    assert run.progress.phase is Phase.FAILED
    assert "nobody came within 3 s" in run.answer


def test_for_ever_means_for_ever(fake: FakeRobot) -> None:
    run = started(fake, Mode.PERSON)
    fake.run(run, limit_s=200.0)
    assert run.progress.phase is Phase.ASKING


def test_confirming_when_nobody_was_asked_does_nothing(fake: FakeRobot) -> None:
    run = started(fake)
    assert not run.confirm()
    fake.run(run)
    assert not run.confirm()


def test_a_cancel_gives_back_command(fake: FakeRobot) -> None:
    run = started(fake)
    for _ in range(6):
        fake.obey(run.tick(fake.look()))
    assert fake.orders[-1].active
    assert run.cancel()
    fake.obey(run.tick(fake.look()))
    assert not fake.orders[-1].active
    assert run.progress.phase is Phase.CANCELLED
    assert not run.cancel()


def test_a_plan_that_the_filter_shortens_is_not_tried_again_first(fake: FakeRobot) -> None:
    fake.q[0] = 0.4

    def shorten(robot: FakeRobot) -> None:
        moves = bool(run.progress.plans) and run.progress.attempt == 1
        robot.reasons = {"collision"} if moves and not run.progress.failed else set()

    fake.meddle = shorten
    run = started(fake)
    fake.run(run)
    assert run.done
    assert run.progress.plans == ["direct", "lift"]
    assert run.progress.failed == ["plan direct: the filter shortened the motion: collision"]
    assert run.answer.startswith("mode=start attempts=2 ")


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ({"state": "faulted", "source": "", "reasons": {"wrench"}}, "is faulted: wrench"),
        ({"state": "stopping", "source": "", "reasons": set()}, "is stopping"),
        ({"source": "intervention"}, "a person took over"),
        ({"silent": True}, "the joint states are silent"),
        ({"sticks": 3}, "behind what was commanded"),
        ({"reasons": {"workspace"}}, "shortened the motion: workspace"),
        ({"width": None}, ""),
    ],
)
def test_trouble_ends_the_attempt_with_its_reason(
    fake: FakeRobot, trouble: dict[str, Any], words: str
) -> None:
    fake.q = fake.kit.robot.home + np.array([0.5, 0.0, 0.0, 0.4, 0.0, 0.0, 0.0])

    def meddle(robot: FakeRobot) -> None:
        if run.progress.plans and run.progress.attempt == 1 and not run.progress.failed:
            for name, value in trouble.items():
                if name != "width":
                    setattr(robot, name, value)
        elif run.progress.failed:
            robot.silent, robot.sticks, robot.reasons = False, None, set()
            if robot.source == "intervention":
                robot.source = "reset"
            if robot.state != "armed":
                robot.state, robot.source = "disarmed", ""

    fake.meddle = meddle
    run = started(fake)
    fake.run(run)
    assert run.done
    if words:
        assert len(run.progress.failed) == 1
        assert words in run.progress.failed[0]


def test_a_filter_that_is_not_armed_is_said_so(fake: FakeRobot) -> None:
    fake.arms = False
    run = started(fake, attempts=2)
    fake.run(run, until="asking")
    assert run.progress.reason == ("2 attempts failed, the last: the safety filter is disarmed")


def test_paused_it_waits_and_goes_on(fake: FakeRobot) -> None:
    fake.q[0] = 0.4
    ticks = [0]

    def pause(robot: FakeRobot) -> None:
        ticks[0] += bool(run.progress.plans)
        robot.reasons = {"paused"} if 5 < ticks[0] < 60 else set()

    fake.meddle = pause
    run = started(fake)
    fake.run(run)
    assert run.done and run.progress.attempt == 1
    assert run.seconds > 55 * fake.kit.period_s


def test_an_object_that_nobody_sees_is_left_to_a_person(fake: FakeRobot) -> None:
    fake.cube = None
    run = started(fake)
    fake.run(run, until="asking")
    assert "nobody sees the cube" in run.progress.reason
    assert run.confirm()
    fake.run(run)
    assert run.done


def test_recorded_start_without_a_simulator_is_refused(fake: FakeRobot) -> None:
    run = started(fake, Mode.RECORDED_START)
    fake.run(run)
    assert run.progress.phase is Phase.FAILED
    assert "needs a simulator: there is none, this may be hardware" in run.answer
    assert not any(orders.active for orders in fake.orders)


def test_a_person_guides_the_arm(fake: FakeRobot) -> None:
    run = started(fake, Mode.HUMAN_GUIDED)
    for _ in range(5):
        fake.obey(run.tick(fake.look()))
    assert run.progress.phase is Phase.ASKING
    assert fake.orders[-1].active
    assert fake.orders[-1].joints is not None
    fake.source = "intervention"
    fake.q = fake.kit.robot.home + 0.1
    fake.obey(run.tick(fake.look()))
    assert fake.orders[-1].active and fake.orders[-1].joints is None
    fake.source = "reset"
    fake.run(run, limit_s=1.0)
    held = fake.orders[-1].joints
    assert held is not None and np.abs(held - fake.q).max() < 1e-9
    assert run.confirm()
    fake.run(run)
    assert run.done
    assert np.abs(fake.q - fake.kit.robot.home - 0.1).max() < 1e-9
    assert not fake.orders[-1].active
