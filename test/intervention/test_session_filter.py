"""A filter that does not follow: disarmed, waiting, or with somebody else in command."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.intervention.session import State
from vla_rl_nodes.safety.state import Instant

from .hands import REST, leader, spacemouse
from .said import Play, changed, joy

PUSH = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
FULL = 0.25 / 20


def disarmed(play: Play, off: bool) -> None:
    play.reference = None if off else play.home()


def deaf(play: Play, off: bool) -> None:
    play.listens = not off


def waiting(play: Play, off: bool) -> None:
    play.waits = off


WAYS = pytest.mark.parametrize("off", [disarmed, deaf, waiting])


@WAYS
def test_what_is_pushed_all_the_time_must_be_let_go_first(
    contract: Contract, off: Callable[[Play, bool], None]
) -> None:
    play, hand = spacemouse(contract)
    hand.push = PUSH
    play.run(0.5)
    assert play.actions[-1][0] > 0.9 * FULL
    off(play, True)
    play.run(1.0)
    off(play, False)
    at = len(play.actions)
    play.run(1.0)
    assert len(play.actions) - at >= 19  # he has the robot, and it stands
    assert not np.array(play.actions[at:])[:, :4].any()
    assert play.session.state is State.ACTIVE and "let go first" in play.session.reason
    hand.push = REST
    play.run(0.1)
    hand.push = PUSH
    at = len(play.actions)
    play.run(0.5)
    sizes = [action[0] for action in play.actions[at:]]
    assert sizes[0] < 0.5 * FULL and sizes[-1] > 0.9 * FULL  # by the ramp


@WAYS
def test_what_is_let_go_meanwhile_is_given_back(
    contract: Contract, off: Callable[[Play, bool], None]
) -> None:
    play, hand = spacemouse(contract)
    hand.push = PUSH
    play.run(0.5)
    off(play, True)
    play.run(0.2)
    hand.push = REST
    play.run(0.7)
    assert play.session.state is State.IDLE and not play.session.in_command


def test_who_takes_over_is_followed_by_the_ramp_once_the_filter_is_there(
    contract: Contract,
) -> None:
    """It takes a moment to turn to him, and from a reset's motion it comes to rest first."""
    play, hand = spacemouse(contract)
    play.listens, play.reference = False, None
    hand.push = PUSH
    play.run(0.6)
    play.listens, play.reference = True, play.home()
    play.run(0.5)
    sizes = [action[0] for action in play.actions]
    assert sizes[0] < 0.5 * FULL and sizes[-1] > 0.9 * FULL


def test_who_pushes_a_disarmed_robot_does_not_drive_it_when_it_is_armed(
    contract: Contract,
) -> None:
    play, hand = spacemouse(contract)
    play.reference = None
    hand.push = PUSH
    play.run(2.0)
    play.reference = play.home()
    play.run(1.0)
    assert play.actions and not np.array(play.actions)[:, :4].any()


@WAYS
def test_a_leader_is_matched_anew(contract: Contract, off: Callable[[Play, bool], None]) -> None:
    play, arm = leader(contract, 0.0)
    home = play.reference
    arm.press()
    play.until(State.ACTIVE)
    play.run(0.5)
    off(play, True)
    play.run(1.0)
    assert play.session.state is State.MATCHING and play.session.in_command
    arm.at = arm.at + np.array([0.6, 0.4, 0.0, -0.5, 0.0, 0.3, 0.0])
    play.run(0.5)
    off(play, False)
    play.reference = home
    at = len(play.actions)
    play.run(1.0)
    assert play.session.state is State.MATCHING
    assert not np.array(play.actions[at:])[:, :4].any()
    arm.at = play.robot.home.copy()
    play.until(State.ACTIVE, 0.5)


@WAYS
def test_the_gripper_goes_on_from_where_it_is(
    contract: Contract, off: Callable[[Play, bool], None]
) -> None:
    play, hand = spacemouse(contract)
    hand.push, hand.pressed = PUSH, (0,)
    play.run(0.5)
    assert play.actions[-1][-1] == 0.0
    off(play, True)
    play.run(0.5)
    hand.pressed = ()
    play.run(0.1)
    hand.pressed = (0,)  # nobody listens
    play.run(0.1)
    off(play, False)
    play.reference = play.home()._replace(opening=0.06)
    at = len(play.actions)
    play.run(0.5)
    assert {action[-1] for action in play.actions[at:]} == {0.06}


def test_presses_of_the_gripper_are_not_kept_for_later(contract: Contract) -> None:
    play = Play(contract, [changed("gamepad")])
    axes, plugged = [0.0] * 8, [True]
    pressed: list[tuple[int, ...]] = [()]

    def say(now: Instant) -> None:
        if plugged[0]:
            play.devices[0].hear(joy(now.ros_ns, axes, pressed[0]), now)

    def toggle() -> None:
        for _ in range(3):
            pressed[0] = (0,)
            play.run(0.05)
            pressed[0] = ()
            play.run(0.05)

    play.says.append(say)
    play.run(0.2)
    pressed[0], axes[1] = (4,), 0.5
    play.run(0.5)
    plugged[0] = False
    play.until(State.LOST)
    plugged[0], pressed[0], axes[1] = True, (), 0.0
    play.run(0.3)
    toggle()
    play.until(State.LOST, 0.01)
    pressed[0] = (4,)
    play.run(0.3)
    play.until(State.ACTIVE, 0.01)
    pressed[0] = ()
    play.run(0.03)
    play.until(State.RELEASING, 0.01)
    pressed[0] = (0,)
    play.run(0.03)
    pressed[0] = (4,)
    play.run(0.3)
    play.until(State.ACTIVE, 0.01)
    assert {action[-1] for action in play.actions} == {0.05}
    pressed[0] = (0, 4)
    play.run(0.1)
    assert play.actions[-1][-1] == 0.0


def test_a_button_of_the_gripper_does_not_take_up_a_lost_device(contract: Contract) -> None:
    play, hand = spacemouse(contract)
    hand.push = PUSH
    play.run(0.3)
    hand.push = None
    play.until(State.LOST)
    hand.push = REST
    play.run(0.3)
    hand.pressed = (0,)
    play.run(0.3)
    assert play.session.state is State.LOST and play.actions[-1][-1] == 0.05
