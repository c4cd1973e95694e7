"""Taking over and giving back, played through in time."""

from __future__ import annotations

import numpy as np
import pytest

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.intervention.session import State

from .hands import REST, Hand, spacemouse
from .said import Play, changed, joy


def test_a_push_takes_over_and_letting_go_gives_back(any_contract: Contract) -> None:
    play, hand = spacemouse(any_contract)
    start = play.reference
    hand.push = (0.8, 0.0, 0.0, 0.0, 0.0, 0.0)
    play.run(0.5)
    assert play.session.state is State.ACTIVE and play.session.in_command
    hand.push = REST
    play.run(0.2)
    assert play.session.state is State.RELEASING and play.session.in_command
    play.run(0.5)
    assert play.session.state is State.IDLE and not play.session.in_command
    assert play.owned.count(True) == len(play.actions)
    if start is not None and start.pose is not None:
        moved = play.reference.pose.position - start.pose.position  # type: ignore[union-attr]
        assert moved[0] > 0.05 and abs(moved[1]) < 1e-6


def test_the_command_grows_from_nothing(contract: Contract) -> None:
    play, hand = spacemouse(contract, blend__in_s=0.4)
    hand.push = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    play.run(0.8)
    sizes = [abs(action[0]) for action in play.actions]
    full = 0.25 / 20
    assert sizes[0] <= full * 0.15
    steps = np.diff(sizes)
    assert (steps >= -1e-3 * full * 8).all() and (steps <= full * 0.15).all()
    assert sizes[-1] == pytest.approx(full, rel=0.02)


def test_taking_over_moves_nothing_by_itself(arm_contract: Contract) -> None:
    play, _ = spacemouse(arm_contract)
    before = play.reference
    play.session.take_over(play.now)
    play.run(0.5)
    assert len(play.actions) == 10
    assert before is not None and play.reference is not None
    assert play.reference.opening == before.opening
    if before.joints is not None:
        assert play.reference.joints.tolist() == before.joints.tolist()  # type: ignore[union-attr]
    else:
        moved = play.reference.pose.position - before.pose.position  # type: ignore[union-attr]
        assert not moved.any()


def test_there_is_no_flicker(contract: Contract) -> None:
    play, hand = spacemouse(contract)
    for _ in range(10):  # a hand that changes direction passes the rest
        hand.push = (0.5, 0.0, 0.0, 0.0, 0.0, 0.0)
        play.run(0.1)
        hand.push = REST
        play.run(0.2)
    assert all(play.owned[5:])
    play.run(0.5)
    assert not play.session.in_command


def test_the_gripper_stays_until_a_button_is_pressed(contract: Contract) -> None:
    play, hand = spacemouse(contract)
    hand.push = (0.3, 0.0, 0.0, 0.0, 0.0, 0.0)
    play.run(0.3)
    assert {action[-1] for action in play.actions} == {0.05}
    hand.pressed = (0,)
    play.run(0.3)
    assert play.actions[-1][-1] == 0.0
    hand.pressed = (1,)
    play.run(0.3)
    assert play.actions[-1][-1] == 0.08


def test_a_gripper_button_alone_takes_over(contract: Contract) -> None:
    play, hand = spacemouse(contract)
    hand.pressed = (0,)
    play.run(0.2)
    assert play.session.in_command and play.actions[-1].tolist() == [0.0, 0.0, 0.0, 0.0, 0.0]
    hand.pressed = ()
    play.run(0.6)
    assert not play.session.in_command


def test_buttons_that_were_pressed_before_do_nothing_after(contract: Contract) -> None:
    play = Play(contract, [changed("gamepad")])
    stick = {"axes": [0.0] * 8, "pressed": ()}
    play.says.append(lambda now: play.devices[0].hear(joy(now.ros_ns, **stick), now) and None)
    play.run(0.1)
    stick.update(pressed=(0,))
    play.run(0.1)
    stick.update(pressed=())
    play.run(0.1)
    stick.update(pressed=(4,))
    play.run(0.3)
    assert play.session.in_command and {action[-1] for action in play.actions} == {0.05}


def test_the_first_that_engages_has_the_robot(contract: Contract) -> None:
    play = Play(contract, [changed("spacemouse"), changed("gamepad")])
    hand = Hand(play)
    stick = {"axes": [0.0] * 8, "pressed": ()}
    play.says.append(
        lambda now: play.device("gamepad").hear(joy(now.ros_ns, **stick), now) and None
    )
    play.run(0.2)
    hand.push = (0.5, 0.0, 0.0, 0.0, 0.0, 0.0)
    play.run(0.2)
    stick.update(axes=[1.0, 0.0, 0, 0, 0, 0, 0, 0], pressed=(4,))
    play.run(0.3)
    assert play.session.owner is play.device("spacemouse")
    assert not np.array(play.actions)[:, 1].any()
    hand.push = REST
    play.run(1.0)
    assert play.session.owner is None  # who came second has to come again
    stick.update(pressed=(), axes=[0.0] * 8)
    play.run(0.1)
    stick.update(pressed=(4,), axes=[1.0, 0.0, 0, 0, 0, 0, 0, 0])
    play.run(0.3)
    assert play.session.owner is play.device("gamepad")
    assert play.actions[-1][1] > 0.005


def test_hold_gives_back_when_the_button_comes_up(contract: Contract) -> None:
    play = Play(contract, [changed("gamepad")])
    stick = {"axes": [0.0] * 8, "pressed": ()}
    play.says.append(lambda now: play.devices[0].hear(joy(now.ros_ns, **stick), now) and None)
    play.run(0.1)
    stick.update(axes=[0.0, 1.0, 0, 0, 0, 0, 0, 0])
    play.run(0.3)
    assert not play.session.in_command  # the stick alone does nothing
    stick.update(axes=[0.0] * 8)
    play.run(0.1)
    stick.update(axes=[0.0, 0.9, 0, 0, 0, 0, 0, 0], pressed=(4,))
    play.run(0.4)
    at = len(play.actions)
    assert play.actions[-1][0] > 0.007
    stick.update(pressed=())
    play.run(0.5)
    faded = [action[0] for action in play.actions[at:]]
    assert faded == sorted(faded, reverse=True) and not play.session.in_command
    assert faded[0] > 0.003  # by the ramp, not at once


def test_taken_over_by_the_service_it_is_kept_until_it_is_given_back(contract: Contract) -> None:
    play, hand = spacemouse(contract)
    play.session.take_over(play.now)
    play.run(3.0)
    assert play.session.in_command and not np.array(play.actions)[:, :4].any()
    hand.push = (0.5, 0.0, 0.0, 0.0, 0.0, 0.0)
    play.run(0.5)
    assert play.actions[-1][0] > 0.004
    hand.push = REST
    play.run(3.0)
    assert play.session.in_command
    play.session.release()
    play.run(0.1)
    assert not play.session.in_command


def test_taken_over_by_the_service_a_stick_still_needs_its_button(contract: Contract) -> None:
    play = Play(contract, [changed("gamepad")])
    stick = {"axes": [0.0] * 8, "pressed": ()}
    play.says.append(lambda now: play.devices[0].hear(joy(now.ros_ns, **stick), now) and None)
    play.run(0.1)
    play.session.take_over(play.now)
    play.run(0.2)
    stick.update(axes=[0.0, 1.0, 0, 0, 0, 0, 0, 0])
    play.run(0.5)
    assert len(play.actions) > 10 and not np.array(play.actions)[:, :4].any()
    stick.update(axes=[0.0, 0.9, 0, 0, 0, 0, 0, 0], pressed=(4,))
    at = len(play.actions)
    play.run(0.4)
    assert 0.0 < play.actions[at][0] < 0.004 and play.actions[-1][0] > 0.007


def test_taken_over_by_the_service_any_device_moves_it(contract: Contract) -> None:
    play = Play(contract, [changed("spacemouse"), changed("page")])
    pushed = [0.0]
    play.says.append(
        lambda now: play.device("page").hear(joy(now.ros_ns, [*pushed] * 6), now) and None
    )
    play.run(0.1)
    play.session.take_over(play.now)
    play.run(0.3)
    assert play.session.owner is play.device("spacemouse")
    pushed[0] = 1.0
    play.run(0.4)
    assert play.session.owner is play.device("page") and play.actions[-1][0] > 0.002
    pushed[0] = 0.0
    play.run(2.0)
    assert play.session.in_command


def test_the_service_does_not_take_the_robot_from_another_device(contract: Contract) -> None:
    play = Play(contract, [changed("page"), changed("spacemouse")])
    hand = Hand(play)
    play.run(0.1)
    hand.push = (0.5, 0.0, 0.0, 0.0, 0.0, 0.0)
    play.run(0.2)
    with pytest.raises(InputError, match="spacemouse is in command"):
        play.session.take_over(play.now)
    hand.push = None
    play.until(State.LOST)
    play.session.take_over(play.now)  # of one that is lost it does
    play.run(0.1)
    assert play.session.owner is play.device("page") and play.session.in_command


def test_a_device_that_is_pushed_when_it_is_first_heard_must_be_let_go(contract: Contract) -> None:
    play = Play(contract, [changed("spacemouse")])
    hand = Hand(play, push=(0.5, 0.0, 0.0, 0.0, 0.0, 0.0))
    play.run(1.0)
    assert not play.session.in_command
    hand.push = REST
    play.run(0.1)
    hand.push = (0.5, 0.0, 0.0, 0.0, 0.0, 0.0)
    play.run(0.1)
    assert play.session.in_command


def test_without_a_reference_nothing_is_commanded(contract: Contract) -> None:
    play, hand = spacemouse(contract)
    play.reference = None
    hand.push = (0.5, 0.0, 0.0, 0.0, 0.0, 0.0)
    play.run(0.3)
    assert play.session.in_command and not play.actions
