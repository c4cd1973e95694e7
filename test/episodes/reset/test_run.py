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


def test_what_is_cancelled_before_it_begins_takes_no_command(fake: FakeRobot) -> None:
    run = started(fake)
    assert run.cancel()
    fake.run(run)
    assert run.progress.phase is Phase.CANCELLED
    assert not any(orders.active for orders in fake.orders)


@pytest.mark.parametrize(("told", "held"), [(0.0, 0.0), (0.08, 0.08), (None, 0.05)])
def test_the_gripper_stays_where_it_was_sent(
    fake: FakeRobot, told: float | None, held: float
) -> None:
    """What it was sent to is another opening than what is measured, where it holds something."""
    fake.cube, fake.width, fake.q[0] = None, 0.05, 0.4
    fake.command, fake.tells_opening = told or 0.0, told is not None
    fake.meddle = lambda robot: setattr(robot, "width", 0.05)
    run = started(fake)
    while not run.progress.plans:
        fake.obey(run.tick(fake.look()))
        if run.progress.step == "gripper":
            break
    openings = {orders.width for orders in fake.orders if orders.width is not None}
    assert held in openings and openings <= {held, 0.08}


def test_a_long_pause_is_no_time_to_come_to_rest_in(fake: FakeRobot) -> None:
    fake.q[0] = 0.4
    since: list[float] = []

    def pause(robot: FakeRobot) -> None:
        orders = robot.orders[-1].joints
        there = orders is not None and np.abs(orders - goal(robot.kit)).max() < 1e-9
        if there and not since:
            since.append(robot.now)
            robot.q[0] += 0.05  # not yet there
        robot.reasons = {"paused"} if since and robot.now - since[0] < 5.0 else set()

    fake.meddle = pause
    run = started(fake)
    fake.run(run)
    assert since and run.done and run.progress.attempt == 1


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
        ({"state": "stopping", "source": "", "reasons": {"stale_command"}}, "is stopping: stale"),
        ({"state": "stopped", "source": "", "reasons": {"stale_command"}}, "is stopped: stale"),
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
            robot.reasons = set()
            if robot.state != "armed":
                robot.state, robot.source = "disarmed", ""

    fake.meddle = meddle
    run = started(fake)
    fake.run(run)
    assert run.done
    if words:
        assert len(run.progress.failed) == 1
        assert words in run.progress.failed[0]


def moving(fake: FakeRobot, **trouble: Any) -> ResetRun:
    """A reset whose first motion meets with trouble."""
    fake.q = fake.kit.robot.home + np.array([0.5, 0.0, 0.0, 0.4, 0.0, 0.0, 0.0])
    before = fake.q.copy()

    def meddle(robot: FakeRobot) -> None:
        # Under way, as a hand that gets in between does.
        if not run.progress.failed and run.progress.plans and np.abs(robot.q - before).max() > 0.1:
            for name, value in trouble.items():
                setattr(robot, name, value)

    fake.meddle = meddle
    run = started(fake)
    return run


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ({"state": "faulted", "source": "", "reasons": {"e_stop"}, "latched": True},
         "the safety filter is faulted: e_stop"),
        ({"state": "stopping", "source": "", "reasons": {"wrench"}}, "is stopping: wrench"),
        ({"state": "stopping", "source": "", "reasons": {"wrench", "stale_command"}},
         "is stopping: stale_command, wrench"),
        ({"state": "holding", "reasons": {"wrench"}}, "is holding: wrench"),
        ({"state": "stopping", "source": "", "reasons": {"tracking_error"}}, "tracking_error"),
        ({"state": "faulted", "source": "", "reasons": {"clock_jump"}}, "is faulted: clock_jump"),
        ({"state": "faulted", "source": "", "reasons": {"stale_state"}}, "stale_state"),
        ({"state": "faulted", "source": "", "reasons": {"stale_command"}}, "is faulted"),
        ({"state": "stopping", "source": "", "reasons": {"disarmed"}}, "is stopping: disarmed"),
        ({"state": "disarmed", "source": ""}, "is disarmed"),
        ({"silent": True}, "the joint states are silent"),
        ({"sticks": 3}, "behind what was commanded: what holds it?"),
    ],
)  # fmt: skip
def test_what_was_stopped_moves_again_only_when_a_person_has_said_so(
    fake: FakeRobot, trouble: dict[str, Any], words: str
) -> None:
    run = moving(fake, **trouble)
    fake.run(run, until="asking")
    assert run.progress.phase is Phase.ASKING and run.progress.attempt == 1
    assert words in run.progress.reason and run.progress.reason.endswith("then confirm")
    # Whatever it was is over: nothing goes on by itself.
    fake.silent, fake.sticks, fake.latched, fake.reasons = False, None, False, set()
    fake.state, fake.source = "disarmed", ""
    told = len(fake.orders)
    fake.run(run, limit_s=20.0)
    assert run.progress.phase is Phase.ASKING
    assert not any(orders.active for orders in fake.orders[told:])
    assert run.confirm()
    fake.run(run)
    assert run.done and run.progress.attempt == 2
    assert np.abs(fake.q - goal(fake.kit)).max() < 1e-6


def test_a_person_who_takes_a_reset_over_keeps_the_robot_until_he_confirms(
    fake: FakeRobot,
) -> None:
    run = moving(fake, source="intervention")
    fake.run(run, until="asking")
    said = "a person took over; confirm when the reset may go on"
    assert run.progress.reason == said
    told = len(fake.orders)
    fake.run(run, limit_s=3.0)
    # He is not disarmed under his hands, and nobody else commands.
    assert all(orders.active and orders.joints is None for orders in fake.orders[told:])
    fake.source = "reset"
    fake.run(run, limit_s=20.0)
    assert run.progress.phase is Phase.ASKING and not fake.orders[-1].active
    assert run.confirm()
    fake.run(run)
    assert run.done


def test_who_takes_over_before_the_first_motion_is_asked_too(fake: FakeRobot) -> None:
    fake.arms = False
    run = started(fake)
    fake.obey(run.tick(fake.look()))
    fake.obey(run.tick(fake.look()))
    fake.state, fake.source = "armed", "intervention"
    fake.run(run, until="asking")
    assert "a person took over" in run.progress.reason


def test_who_has_the_robot_already_is_waited_for(fake: FakeRobot) -> None:
    fake.arms = False
    fake.state, fake.source = "armed", "intervention"
    run = started(fake)
    fake.run(run, limit_s=10.0)
    assert run.progress.step == "take command" and run.progress.attempt == 1
    fake.source = "reset"
    fake.run(run)
    assert run.done


@pytest.mark.parametrize(
    ("trouble", "words"),
    [({"latched": True}, "is disarmed: e_stop"),
     ({"state": "stopped", "reasons": {"wrench"}}, "is stopped: wrench"),
     ({"note": "a force of 30 N is on the tool"}, "is disarmed: a force of 30 N is on the tool")],
)  # fmt: skip
def test_a_filter_that_refuses_to_be_armed_is_asked_about_at_once(
    fake: FakeRobot, trouble: dict[str, Any], words: str
) -> None:
    fake.arms = False
    for name, value in trouble.items():
        setattr(fake, name, value)
    run = started(fake)
    fake.run(run, until="asking")
    assert words in run.progress.reason and run.progress.attempt == 1


def test_a_confirmation_at_once_still_leaves_the_filter_time_to_let_go(fake: FakeRobot) -> None:
    """It takes a reset that is active again within a second for the one that was stopped."""
    run = moving(fake, state="faulted", source="", reasons={"wrench"})
    fake.run(run, until="asking")
    fake.meddle = lambda robot: None
    assert run.confirm()
    began, told = fake.now, len(fake.orders)
    while not fake.orders[-1].active or len(fake.orders) == told:
        fake.obey(run.tick(fake.look()))
    assert fake.now - began > 1.0
    fake.run(run)
    assert run.done


def test_who_has_looked_at_a_stop_has_not_looked_for_the_cube(fake: FakeRobot) -> None:
    fake.cube = None
    run = moving(fake, state="faulted", source="", reasons={"wrench"})
    fake.run(run, until="asking")
    fake.meddle = lambda robot: None
    assert "wrench" in run.progress.reason and run.confirm()
    fake.run(run, until="moving")
    fake.run(run, until="asking")
    assert "nobody sees the cube" in run.progress.reason


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


def test_a_stop_while_a_person_guides_the_arm_is_asked_about(fake: FakeRobot) -> None:
    run = started(fake, Mode.HUMAN_GUIDED)
    fake.run(run, limit_s=0.3)
    fake.state, fake.source, fake.reasons = "faulted", "", {"wrench"}
    fake.obey(run.tick(fake.look()))
    assert run.progress.phase is Phase.ASKING and "faulted: wrench" in run.progress.reason
    fake.run(run, limit_s=1.0)
    assert not fake.orders[-1].active and fake.state == "disarmed"
    assert run.confirm()
    fake.run(run, limit_s=1.0)
    assert fake.orders[-1].active and run.progress.reason.startswith("bring the robot")
    assert run.confirm()
    fake.run(run)
    assert run.done
