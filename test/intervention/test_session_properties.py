"""Whatever devices send, the command is finite, inside the contract, and never leaps."""

from __future__ import annotations

import math
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.intervention.session import State
from vla_rl_nodes.safety.state import Instant

from .conftest import ARM_KINDS, KINDS, make
from .said import Play, changed, header, joints, joy, twist

ANY = st.one_of(
    st.floats(-2.0, 2.0), st.sampled_from([0.0, 0.68, -0.68, 1e30, math.nan, math.inf, -math.inf])
)
AGE = st.sampled_from([0, 0, 0, 0, 10_000_000, 10**9, -(10**9), 10**18])
EVENT = st.one_of(
    st.tuples(st.just("twist"), st.lists(ANY, min_size=6, max_size=6)),
    st.tuples(st.just("joy"), st.lists(ANY, max_size=9), st.lists(st.integers(0, 7)), AGE),
    st.tuples(st.just("push"), st.floats(-0.68, 0.68), st.integers(0, 5)),
    st.tuples(st.just("buttons"), st.lists(st.integers(0, 7)), AGE),
    st.tuples(st.just("wait"), st.integers(1, 50)),
    st.tuples(st.just("order"), st.sampled_from(["take_over", "release", "over"])),
    st.tuples(st.just("blind"), st.booleans()),
)


def send(play: Play, event: tuple[Any, ...]) -> None:
    now, (mouse, pad) = play.now, play.devices
    if event[0] == "twist":
        mouse.hear(twist(event[1]), now)
    elif event[0] == "push":
        mouse.hear(twist([event[1] * (axis == event[2]) for axis in range(6)]), now)
    elif event[0] == "joy":
        pad.hear(joy(now.ros_ns - event[3], event[1], event[2]), now)
    elif event[0] == "buttons":
        mouse.hear_buttons(joy(now.ros_ns - event[2], (), event[1]), now)
    elif event[0] == "blind":
        play.reference = None if event[1] else play.home()
    elif event[0] == "order":
        order(play, event[1])
    play.run(event[1] / 100 if event[0] == "wait" else 0.01)


def order(play: Play, what: str) -> None:
    if what == "release":
        play.session.release()
    elif what == "over":
        play.session.episode_over()
    else:
        with suppress(InputError):  # another device is in command
            play.session.take_over(play.now)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(EVENT, max_size=25))
def test_commands_are_finite_and_inside_the_contract(kind: str, events: list[Any]) -> None:
    contract = make(kind)
    mouse = changed("spacemouse", frame="base" if kind == "base_velocity" else "tool")
    play = Play(contract, [mouse, changed("gamepad", on_loss={"then": "give_back",
                                                              "after_s": 0.3})])  # fmt: skip
    for event in events:
        send(play, event)
        session = play.session
        assert session.in_command is (session.state is not State.IDLE)
        assert (session.owner is None) is (session.state is State.IDLE)
        assert "\n" not in session.reason
    for action in play.actions:
        assert np.isfinite(action).all()
        assert (action >= contract.action.minimum).all()
        assert (action <= contract.action.maximum).all()


GARBAGE = [
    SimpleNamespace(header=header(0), name=[], position=[]),
    SimpleNamespace(header=header(0), name=["a"], position=[1.0, 2.0]),
]
FR3 = [f"fr3_joint{i}" for i in range(1, 8)]


@pytest.mark.parametrize("kind", ARM_KINDS)
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.one_of(
            st.tuples(st.lists(st.floats(-0.2, 0.2), min_size=7, max_size=7), st.booleans()),
            st.tuples(st.lists(ANY, min_size=7, max_size=7), st.booleans()),
            st.sampled_from([(garbage, False) for garbage in GARBAGE]),
        ),
        max_size=15,
    )
)  # fmt: skip
def test_a_leader_never_makes_the_robot_leap(kind: str, says: list[Any]) -> None:
    """It takes over only where it matches, and moves no faster than its speed from there."""
    contract = make(kind)
    play = Play(contract, [changed("gello_fr3", engage={"by": "hold", "button": 0})])
    device, speed = play.devices[0], play.settings[0].speed
    matched = play.settings[0].leader.matching  # type: ignore[union-attr]
    most = 1.0 / contract.policy_hz * np.array(_speeds(contract, speed))
    for values, pressed in says:
        known = len(play.actions)
        before = play.session.state
        if isinstance(values, list):
            message = joints(play.now.ros_ns, FR3, (play.robot.home + values).tolist())
        else:
            message = values
        device.hear(message, play.now)
        device.hear_buttons(joy(play.now.ros_ns, (), (0,) if pressed else ()), play.now)
        reference = play.reference
        play.session.look(play.now, reference)
        if before is State.MATCHING and play.session.state is State.ACTIVE:
            assert device.reading is not None and reference is not None
            for off in play.moves.off(reference, play.settings[0], device.reading.motion):
                assert abs(off.error) <= off.allowed
                assert off.allowed in (matched.joint, matched.linear, matched.angular)
        play.run(0.05)
        for action in play.actions[known:]:
            step = action[:-1]
            if kind == "joint_position":
                assert reference is not None and reference.joints is not None
                step = step - reference.joints
            assert (np.abs(step) <= most + 1e-12).all()


def _speeds(contract: Contract, speed: Any) -> list[float]:
    count = len(contract.action.axes) - 1
    if "joint" in contract.action.kind:
        return [speed.joint] * count
    return [speed.linear] * 3 + [speed.angular] * (count - 3)


@settings(max_examples=15)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=12))
def test_the_motion_of_a_steady_push_is_monotone(lengths: list[int]) -> None:
    """A person who pushes and lets go at any times: between two changes nothing turns back."""
    play = Play(make("tool_delta"), [changed("gamepad", frozen_after_s=None)])
    stick = {"axes": [0.0, 0.8, 0, 0, 0, 0, 0, 0], "pressed": ()}

    def say(now: Instant) -> None:
        play.devices[0].hear(joy(now.ros_ns, **stick), now)

    play.devices[0].hear(joy(play.now.ros_ns), play.now)
    play.says.append(say)
    for number, length in enumerate(lengths):
        stick["pressed"] = (4,) if number % 2 == 0 else ()
        known = len(play.actions)
        play.run(length * 0.05)
        sizes = [action[0] for action in play.actions[known:]]
        assert sizes == sorted(sizes, reverse=number % 2 == 1)
        assert all(0.0 <= size <= 0.20 / 20 + 1e-12 for size in sizes)
