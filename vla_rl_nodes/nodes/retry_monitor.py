"""retry_monitor: asks for a retreat, for help or for the end when the robot does not get on."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState

from vla_rl_nodes.contract.decode import named_vector, stamp_ns
from vla_rl_nodes.episodes.machine import State
from vla_rl_nodes.episodes.retry import RetryMonitor
from vla_rl_nodes.episodes.retry_settings import load_retries
from vla_rl_nodes.episodes.tick_steps import TickSteps
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.episode_state import EpisodeState
from vla_rl_nodes.nodes.event import OK, WARN, Event, from_message, to_message
from vla_rl_nodes.nodes.lean_node import LeanNode
from vla_rl_nodes.nodes.qos import STREAM
from vla_rl_nodes.nodes.spin import spin

LARGEST = {"steps_to_go": 1e6, "progress": 1.0, "confidence": 1.0}


class RetryMonitorNode(LeanNode):
    """Hands the samples of ``progress`` to the monitor of the episodes' room.

    A step is a control tick of ``policy/status``. Nothing is watched while the episode is paused,
    while a person or the reset is in command, and for a while after each of them.
    """

    def __init__(self) -> None:
        super().__init__("retry_monitor")
        name = parameters.text(self, "retries", "franka_pick", "Settings, name or path.")
        self._settings = load_retries(name)
        self._complaints = Complaints(self.get_logger())
        self._monitor = RetryMonitor(self._settings)
        self._steps = TickSteps()
        self._person = False
        self._watching: tuple[object, ...] = ()  # what began, when it is watched from
        self._counts_of = ""  # the episode that these are of
        self._helps = self._asked = 0
        self._asking = False
        self._heard_in = -1  # the step of the last usable sample
        self._request = self.create_publisher(DiagnosticArray, "retry/request", STREAM)
        self._status = self.create_publisher(DiagnosticArray, "retry/status", STREAM)
        self._episode = EpisodeState(self, self._complaints, self._changed)
        self.create_subscription(DiagnosticArray, "policy/status", self._hear_policy, STREAM)
        self.create_subscription(
            DiagnosticArray, "intervention/status", self._hear_intervention, STREAM
        )
        self.create_subscription(JointState, "progress", self._hear_progress, STREAM)
        self.create_timer(1.0, self._say)

    @property
    def _active(self) -> bool:
        """Whether the policy moves the robot."""
        held = self._episode.paused or self._episode.retreating or self._person
        return self._episode.state is State.RUNNING and not held

    def _changed(self, state: State, event: Event) -> None:
        running_id = self._episode.running_id
        if running_id is not None and running_id != self._counts_of:
            self._steps.restart()
            self._counts_of, self._helps, self._asking, self._asked = running_id, 0, False, 0
        asking = bool(self._episode.help)
        self._helps += asking and not self._asking
        self._asking = asking
        self._follow()

    def _follow(self) -> None:
        """Begins anew whenever something else than the policy has moved the robot, or held it."""
        episode = self._episode
        watching = (episode.episode_id, episode.attempt, self._active)
        if watching != self._watching:
            self._watching = watching
            self._heard_in = self._steps.present
            self._monitor.begin(self._steps.present)

    def _hear_policy(self, message: DiagnosticArray) -> None:
        event = from_message(message, "policy/status", self._complaints)
        if event is None or event.values.get("episode_id") != self._episode.running_id:
            return
        self._steps.tick(event.stamp_ns)

    def _hear_intervention(self, message: DiagnosticArray) -> None:
        event = from_message(message, "intervention/status", self._complaints)
        if event is None:
            return
        # Also one who brings a leader to the robot, lets go of it, or whose device is lost.
        self._person = event.values.get("in_command") == "1"
        self._follow()

    def _hear_progress(self, message: JointState) -> None:
        if not self._active:
            return
        try:
            found = _sample(message)
        except InputError as error:
            self._complaints.say(error)
            return
        signal = self._settings.watch.signal
        if signal not in found:
            self._complaints.say(
                f"progress: has no '{signal}', which the settings watch; choose another reward"
                " backend or another signal"
            )
            return
        # A source that says nothing of its confidence has none to doubt.
        if found.get("confidence", 1.0) < self._settings.confidence_min:
            return
        step = self._steps.at(stamp_ns(message))
        if step is None:
            return  # captured before the episode, or so long ago that its tick is forgotten
        self._heard_in = step
        stall = self._monitor.add(step, found[signal])
        if stall is not None:
            self._ask(stall.cause)

    def _ask(self, cause: str) -> None:
        episode = self._episode
        action = self._settings.action(episode.attempt - 1 + self._helps)
        self._asked += 1
        values = {
            "episode_id": episode.episode_id,
            "cause": cause,
            "attempt": str(episode.attempt),
        }
        now = self.get_clock().now().nanoseconds
        event = Event("retry_monitor", action, values, "", WARN, now)
        self._request.publish(to_message(event))
        self.get_logger().warning(f"{episode.episode_id}: {action}: {cause}")

    def _say(self) -> None:
        present = self._steps.present
        blind = present - self._heard_in > self._settings.watch.window_steps
        if not self._active:
            message = "idle"
        elif self._monitor.quiet(present):
            message = "quiet"
        elif blind:
            message = "blind"
            self._complaints.say("progress: nothing usable comes; check the reward node")
        else:
            message = "watching"
        now = self.get_clock().now().nanoseconds
        level = WARN if message == "blind" else OK
        event = Event("retry_monitor", message, self._values(present), "", level, now)
        self._status.publish(to_message(event))

    def _values(self, present: int) -> Mapping[str, str]:
        judged = self._monitor.judgement
        return {
            "episode_id": self._episode.episode_id,
            "signal": self._settings.watch.signal,
            "step": str(present),
            "attempt": str(self._episode.attempt),
            "requests": str(self._asked),
            "expected": "" if judged is None else f"{judged.expected:.3f}",
            "achieved": "" if judged is None else f"{judged.achieved:.3f}",
            "lagging": "" if judged is None else str(int(judged.lagging)),
        }


def _sample(message: JointState) -> dict[str, float]:
    """What a message on ``progress`` says, each in its range.

    Raises:
        InputError: an unknown name, or a value out of its range.
    """
    names = list(message.name)
    values = dict(zip(names, named_vector(message, names, "progress").tolist(), strict=True))
    for name, value in values.items():
        if name not in LARGEST:
            raise InputError("progress", f"'{name[:40]}' is unknown", "check who publishes it")
        if not 0.0 <= value <= LARGEST[name]:
            raise InputError("progress", f"{name} is {value:g}", f"publish 0 to {LARGEST[name]:g}")
    return values


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return spin(RetryMonitorNode, args)


if __name__ == "__main__":
    sys.exit(main())
