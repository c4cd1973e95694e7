"""The filter is armed for an episode and for a reset, once each, and by nothing else."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.episodes.machine import State as Episode
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.safety_arming import PATIENCE, Arming
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.state import Instant, Source, State

NOW = Instant(10**18, 0)


class Filter:
    """Counts what it is told to do."""

    def __init__(self) -> None:
        self.state, self.moved, self.paused = State.DISARMED, False, False
        self.latched, self.in_command, self.gripper_width = False, Source.POLICY, None
        self.armed = self.disarmed = 0
        self.refuse = self.for_reset = False

    def arm(self, now: Instant, q: Any, width: float, for_reset: bool = False) -> None:
        self.for_reset = for_reset
        if self.refuse:
            raise InputError("arm", "the emergency stop is latched", "reset it")
        self.state, self.armed = State.ARMED, self.armed + 1
        self.gripper_width = width

    def disarm(self) -> None:
        self.state, self.disarmed = State.DISARMED, self.disarmed + 1
        self.gripper_width = None

    def pause(self, paused: bool) -> None:
        self.paused = paused


class Rig:
    """An arming with everything around it."""

    def __init__(self, mode: str = "episode") -> None:
        self.filter, self.said = Filter(), []
        self.episode = SimpleNamespace(state=Episode.IDLE, episode_id="", ready_ns=0, paused=False)
        self.inputs = SimpleNamespace(
            position=(NOW.ros_ns, np.zeros(7)), reset_active=False, measured_opening=0.08,
            arm_position=lambda: np.zeros(7), gripper_width=lambda now_ns: 0.08,
            forget_silent_reset=lambda now: None, episode_silent=lambda now: False,
        )  # fmt: skip
        node: Any = SimpleNamespace(create_service=lambda *args: None)
        self.now = NOW
        complaints: Any = SimpleNamespace(say=self.said.append)
        parts: Any = self.filter, threading.Lock(), self.inputs, self.episode
        self.arming = Arming(node, *parts, complaints, mode)

    def tick(self, cause: Reason = NONE, after_s: float = 0.0) -> State:
        """One tick, some time after the last."""
        self.now = Instant(self.now.ros_ns, self.now.steady_ns + round(after_s * 1e9))
        self.arming.follow_episode(self.now, cause)
        return self.filter.state

    def ready(self, episode_id: str) -> None:
        """The episode becomes ready; the arm was measured since."""
        self.episode.state, self.episode.episode_id = Episode.READY, episode_id


def test_a_reset_arms_between_episodes_and_its_end_disarms() -> None:
    rig = Rig()
    for state in (Episode.IDLE, Episode.RESETTING, Episode.SUCCESS, Episode.ABORTED):
        rig.episode.state = state
        assert rig.tick() is State.DISARMED
        rig.inputs.reset_active = True
        assert rig.tick() is State.ARMED
        assert rig.tick() is State.ARMED
        rig.inputs.reset_active = False
        assert rig.tick() is State.DISARMED
    assert rig.filter.armed == rig.filter.disarmed == 4


def test_what_stops_a_reset_is_not_armed_again_until_it_ends() -> None:
    rig = Rig()
    rig.inputs.reset_active = True
    assert rig.tick() is State.ARMED
    rig.filter.state = State.STOPPED
    for _ in range(5):
        assert rig.tick(Reason.STALE_COMMAND) is State.STOPPED
    assert rig.filter.armed == 1
    rig.inputs.reset_active = False
    rig.tick()
    rig.inputs.reset_active = True
    assert rig.tick() is State.ARMED  # it only fell silent


@pytest.mark.parametrize("grave", [Reason.WRENCH, Reason.TRACKING_ERROR, Reason.STALE_STATE])
def test_after_a_contact_no_later_attempt_is_armed_by_itself(grave: Reason) -> None:
    rig = Rig()
    rig.inputs.reset_active = True
    assert rig.tick() is State.ARMED
    rig.filter.state = State.STOPPING
    rig.tick(grave | Reason.DISARMED)
    for _ in range(5):  # the next attempt, a third of a second later
        rig.inputs.reset_active = False
        rig.tick(after_s=0.2)
        rig.inputs.reset_active = True
        assert rig.tick(after_s=0.1) is State.DISARMED
        assert "stopped in this reset" in rig.arming.refused
    rig.inputs.reset_active = False
    rig.tick()
    rig.tick(after_s=1.1)  # somebody was asked, and has confirmed
    rig.inputs.reset_active = True
    assert rig.tick() is State.ARMED and rig.filter.armed == 2


def test_an_emergency_stop_ends_every_order_that_it_meets() -> None:
    rig = Rig()
    rig.inputs.reset_active = rig.filter.latched = rig.filter.refuse = True
    rig.tick()
    rig.filter.latched = rig.filter.refuse = False  # reset_e_stop alone
    for _ in range(5):
        assert rig.tick(after_s=0.5) is State.DISARMED
    rig.inputs.reset_active = False
    rig.episode.state, rig.episode.episode_id = Episode.RESETTING, "a"
    rig.filter.latched = True
    rig.tick(after_s=2.0)
    rig.filter.latched = False
    rig.ready("a")
    assert rig.tick() is State.DISARMED and "start another one" in rig.arming.refused
    rig.ready("b")
    assert rig.tick() is State.ARMED


def test_nobody_is_armed_in_the_middle_of_an_episode() -> None:
    rig = Rig()
    rig.episode.state, rig.episode.episode_id = Episode.RUNNING, "a"
    for _ in range(5):  # a filter that was started again
        assert rig.tick() is State.DISARMED
    assert rig.filter.armed == 0


def test_without_the_episodes_node_nothing_stays_armed() -> None:
    rig = Rig()
    rig.ready("a")
    assert rig.tick() is State.ARMED
    rig.episode.state = Episode.RUNNING
    assert rig.tick() is State.ARMED
    rig.inputs.episode_silent = lambda now: True
    assert rig.tick() is State.DISARMED
    assert "episode/alive" in str(rig.said[0])
    for _ in range(3):
        assert rig.tick(after_s=0.1) is State.DISARMED


def test_who_takes_over_from_a_reset_keeps_the_robot_until_he_gives_it_back() -> None:
    rig = Rig()
    rig.inputs.reset_active = True
    assert rig.tick() is State.ARMED
    rig.filter.in_command = Source.INTERVENTION
    rig.inputs.reset_active = False
    for _ in range(3):
        assert rig.tick(after_s=1.0) is State.ARMED
    rig.filter.in_command = Source.POLICY
    assert rig.tick() is State.DISARMED


def test_what_was_held_is_held_when_it_is_armed_again() -> None:
    rig = Rig()
    rig.inputs.measured_opening, rig.inputs.gripper_width = 0.04, lambda now_ns: 0.04
    rig.inputs.reset_active = True
    rig.tick()
    rig.filter.gripper_width = 0.0  # the reset has closed on something
    rig.tick()
    rig.inputs.reset_active = False
    rig.tick()
    rig.inputs.reset_active = True
    assert rig.tick() is State.ARMED and rig.filter.gripper_width == 0.0
    rig.inputs.reset_active = False
    rig.tick()
    rig.inputs.gripper_width = lambda now_ns: 0.08  # somebody has opened it
    rig.inputs.reset_active = True
    rig.tick()
    assert rig.filter.gripper_width == 0.08


def test_an_episode_that_becomes_ready_is_armed_anew_after_its_reset() -> None:
    rig = Rig()
    rig.episode.state, rig.episode.episode_id = Episode.RESETTING, "a"
    rig.inputs.reset_active = True
    assert rig.tick() is State.ARMED and rig.filter.for_reset
    rig.episode.state, rig.episode.ready_ns = Episode.READY, NOW.ros_ns
    rig.inputs.reset_active = False
    assert rig.tick() is State.ARMED  # nothing was measured since
    rig.inputs.position = (NOW.ros_ns + 1, np.zeros(7))
    assert rig.tick() is State.DISARMED
    assert rig.tick() is State.ARMED and not rig.filter.for_reset
    rig.episode.state = Episode.RUNNING
    rig.inputs.reset_active = True  # a retreat in mid-episode
    assert rig.tick() is State.ARMED
    assert rig.filter.armed == 2
    rig.episode.state, rig.inputs.reset_active = Episode.SUCCESS, False
    assert rig.tick() is State.DISARMED


def test_a_latched_e_stop_keeps_a_reset_from_arming_and_is_said() -> None:
    rig = Rig()
    rig.filter.refuse = rig.inputs.reset_active = True
    for _ in range(PATIENCE + 2):
        assert rig.tick() is State.DISARMED
    assert "emergency stop" in str(rig.said[0])
    assert rig.arming.refused == "the emergency stop is latched"
    rig.filter.refuse = False
    assert rig.tick() is State.ARMED and not rig.arming.refused


def test_with_arming_by_service_nothing_else_arms() -> None:
    rig = Rig("service")
    rig.inputs.reset_active = True
    rig.episode.state, rig.episode.episode_id = Episode.READY, "a"
    assert rig.tick() is State.DISARMED and rig.filter.armed == 0


@pytest.mark.parametrize("state", list(Episode))
@pytest.mark.parametrize("resets", [False, True])
def test_a_pause_holds_what_is_under_way_and_nothing_else(state: Episode, resets: bool) -> None:
    for mode in ("episode", "service"):
        rig = Rig(mode)
        rig.episode.state, rig.episode.paused = state, True
        rig.inputs.reset_active = resets
        rig.tick()
        under_way = state in (Episode.RESETTING, Episode.READY, Episode.RUNNING)
        assert rig.filter.paused is (under_way or resets)
        rig.episode.paused = False
        rig.tick()
        assert not rig.filter.paused
