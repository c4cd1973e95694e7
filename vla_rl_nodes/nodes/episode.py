"""episode: the episode's state machine with its operator services."""

from __future__ import annotations

import sys
import time
import uuid
from functools import partial

from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from vla_rl_nodes.contract.decode import named_vector, stamp_ns
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.episodes.automatic import Automatic
from vla_rl_nodes.episodes.discarded import DISCARDED
from vla_rl_nodes.episodes.machine import (
    FILTER,
    OUTCOMES,
    POLICY,
    Cause,
    EpisodeMachine,
    State,
)
from vla_rl_nodes.episodes.reset_answer import ResetAnswer, reset_answer
from vla_rl_nodes.episodes.words import one_line
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.episode_alive import PERIOD_S as ALIVE_PERIOD_S
from vla_rl_nodes.nodes.episode_alive import TOPIC as ALIVE
from vla_rl_nodes.nodes.episode_parameters import EpisodeParameters
from vla_rl_nodes.nodes.episode_resets import ResetCalls
from vla_rl_nodes.nodes.episode_state import TOPIC
from vla_rl_nodes.nodes.event import WARN, Event, from_message, to_message
from vla_rl_nodes.nodes.lean_node import LeanNode
from vla_rl_nodes.nodes.qos import LATCHED, STREAM
from vla_rl_nodes.nodes.spin import spin
from vla_rl_nodes.safety.status import Status

CHECK_PERIOD_S = 0.02
PASSING = {"stale_command", "stale_state"}  # stops that nobody has to look at
SERVICES = ("start", "success", "failure", "abort", "discard", "pause", "resume")


class Episode(LeanNode):
    """Moves episodes from reset to outcome and tells everybody.

    ``episode/start`` asks ``reset/request`` for a reset, waits until the recorder is recording
    and the filter is armed, then runs. The outcome comes from ``reward`` (its ``success``), from
    the operator's services, from the time limit, or from silence or a fault. In between the
    operator may pause, and ``retry/request`` may ask for a retreat, for help or for the end.
    """

    def __init__(self) -> None:
        super().__init__("episode")
        self._settings = EpisodeParameters(self, self._parameters_set)
        self._contract = load_contract(self._settings.contract)
        self._complaints = Complaints(self.get_logger())
        self._machine = EpisodeMachine(self._contract.episode.time_limit_s, self._settings.watch)
        self._automatic = Automatic(self._settings.automatic_pause_s, self._settings.aborts_max)
        self._automatic.enabled = self._settings.automatic
        self._told = self._settings.told()
        self._reset: ResetAnswer | None = None
        self._episode_id = ""
        self._started_ns = 0
        self._policy_version = ""
        self._recording_id = ""
        self._ready_ns = 0
        self._counts_from_ns = 0  # what the reward saw before says nothing of the policy
        self._filter_armed = False
        self._person_in_command = False
        self._last: tuple[State, str] = State.IDLE, ""
        self._state_publisher = self.create_publisher(DiagnosticArray, TOPIC, LATCHED)
        self._label = self.create_publisher(DiagnosticArray, "episode/label", LATCHED)
        self._resets = ResetCalls(self)
        for name in SERVICES:
            self.create_service(Trigger, f"episode/{name}", partial(self._serve, name))
        for topic, handler, profile in (
            ("policy/status", self._hear_policy, STREAM),
            ("safety/status", self._hear_filter, STREAM),
            ("retry/request", self._hear_retry, STREAM),
            ("intervention/status", self._hear_intervention, STREAM),
            ("recorder/status", self._hear_recorder, LATCHED),
            ("reset/status", self._hear_reset, LATCHED),
        ):
            self.create_subscription(DiagnosticArray, topic, handler, profile)
        self.create_subscription(JointState, "reward", self._hear_reward, STREAM)
        self._alive = self.create_publisher(Bool, ALIVE, STREAM)
        self.create_timer(ALIVE_PERIOD_S, lambda: self._alive.publish(Bool(data=True)))
        self.create_timer(CHECK_PERIOD_S, self._check)
        self._publish()

    def _now(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    # --- the operator

    def _serve(
        self, name: str, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        now, machine = time.monotonic_ns(), self._machine
        refused = f"not while {self._words()}"
        if name == "start":
            done = self._start(now, by_operator=True)
        elif name == "pause":
            done = machine.pause(now)
        elif name == "resume":
            done = machine.resume(now)
            self._automatic.resumed(now)
        elif name == "discard":
            done = machine.discard(now)
        else:
            outcome = {
                "success": State.SUCCESS, "failure": State.FAILURE, "abort": State.ABORTED,
            }[name]  # fmt: skip
            done = machine.end(outcome, now, "operator", Cause.OPERATOR)
        response.success = done
        response.message = self._episode_id if done else refused
        if done:
            self._changed()
        return response

    def _words(self) -> str:
        """The state as an operator reads it."""
        machine = self._machine
        if machine.state in OUTCOMES:
            return f"{machine.state.value}: an outcome is final"
        also = (("paused", machine.paused), ("retreating", machine.retreating))
        return " and ".join([machine.state.value, *(word for word, so in also if so)])

    def _start(self, now: int, by_operator: bool) -> bool:
        if not self._machine.start(now):
            return False
        self._automatic.started(by_operator)
        self._told, self._reset = self._settings.told(), None
        self._started_ns = self._now()
        # Sortable by start, unique across robots and restarts.
        self._episode_id = f"{self._started_ns // 1_000_000}-{uuid.uuid4().hex[:8]}"
        self._policy_version = ""
        self._resets.ask("request", partial(self._reset_over, self._episode_id))
        return True

    def _parameters_set(self) -> None:
        self._automatic.enabled = self._settings.automatic
        self._automatic.pause_s = self._settings.automatic_pause_s
        if self._machine.state is State.IDLE:
            self._told = self._settings.told()
        self._publish()

    # --- the reset

    def _reset_over(self, episode_id: str, succeeded: bool, said: str) -> None:
        if episode_id != self._episode_id:
            return
        if succeeded:
            try:
                self._reset = reset_answer(said)
            except InputError as error:
                succeeded, said = False, str(error)
        self._ready_ns, self._filter_armed = self._now(), False
        if self._machine.reset_done(time.monotonic_ns(), succeeded, one_line(said)):
            self._changed()

    def _retreat_over(self, episode_id: str, succeeded: bool, said: str) -> None:
        if episode_id != self._episode_id:
            return
        if self._machine.retreated(time.monotonic_ns(), succeeded, one_line(said)):
            self._changed()

    def _hear_reset(self, message: DiagnosticArray) -> None:
        event = from_message(message, "reset/status", self._complaints)
        if event is None or event.values.get("episode_id") != self._episode_id:
            return
        self._machine.reset_heard(time.monotonic_ns(), event.message == "asking")

    # --- what an episode needs

    def _hear_policy(self, message: DiagnosticArray) -> None:
        event = from_message(message, "policy/status", self._complaints)
        if event is None or event.values.get("episode_id") != self._episode_id:
            return
        self._policy_version = event.hardware_id
        self._machine.heard(POLICY, time.monotonic_ns())

    def _hear_filter(self, message: DiagnosticArray) -> None:
        event = from_message(message, "safety/status", self._complaints)
        if event is None:
            return
        state, reasons = event.message, event.values.get("reasons", "")
        self._machine.heard(FILTER, time.monotonic_ns())
        self._filter_armed = state in ("armed", "holding") and event.stamp_ns > self._ready_ns
        names = set(filter(None, reasons.split(",")))
        stop = "e_stop" in names or event.values.get("status") == str(int(Status.E_STOP))
        if stop or state == "faulted":
            self._stop_automatic(f"safety filter {state}: {one_line(reasons)}")
        if stop and self._machine.state in (State.RESETTING, State.READY):
            # Whoever pressed it wants no motion that somebody asked for before.
            self._end(State.ABORTED, "the emergency stop is latched", Cause.STOP)
        if self._machine.state is State.RUNNING and state in ("faulted", "stopped", "disarmed"):
            said = f"safety filter {state}: {one_line(reasons) or 'told to'}"
            # After a contact, or where somebody stopped it by hand, a person has to look first.
            cause = Cause.FAULT if state == "stopped" and names <= PASSING else Cause.STOP
            self._end(State.ABORTED, said, cause)

    def _hear_recorder(self, message: DiagnosticArray) -> None:
        event = from_message(message, "recorder/status", self._complaints)
        if event is None:
            return
        self._recording_id = (
            event.values.get("episode_id", "") if event.message == "recording" else ""
        )
        required = self._settings.require_recorder and self._recording_id != self._episode_id
        if self._machine.state is State.RUNNING and required:
            self._end(State.ABORTED, "the recorder stopped", Cause.FAULT)

    def _hear_reward(self, message: JointState) -> None:
        try:
            success = named_vector(message, ["success"], "reward")[0]
            if not 0.0 <= success <= 1.0:
                raise InputError("reward", f"success is {success:g}", "publish 0 to 1")
        except InputError as error:
            self._complaints.say(error)
            return
        held = self._machine.paused or self._machine.retreating
        if success < 1.0 or held or not self._counts_from_ns <= stamp_ns(message) <= self._now():
            return
        self._end(State.SUCCESS, one_line(message.header.frame_id) or "reward", Cause.TASK)

    def _hear_intervention(self, message: DiagnosticArray) -> None:
        event = from_message(message, "intervention/status", self._complaints)
        if event is None:
            return
        self._person_in_command = event.values.get("in_command") == "1"
        if event.message != "active" or event.values.get("episode_id") != self._episode_id:
            return
        now, retreating = time.monotonic_ns(), self._machine.retreating
        if self._machine.taken_over(now):
            if retreating:
                self._resets.give_up(now)
            self._changed()

    def _hear_retry(self, message: DiagnosticArray) -> None:
        event = from_message(message, "retry/request", self._complaints)
        if event is None:
            return
        values, machine = event.values, self._machine
        known = (values.get("episode_id"), values.get("attempt"))
        if known != (self._episode_id, str(machine.attempt)) or self._person_in_command:
            self._complaints.say(
                "retry/request: is not of this attempt, or a person is in command; ignored",
                kind="retry foreign",
            )
            return
        now, cause = time.monotonic_ns(), one_line(values.get("cause", "")) or "no cause given"
        if event.message == "retry":
            done = machine.retreat(now, cause)
            if done:
                self._resets.ask("retreat", partial(self._retreat_over, self._episode_id))
        elif event.message == "help":
            done = machine.ask_help(now, cause)
        elif event.message == "abort":
            running = machine.state is State.RUNNING
            done = running and machine.end(State.ABORTED, now, f"given up: {cause}", Cause.FAULT)
        else:
            self._complaints.say(
                f"retry/request: '{event.message[:40]}' is none of retry, help and abort;"
                " check who sends it"
            )
            return
        if done:
            self._changed()

    # --- time

    def _check(self) -> None:
        now, machine = time.monotonic_ns(), self._machine
        self._resets.tick(now)
        changed = machine.tick(now)
        recording = not self._settings.require_recorder or (self._recording_id == self._episode_id)
        if machine.state is State.READY and recording and self._filter_armed:
            changed = machine.run(now) or changed
        if machine.state in OUTCOMES and not machine.paused and self._automatic.due(now):
            if self._settings.count_seed_up():
                changed = self._start(now, by_operator=False) or changed
            else:
                self._stop_automatic("there is no higher seed")
        if changed:
            self._changed()

    def _end(self, outcome: State, reason: str, cause: Cause) -> None:
        if self._machine.end(outcome, time.monotonic_ns(), reason, cause):
            self._changed()

    def _stop_automatic(self, reason: str) -> None:
        before = self._automatic.off
        self._automatic.stop(reason)
        if self._automatic.off != before:
            self._publish()

    def _changed(self) -> None:
        """What follows from the machine's new state, and the word to everybody."""
        machine = self._machine
        now = time.monotonic_ns()
        if machine.state is State.RUNNING and not machine.paused and not machine.retreating:
            self._counts_from_ns = self._now()
        if (machine.state, self._episode_id) != self._last:
            self._last = machine.state, self._episode_id
            if machine.state in OUTCOMES:
                self._resets.give_up(now)
                self._automatic.ended(machine.state, machine.cause, machine.reason, now)
                self._label.publish(self._publish())
                said = f"{self._episode_id}: {machine.state.value} ({machine.reason})"
                self.get_logger().info(said)
                return
        self._publish()

    def _publish(self) -> DiagnosticArray:
        message = to_message(self._event())
        self._state_publisher.publish(message)
        return message

    def _event(self) -> Event:
        machine, told, reset = self._machine, self._told, self._reset
        off = self._automatic.off
        if not off and self._automatic.enabled and machine.paused:
            off = "paused by the operator"
        values = {
            "episode_id": self._episode_id,
            "seed": str(told.seed),
            "task": self._contract.task,
            "goal": told.goal,
            "robot": self._contract.robot,
            "contract": self._contract.name,
            "contract_sha256": self._contract.sha256,
            "policy_version": self._policy_version,
            "operator": told.operator,
            "started_ns": str(self._started_ns),
            "time_limit_s": f"{machine.time_limit_s:g}",
            "reset_mode": told.reset_mode if reset is None else reset.mode,
            "reset_attempts": "" if reset is None else str(reset.attempts),
            "attempt": str(machine.attempt),
            "retry_cause": machine.retry_cause,
            "retreating": str(int(machine.retreating)),
            "paused": str(int(machine.paused)),
            DISCARDED: str(int(machine.discarded)),
            "help": machine.help,
            "automatic": str(int(self._automatic.enabled)),
            "automatic_off": off,
            "reason": machine.reason,
        }
        level = WARN if machine.state is State.ABORTED or machine.help else b"\x00"
        return Event("episode", machine.state.value, values, "", level, self._now())


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return spin(Episode, args, realtime_priority=10)


if __name__ == "__main__":
    sys.exit(main())
