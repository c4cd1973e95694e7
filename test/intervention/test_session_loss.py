"""A device that fails in the middle: the robot is held, and nothing leaps when it is back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.intervention.session import State
from vla_rl_nodes.safety.state import Instant

from .hands import REST, Hand, spacemouse
from .said import Play, changed, joy, twist


def nothing(play: Play, hand: Hand) -> None:
    hand.push = None


def frozen(play: Play, hand: Hand) -> None:
    play.says[:] = [lambda now: play.devices[0].hear(twist([0.4, 0, 0, 0, 0, 0]), now) and None]


def noisy(play: Play, hand: Hand) -> None:
    ends = [0.68, -0.68]

    def say(now: Instant) -> None:
        ends.reverse()
        play.devices[0].hear(twist([ends[0], 0, 0, 0, 0, 0]), now)

    play.says[:] = [say]


def not_finite(play: Play, hand: Hand) -> None:
    hand.push = (float("nan"),) * 6


def too_long(play: Play, hand: Hand) -> None:
    play.says.append(
        lambda now: play.devices[0].hear_buttons(joy(now.ros_ns - 10**9), now) or None
    )


@pytest.mark.parametrize(
    ("fail", "word"),
    [(nothing, "silent"), (frozen, "frozen"), (noisy, "noisy"), (not_finite, "not finite"),
     (too_long, "old")],
)  # fmt: skip
def test_a_device_that_fails_in_mid_intervention(
    contract: Contract, fail: Callable[[Play, Hand], None], word: str
) -> None:
    play, hand = spacemouse(contract)
    hand.push = (0.6, 0.0, 0.0, 0.0, 0.0, 0.0)
    play.run(0.5)
    fail(play, hand)
    play.until(State.LOST)
    assert word in play.session.reason
    at = len(play.actions)
    play.run(2.0)
    held = np.array(play.actions[at + 1 :])
    assert len(held) >= 38 and not held[:, :4].any() and (held[:, 4] == 0.05).all()
    assert play.session.state is State.LOST and play.session.in_command

    # It comes back pushed: that moves nothing. Let go, it waits. Pushed anew, it drives.
    play.says[:] = []
    hand = Hand(play)
    hand.push = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    at = len(play.actions)
    play.run(1.0)
    assert play.session.state is State.LOST
    assert not np.array(play.actions[at:])[:, :4].any()
    hand.push = REST
    play.run(1.0)
    assert play.session.state is State.LOST
    hand.push = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    at = len(play.actions)
    play.run(0.5)
    assert play.session.state is State.ACTIVE
    back = [action[0] for action in play.actions[at:]]
    assert back[0] < 0.005 and back[-1] > 0.012  # by the ramp, not by a leap
    hand.push = REST
    play.run(1.0)
    assert play.session.state is State.IDLE


@pytest.mark.parametrize("then", ["hold", "give_back", "abort"])
def test_what_follows_a_loss(contract: Contract, then: str) -> None:
    play, hand = spacemouse(contract, on_loss__then=then, on_loss__after_s=1.0)
    hand.push = (0.6, 0.0, 0.0, 0.0, 0.0, 0.0)
    play.run(0.3)
    hand.push = None
    play.until(State.LOST)
    play.run(0.9)
    assert play.session.in_command and not play.session.abort
    play.run(0.3)
    assert play.session.in_command is (then != "give_back")
    assert play.session.abort is (then == "abort")
    if then == "abort":
        play.session.episode_over()
        assert not play.session.in_command and not play.session.abort
    if then == "hold":
        play.session.release()
        play.run(0.1)
        assert not play.session.in_command


def test_after_a_short_loss_the_command_grows_from_nothing_too(contract: Contract) -> None:
    play, hand = spacemouse(contract, blend__out_s=5.0)
    hand.push = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    play.run(0.5)
    hand.push = (float("nan"),) * 6
    play.run(0.01)
    hand.push = REST
    play.run(0.02)
    hand.push = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    at = len(play.actions)
    play.run(0.06)
    assert play.session.state is State.ACTIVE and play.actions[at][0] < 0.006


def test_asked_for_by_the_service_a_loss_gives_nothing_back(contract: Contract) -> None:
    play, hand = spacemouse(contract, on_loss={"then": "give_back", "after_s": 0.2})
    play.session.take_over(play.now)
    hand.push = (0.5, 0.0, 0.0, 0.0, 0.0, 0.0)
    play.run(0.3)
    hand.push = None
    play.until(State.LOST)
    play.run(2.0)
    assert play.session.state is State.LOST and play.session.in_command


def test_a_stamp_that_stands_still_is_told(contract: Contract) -> None:
    play = Play(contract, [changed("spacemouse_joy")])
    at = [0]
    play.says.append(
        lambda now: play.devices[0].hear(joy(at[0] or now.ros_ns, [0.3] * 6), now) and None
    )
    play.devices[0].hear(joy(play.now.ros_ns, [0.0] * 6), play.now)
    play.run(0.2)
    assert play.session.state is State.ACTIVE
    at[0] = play.now.ros_ns
    play.until(State.LOST)
    assert "stamp stands still" in play.session.reason
