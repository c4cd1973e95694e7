"""When the safety filter is armed: with an episode, or by an operator's service call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from rclpy.node import Node
from std_srvs.srv import Trigger

from vla_rl_nodes.episodes.machine import UNDER_WAY
from vla_rl_nodes.episodes.machine import State as EpisodeStates
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.clocks import instant
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.episode_state import EpisodeState
from vla_rl_nodes.nodes.safety_inputs import SafetyInputs
from vla_rl_nodes.safety.filter import SafetyFilter
from vla_rl_nodes.safety.grip_memory import GripMemory
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Instant, Source, State

MODES = ("episode", "service")
DESCRIPTION = (
    "What arms the filter. episode: starting an episode does, as soon as it is ready, and its end"
    " disarms it; so does a reset that moves the arm while no episode is ready or runs. service:"
    " safety/arm does, and safety/disarm disarms it."
)
# A stop that asks for a person ends the reset that it meets: for it to be armed again it has to
# have been inactive for this long, so that no second attempt takes the place of somebody's word.
RESET_OVER_NS = 1_000_000_000
# What may have stopped a filter before anything has moved, and be over by itself.
PASSING = Reason.STALE_STATE | Reason.STALE_COMMAND
# Stops of a reset that nobody has to look at: it fell silent, or it was over.
HARMLESS = Reason.STALE_COMMAND | Reason.DISARMED
RESET = "reset"  # what it is armed for between episodes
PATIENCE = 10  # ticks before a refusal to be armed with an episode is told


class Arming:
    """Arms and disarms the filter; offers ``safety/arm``, ``safety/disarm`` and
    ``safety/reset_e_stop``.

    Args:
        node: owns the services.
        safety: the filter.
        lock: held whenever the filter is called.
        inputs: where the arm and its gripper are.
        episode: the episode under way.
        complaints: gets one line when arming with an episode is refused.
        mode: one of ``MODES``.

    Raises:
        InputError: an unknown mode.
    """

    def __init__(
        self,
        node: Node,
        safety: SafetyFilter,
        lock: threading.Lock,
        inputs: SafetyInputs,
        episode: EpisodeState,
        complaints: Complaints,
        mode: str,
    ) -> None:
        if mode not in MODES:
            place = f"safety_filter: parameter arming: {mode}"
            raise InputError(place, "is no way of arming", f"give {' or '.join(MODES)}")
        self._node, self._filter, self._lock, self._inputs = node, safety, lock, inputs
        self._episode, self._complaints, self._mode = episode, complaints, mode
        self._grip = GripMemory()
        self._armed_for = ""
        self._dead_id = ""  # an episode that is not armed for any more
        self._reset_dead = False
        self._reset_seen_ns = 0  # steady time
        self._refused = 0  # ticks in a row
        self.refused = ""  # why it is not armed although it should be
        self.count = 0  # how often it was armed
        for name, handler in (
            ("arm", self._arm_by_service),
            ("disarm", self._disarm),
            ("reset_e_stop", self._reset_e_stop),
        ):
            node.create_service(Trigger, f"safety/{name}", partial(self._serve, name, handler))

    def _serve(
        self,
        name: str,
        handler: Callable[[Instant], str],
        request: Trigger.Request,
        response: Trigger.Response,
    ) -> Trigger.Response:
        try:
            with self._lock:
                response.message = handler(instant(self._node))
            response.success = True
            self._node.get_logger().info(f"safety/{name}: {response.message}")
        except InputError as error:
            response.success, response.message = False, " ".join(str(error).split())
        return response

    def _arm_by_service(self, now: Instant) -> str:
        if self._mode != "service":
            raise InputError(
                "arm", "an episode arms here", "start one, or set the parameter arming to service"
            )
        self._arm(now)
        return "armed"

    def _arm(self, now: Instant, for_reset: bool = False) -> None:
        width = self._grip.opening(self._inputs.gripper_width(now.ros_ns))
        self._filter.arm(now, self._inputs.arm_position(), width, for_reset)
        self.count += 1

    def _disarm(self, now: Instant) -> str:
        self._filter.disarm()
        return "disarmed, after a stop where the robot moves"

    def _reset_e_stop(self, now: Instant) -> str:
        self._filter.reset_e_stop(now)
        return "reset; arm again"

    def follow_episode(self, now: Instant, cause: Reason) -> None:
        """Arms once for each episode that becomes ready, and disarms when it is over.

        Between episodes it arms once for each reset that becomes active, and disarms at its end:
        whoever asked for the reset, an operator or the start of an episode, has asked for that
        motion. What stops a reset is not armed again, and after a contact, an emergency stop or
        any other fault no later attempt of that reset is; nor is an episode whose start the
        emergency stop met, one that runs already, or one whose node has fallen silent.

        What stopped the filter while an episode was only ready may be over; where nothing has
        moved since, it is armed once more, unless the cause asks for a person. Under the lock.

        Args:
            now: the tick's time.
            cause: why the filter is stopped or faulted, as its last tick said.
        """
        state, episode_id = self._episode.state, self._episode.episode_id
        between = state not in (EpisodeStates.READY, EpisodeStates.RUNNING)
        self._grip.follow(self._filter.gripper_width, self._inputs.measured_opening)
        if between:
            self._inputs.forget_silent_reset(now)
        # Between episodes a pause keeps the next one from beginning, and a reset from moving.
        waits = state in UNDER_WAY or self._inputs.reset_active
        self._filter.pause(self._episode.paused and waits)
        if self._mode != "episode":
            return
        self.refused = ""
        self._end_orders(now, state, cause)
        if between:
            if not self._inputs.reset_active:
                self._reset_is_over()
                return
            if self._reset_dead:
                self.refused = "it was stopped in this reset; confirm, or ask for another one"
                return
            episode_id = RESET
        elif episode_id == self._dead_id or (
            # Whoever begins in the middle, as after a crash, does not know what happened before.
            state is EpisodeStates.RUNNING and self._armed_for != episode_id
        ):
            self.refused = "this episode is over for the filter; start another one"
            return
        halted = self._filter.state in (State.STOPPED, State.FAULTED)
        again = halted and state is EpisodeStates.READY and not cause & ~PASSING
        again = again and not self._filter.moved  # somebody may have intervened already
        if not episode_id or (self._armed_for == episode_id and not again):
            return
        position = self._inputs.position
        ready = episode_id != RESET
        if ready and position is not None and position[0] <= self._episode.ready_ns:
            return  # measured before the reset ended: the arm is elsewhere by now
        if self._filter.state in (State.ARMED, State.HOLDING, State.STOPPING):
            self._filter.disarm()  # the last episode's motion comes to rest first
            return
        try:
            self._arm(now, for_reset=episode_id == RESET)
        except InputError as error:
            self._refused += 1
            if self._refused > PATIENCE:  # an arm that was just put to its start rests soon
                self._complaints.say(error)
                self.refused = error.problem
            return
        self._armed_for, self._refused = episode_id, 0

    def _end_orders(self, now: Instant, state: EpisodeStates, cause: Reason) -> None:
        """Forgets who asked for motion where a person has to look first, or nobody asks now."""
        stopped = self._filter.state in (State.STOPPING, State.STOPPED, State.FAULTED)
        grave = self._filter.latched or (stopped and bool(cause & ~HARMLESS))
        if self._inputs.reset_active or self._armed_for == RESET:
            self._reset_seen_ns = now.steady_ns
            self._reset_dead = self._reset_dead or grave
        elif now.steady_ns - self._reset_seen_ns > RESET_OVER_NS:
            self._reset_dead = False
        if self._filter.latched and state in (EpisodeStates.RESETTING, EpisodeStates.READY):
            self._dead_id = self._episode.episode_id
        elif state in UNDER_WAY and self._inputs.episode_silent(now):
            self._dead_id = self._episode.episode_id
            if self._armed_for:
                self._armed_for = ""
                self._filter.disarm()
                said = "episode/alive: was silent for 1 s: disarmed; start the episode's node"
                self._complaints.say(said)

    def _reset_is_over(self) -> None:
        """Disarms; where a person took over from the reset, when he has given back."""
        his = self._armed_for == RESET and self._filter.in_command is Source.INTERVENTION
        if self._armed_for and not his:
            self._armed_for = ""
            self._filter.disarm()
