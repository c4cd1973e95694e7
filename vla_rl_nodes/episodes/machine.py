"""The episode state machine: idle, resetting, ready, running, then one outcome."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where an episode is. The last four are outcomes."""

    IDLE = "idle"
    RESETTING = "resetting"
    READY = "ready"
    RUNNING = "running"
    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"
    ABORTED = "aborted"


OUTCOMES = (State.SUCCESS, State.FAILURE, State.TIMEOUT, State.ABORTED)


@dataclass(frozen=True)
class Watch:
    """How long whatever an episode needs may be silent or take, in seconds."""

    silence_s: float = 0.25
    alive: tuple[str, ...] = ("policy", "safety filter")
    reset_limit_s: float = 30.0
    # What was captured before the reset must be out of every buffer when the first step is made,
    # and the work of opening a bag and arming a filter must be over.
    settle_s: float = 0.5
    ready_limit_s: float = 10.0


class EpisodeMachine:
    """Decides the state from operator requests, results and silence; time is passed in.

    Args:
        time_limit_s: running longer than this ends in TIMEOUT (truncated, not a failure).
        watch: limits for what must be alive.
    """

    def __init__(self, time_limit_s: float, watch: Watch = Watch()) -> None:
        self.time_limit_s = time_limit_s
        self.watch = watch
        self.state = State.IDLE
        self.reason = ""
        self._since_ns = 0
        self._heard_ns: dict[str, int] = {}

    def _enter(self, state: State, now_ns: int, reason: str = "") -> bool:
        self.state, self.reason, self._since_ns = state, reason, now_ns
        return True

    def start(self, now_ns: int) -> bool:
        """An operator asks for the next episode; only from idle or an outcome."""
        if self.state is not State.IDLE and self.state not in OUTCOMES:
            return False
        return self._enter(State.RESETTING, now_ns)

    def reset_done(self, now_ns: int, succeeded: bool, reason: str = "") -> bool:
        """The reset's result."""
        if self.state is not State.RESETTING:
            return False
        if succeeded:
            return self._enter(State.READY, now_ns)
        return self._enter(State.ABORTED, now_ns, f"reset failed: {reason}")

    def run(self, now_ns: int) -> bool:
        """Everything that an episode needs is there; False while the robot still settles."""
        settled = (now_ns - self._since_ns) / 1e9 >= self.watch.settle_s
        if self.state is not State.READY or not settled:
            return False
        self._heard_ns = dict.fromkeys(self.watch.alive, now_ns)
        return self._enter(State.RUNNING, now_ns)

    def end(self, outcome: State, now_ns: int, reason: str) -> bool:
        """An outcome from the operator, the reward or a fault.

        Only a running episode can succeed or fail; whatever is under way can be aborted.
        """
        if outcome not in OUTCOMES:
            raise ValueError(f"{outcome} is no outcome")
        under_way = (State.RESETTING, State.READY, State.RUNNING)
        if self.state not in (under_way if outcome is State.ABORTED else (State.RUNNING,)):
            return False
        return self._enter(outcome, now_ns, reason)

    def heard(self, who: str, now_ns: int) -> None:
        """One of ``watch.alive`` has shown that it is alive."""
        self._heard_ns[who] = now_ns

    def tick(self, now_ns: int) -> bool:
        """Ends what has lasted too long or fallen silent; True when the state changed."""
        lasted = (now_ns - self._since_ns) / 1e9
        if self.state is State.RESETTING and lasted > self.watch.reset_limit_s:
            return self._enter(State.ABORTED, now_ns, "no reset came in time")
        if self.state is State.READY and lasted > self.watch.ready_limit_s:
            return self._enter(
                State.ABORTED, now_ns, "recorder, filter or observations did not become ready"
            )
        if self.state is State.RUNNING:
            for who in self.watch.alive:
                silent = (now_ns - self._heard_ns[who]) / 1e9
                if silent > self.watch.silence_s:
                    return self._enter(
                        State.ABORTED, now_ns, f"the {who} was silent for {silent:.2f} s"
                    )
            if lasted >= self.time_limit_s:
                return self._enter(State.TIMEOUT, now_ns, "time limit")
        return False
