"""A leader arm: matched first, tracked then."""

from __future__ import annotations

import numpy as np
import pytest

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.intervention.session import State
from vla_rl_nodes.safety.state import Instant

from .hands import FR3, leader
from .said import Play, changed, joints, joy


def test_a_leader_is_matched_first_and_tracked_then(arm_contract: Contract) -> None:
    play, arm = leader(arm_contract, 0.4)
    arm.press()
    assert play.session.state is State.MATCHING and play.session.in_command
    assert play.session.off
    worst = max(play.session.off, key=lambda off: abs(off.error) / off.allowed)
    assert abs(worst.error) > worst.allowed
    if "joint" in arm_contract.action.kind:
        assert worst.name == "fr3_joint4" and worst.error == pytest.approx(0.4, abs=1e-3)
    before = play.reference
    play.run(0.5)
    assert before is not None and play.reference is not None
    assert play.reference.opening == before.opening  # held meanwhile
    arm.at = play.robot.home + 0.02
    play.run(0.1)
    assert play.session.state is State.ACTIVE
    arm.at = play.robot.home + np.array([0.1, 0.05, 0.0, 0.1, 0.0, 0.1, 0.0])
    play.run(2.0)
    left = play.moves.off(play.reference, play.devices[0].settings, arm.at)
    assert all(abs(off.error) < 0.05 * off.allowed + 2e-3 for off in left)
    arm.press()
    play.run(0.5)
    assert play.session.state is State.IDLE


def test_buttons_while_a_leader_is_brought_to_the_robot_do_nothing(contract: Contract) -> None:
    play, arm = leader(contract, 0.4)
    arm.press()
    arm.pressed = (1,)
    play.run(0.1)
    arm.pressed = ()
    play.run(0.1)
    assert play.session.state is State.MATCHING
    arm.at = play.robot.home
    play.run(0.3)
    assert play.session.state is State.ACTIVE
    assert {action[-1] for action in play.actions} == {0.05}
    arm.pressed = (1,)
    play.run(0.1)
    assert play.actions[-1][-1] == 0.0


def test_a_leader_that_is_asked_for_by_the_service_needs_no_button(contract: Contract) -> None:
    play, arm = leader(contract, 0.4)
    play.session.take_over(play.now)
    play.run(0.3)
    assert play.session.state is State.MATCHING and play.session.in_command
    arm.at = play.robot.home
    play.run(0.3)
    assert play.session.state is State.ACTIVE
    arm.at = play.robot.home + np.array([0.2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    play.run(0.5)
    assert max(abs(action[1]) for action in play.actions[-10:]) > 0.01
    play.says.remove(arm.say)
    play.until(State.LOST)


def test_a_leader_that_is_not_to_be_waited_for(contract: Contract) -> None:
    play, arm = leader(contract, 0.4, leader__matching__hold=False)
    arm.press()
    play.run(0.3)
    assert play.session.state is State.MATCHING
    assert not play.session.in_command and not play.actions
    arm.press()
    assert play.session.state is State.IDLE
    arm.press()
    arm.at = play.robot.home
    play.run(0.1)
    assert play.session.state is State.ACTIVE and play.session.in_command


def test_a_leader_that_was_lost_is_matched_again(contract: Contract) -> None:
    play, arm = leader(contract, 0.0)
    arm.press()
    play.run(0.3)
    assert play.session.state is State.ACTIVE
    play.says.remove(arm.say)
    play.until(State.LOST)
    arm.at = play.robot.home + 0.3  # it fell meanwhile
    play.says.append(arm.say)
    play.run(0.3)
    assert play.session.state is State.LOST
    arm.press()
    play.run(0.2)
    assert play.session.state is State.MATCHING
    at = len(play.actions)
    play.run(0.3)
    assert not np.array(play.actions[at:])[:, :4].any()


def test_a_leader_with_a_trigger_moves_the_gripper(contract: Contract) -> None:
    trigger = {"name": "trigger", "open": 0.2, "closed": 1.0}
    play = Play(contract, [changed("gello_fr3", leader__gripper=trigger)])
    pose = play.moves._kinematics.fk(play.robot.home)  # type: ignore[attr-defined]
    start = play.reference.pose._replace(  # type: ignore[union-attr]
        position=pose.position, rotation=pose.rotation, yaw=0.0
    )
    play.reference = play.reference._replace(pose=start)  # type: ignore[union-attr]
    pulled, wobble = [1.0], [0]

    def say(now: Instant) -> None:
        wobble[0] += 1
        values = [*(play.robot.home + 1e-4 * (wobble[0] % 3)), pulled[0]]
        play.devices[0].hear(joints(now.ros_ns, [*FR3, "trigger"], values), now)

    play.says.append(say)
    play.devices[0].hear_buttons(joy(play.now.ros_ns), play.now)
    play.run(0.1)
    play.devices[0].hear_buttons(joy(play.now.ros_ns, (), (0,)), play.now)
    play.run(0.05)
    play.devices[0].hear_buttons(joy(play.now.ros_ns), play.now)
    play.run(0.2)
    assert play.session.state is State.MATCHING  # closed it would drop what the robot holds
    assert play.session.off[-1].name == "gripper_width"
    assert play.session.off[-1].error == pytest.approx(-0.05)
    pulled[0] = 0.5
    play.run(0.1)
    assert play.session.state is State.ACTIVE
    pulled[0] = 1.0
    play.run(0.2)
    assert play.actions[-1][-1] == 0.0
