"""episode: the episode's state machine with its operator services."""

from __future__ import annotations

import sys
import uuid
from functools import partial

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from vla_rl_nodes.contract.decode import named_vector
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.episodes.machine import OUTCOMES, EpisodeMachine, State
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.episode_state import TOPIC
from vla_rl_nodes.nodes.event import WARN, Event, from_message, to_message
from vla_rl_nodes.nodes.lean_node import LeanNode
from vla_rl_nodes.nodes.qos import LATCHED, STREAM
from vla_rl_nodes.nodes.spin import spin

CHECK_PERIOD_S = 0.02


class Episode(LeanNode):
    """Moves episodes from reset to outcome and tells everybody.

    ``episode/start`` asks ``reset/request`` for a reset, waits until the recorder is recording
    and the filter is armed, then runs. The outcome comes from ``reward`` (its ``success``), from
    the operator's services, from the time limit, or from silence or a fault.
    """

    def __init__(self) -> None:
        super().__init__("episode")
        self._contract = load_contract(
            parameters.text(self, "contract", "franka_pick", "Contract name or path.")
        )
        self._recorded = parameters.flag(
            self, "require_recorder", True, "Run only while the recorder records."
        )
        parameters.integer(
            self, "seed", -1, -1, 2**31 - 1, "Seed told with the next episode; -1: none.",
            read_only=False,
        )  # fmt: skip
        self._complaints = Complaints(self.get_logger())
        self._machine = EpisodeMachine(self._contract.episode.time_limit_s)
        self._episode_id = ""
        self._started_ns = 0
        self._policy_version = ""
        self._recording_id = ""
        self._reset_asked = False
        self._ready_ns = 0
        self._filter_armed = False
        self._state_publisher = self.create_publisher(DiagnosticArray, TOPIC, LATCHED)
        self._label = self.create_publisher(DiagnosticArray, "episode/label", LATCHED)
        self._reset = self.create_client(Trigger, "reset/request")
        for name in ("start", "success", "failure", "abort"):
            handler = partial(self._serve, name)
            self.create_service(Trigger, f"episode/{name}", handler)
        self.create_subscription(DiagnosticArray, "policy/status", self._policy, STREAM)
        self.create_subscription(DiagnosticArray, "safety/status", self._safety, STREAM)
        self.create_subscription(DiagnosticArray, "recorder/status", self._recorder, LATCHED)
        self.create_subscription(JointState, "reward", self._reward, STREAM)
        self.create_timer(CHECK_PERIOD_S, self._check)
        self._publish()

    def _now(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    def _serve(
        self, name: str, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        now, before = self._now(), self._machine.state
        if name == "start":
            done = self._machine.start(now)
            if done:
                self._begin(now)
        else:
            outcome = {
                "success": State.SUCCESS, "failure": State.FAILURE, "abort": State.ABORTED,
            }[name]  # fmt: skip
            done = self._machine.end(outcome, now, "operator")
        response.success = done
        response.message = (
            self._episode_id if done else f"not while {before.value}; wait for another state"
        )
        if done:
            self._publish()
        return response

    def _begin(self, now: int) -> None:
        self._started_ns = now
        # Sortable by start, unique across robots and restarts.
        self._episode_id = f"{now // 1_000_000}-{uuid.uuid4().hex[:8]}"
        self._reset_asked = False
        self._ask_reset()

    def _ask_reset(self) -> None:
        """Asks once, as soon as somebody offers it: discovery can lag behind the operator."""
        if self._reset_asked or not self._reset.service_is_ready():
            return
        self._reset_asked = True
        self._reset.call_async(Trigger.Request()).add_done_callback(
            partial(self._reset_done, self._episode_id)
        )

    def _reset_done(self, episode_id: str, future: Future) -> None:
        if episode_id != self._episode_id:
            return
        result = future.result()
        succeeded = result is not None and result.success
        reason = "" if result is None else result.message
        self._ready_ns, self._filter_armed = self._now(), False
        if self._machine.reset_done(self._ready_ns, succeeded, reason):
            self._publish()

    def _policy(self, message: DiagnosticArray) -> None:
        event = from_message(message, "policy/status", self._complaints)
        if event is None or event.values.get("episode_id") != self._episode_id:
            return
        self._policy_version = event.hardware_id
        self._machine.heard("policy", self._now())

    def _safety(self, message: DiagnosticArray) -> None:
        event = from_message(message, "safety/status", self._complaints)
        if event is None:
            return
        state = event.message
        self._machine.heard("safety filter", self._now())
        self._filter_armed = state in ("armed", "holding") and event.stamp_ns > self._ready_ns
        if self._machine.state is State.RUNNING and state in ("faulted", "stopped", "disarmed"):
            reason = event.values.get("reasons", "") or "told to"
            if self._machine.end(State.ABORTED, self._now(), f"safety filter {state}: {reason}"):
                self._publish()

    def _recorder(self, message: DiagnosticArray) -> None:
        event = from_message(message, "recorder/status", self._complaints)
        if event is None:
            return
        self._recording_id = (
            event.values.get("episode_id", "") if event.message == "recording" else ""
        )
        if (
            self._machine.state is State.RUNNING
            and self._recorded
            and self._recording_id != self._episode_id
            and self._machine.end(State.ABORTED, self._now(), "the recorder stopped")
        ):
            self._publish()

    def _reward(self, message: JointState) -> None:
        try:
            success = named_vector(message, ["success"], "reward")[0]
        except InputError as error:
            self._complaints.say(error)
            return
        stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        if success < 1.0 or stamp < self._started_ns or stamp > self._now():
            return
        if self._machine.end(State.SUCCESS, self._now(), message.header.frame_id or "reward"):
            self._publish()

    def _check(self) -> None:
        now = self._now()
        if self._machine.state is State.RESETTING:
            self._ask_reset()
        changed = self._machine.tick(now)
        recording = not self._recorded or self._recording_id == self._episode_id
        if self._machine.state is State.READY and recording and self._filter_armed:
            changed = self._machine.run(now) or changed
        if changed:
            self._publish()

    def _publish(self) -> None:
        machine = self._machine
        values = {
            "episode_id": self._episode_id,
            "seed": str(self.get_parameter("seed").value),
            "task": self._contract.task,
            "robot": self._contract.robot,
            "contract": self._contract.name,
            "contract_sha256": self._contract.sha256,
            "policy_version": self._policy_version,
            "started_ns": str(self._started_ns),
            "reason": machine.reason,
        }
        level = WARN if machine.state is State.ABORTED else b"\x00"
        stamp = self._now()
        event = Event("episode", machine.state.value, values, "", level, stamp)
        self._state_publisher.publish(to_message(event))
        if machine.state in OUTCOMES:
            self._label.publish(to_message(event))
            self.get_logger().info(f"{self._episode_id}: {machine.state.value} ({machine.reason})")


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return spin(Episode, args, realtime_priority=10)


if __name__ == "__main__":
    sys.exit(main())
