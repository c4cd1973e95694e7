"""The episode state machine: idle, resetting, ready, running, then one outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from typing import Literal

from vla_rl_nodes.episodes.reset_watch import ResetLimits, ResetWatch
from vla_rl_nodes.episodes.stopwatch import Stopwatch


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
UNDER_WAY = (State.RESETTING, State.READY, State.RUNNING)
POLICY, FILTER = "policy", "safety filter"


class Cause(Enum):
    """What an episode ended by; the reason says it in words."""

    OPERATOR = auto()
    TASK = auto()  # the reward, or the time limit
    FAULT = auto()  # something fell silent, did not become ready, or nobody came to help
    RESET = auto()  # a reset that was refused, failed or took too long
    STOP = auto()  # an emergency stop, or a filter that faulted or was disarmed


@dataclass(frozen=True)
class Watch:
    """How long whatever an episode needs may be silent or take, in seconds.

    Attributes:
        silence_s: of ``alive`` while it runs.
        settle_s: from ready to running at least. What was captured before the reset must be out
            of every buffer at the first step, and the work of opening a bag and arming a filter
            must be over.
        ready_limit_s: from ready to running at most.
        reset: of a reset, and of a retreat in mid-episode.
        help_limit_s: that a robot that asked for help waits for a person; 0: for ever.
        retreat_failed: what follows when a retreat fails.
    """

    silence_s: float = 0.25
    alive: tuple[str, ...] = (POLICY, FILTER)
    settle_s: float = 0.5
    ready_limit_s: float = 10.0
    reset: ResetLimits = field(default_factory=ResetLimits)
    help_limit_s: float = 120.0
    retreat_failed: Literal["help", "abort"] = "help"


class EpisodeMachine:
    """Decides the state from operator requests, results and silence.

    Time is passed in: nanoseconds of a monotonic clock. Every request returns whether it changed
    something; what is refused changes nothing.

    A paused episode keeps its state; its time limit does not count meanwhile, and the policy may
    be silent. An outcome is final: after the time limit an operator's success or failure is
    refused, because the bag is closed with the outcome that everybody has heard.

    Args:
        time_limit_s: running longer than this ends in TIMEOUT (truncated, not a failure).
        watch: limits for what must be alive.

    Attributes:
        state: where the episode is.
        reason: of the outcome, in words.
        cause: of the outcome; None before one.
        help: why the robot asks for a person; empty when it does not.
        attempt: 1, and one more for each retreat from which the policy tried again.
        retry_cause: of the last retreat, in words.
        retreating: whether the reset is in command in mid-episode.
        discarded: whether the operator threw the episode away.
    """

    def __init__(self, time_limit_s: float, watch: Watch = Watch()) -> None:
        self.time_limit_s = time_limit_s
        self.watch = watch
        self.state = State.IDLE
        self.reason = self.help = self.retry_cause = ""
        self.cause: Cause | None = None
        self.attempt = 1
        self.retreating = self.discarded = False
        self._ordered = False  # a pause, by the operator
        self._help_since_ns = 0
        self._lasts = Stopwatch()  # in this state, without pauses
        self._reset = ResetWatch(watch.reset, "reset")
        self._retreat = ResetWatch(watch.reset, "retreat")
        self._heard_ns: dict[str, int] = {}

    @property
    def paused(self) -> bool:
        """Whether the robot is to hold: by an operator's order, or until somebody helps."""
        return self._ordered or bool(self.help)

    def _enter(
        self, state: State, now_ns: int, reason: str = "", cause: Cause | None = None
    ) -> bool:
        self.state, self.reason, self.cause = state, reason, cause
        self.help, self.retreating = "", False
        self._lasts.restart(now_ns, not self.paused)
        return True

    def _count(self, now_ns: int) -> None:
        """After a change of ``paused``."""
        self._lasts.go(not self.paused, now_ns)
        self._reset.hold(self.paused, now_ns)
        self._retreat.hold(self.paused, now_ns)
        if not self.paused:  # nobody was asked to speak meanwhile
            self._heard_ns = dict.fromkeys(self.watch.alive, now_ns)

    # --- from one state to the next

    def start(self, now_ns: int) -> bool:
        """The next episode begins; only from idle or an outcome. A pause is over."""
        if self.state in UNDER_WAY:
            return False
        self._ordered, self.discarded = False, False
        self.attempt, self.retry_cause = 1, ""
        self._reset.begin(now_ns)
        return self._enter(State.RESETTING, now_ns)

    def reset_heard(self, now_ns: int, asking: bool) -> None:
        """A heartbeat of the reset or the retreat; ``asking`` while it waits for a person."""
        (self._retreat if self.retreating else self._reset).heard(now_ns, asking)

    def reset_done(self, now_ns: int, succeeded: bool, reason: str = "") -> bool:
        """The reset's result."""
        if self.state is not State.RESETTING:
            return False
        if succeeded:
            return self._enter(State.READY, now_ns)
        return self._enter(State.ABORTED, now_ns, f"reset failed: {reason}", Cause.RESET)

    def run(self, now_ns: int) -> bool:
        """Everything that an episode needs is there; False while the robot still settles."""
        settled = self._lasts.seconds(now_ns) >= self.watch.settle_s
        if self.state is not State.READY or self.paused or not settled:
            return False
        self._heard_ns = dict.fromkeys(self.watch.alive, now_ns)
        return self._enter(State.RUNNING, now_ns)

    def end(self, outcome: State, now_ns: int, reason: str, cause: Cause = Cause.FAULT) -> bool:
        """An outcome from the operator, the reward or a fault.

        Only a running episode can succeed or fail, and not while the reset moves the robot;
        whatever is under way can be aborted.
        """
        if outcome not in OUTCOMES:
            raise ValueError(f"{outcome} is no outcome")
        if outcome is not State.ABORTED and (self.state is not State.RUNNING or self.retreating):
            return False
        if self.state not in UNDER_WAY:
            return False
        return self._enter(outcome, now_ns, reason, cause)

    def discard(self, now_ns: int) -> bool:
        """The operator throws away the episode under way; its bag is kept, but not used."""
        ended = self.end(State.ABORTED, now_ns, "discarded by the operator", Cause.OPERATOR)
        self.discarded = self.discarded or ended
        return ended

    # --- pause, help and retreat

    def pause(self, now_ns: int) -> bool:
        """The operator holds the robot; who presses it has come, so help is not asked any more.

        Where no episode runs, none begins by itself until ``resume``.
        """
        if self._ordered:
            return False
        self._ordered, self.help = True, ""
        self._count(now_ns)
        return True

    def resume(self, now_ns: int) -> bool:
        """The operator lets the robot go on."""
        if not self.paused:
            return False
        self._ordered, self.help = False, ""
        self._count(now_ns)
        return True

    def ask_help(self, now_ns: int, reason: str) -> bool:
        """The robot holds until somebody takes over or lets it go on."""
        if self.state is not State.RUNNING or self.paused or self.retreating:
            return False
        return self._ask_help(now_ns, reason)

    def _ask_help(self, now_ns: int, reason: str) -> bool:
        self.help, self._help_since_ns = reason or "no reason given", now_ns
        self._count(now_ns)
        return True

    def taken_over(self, now_ns: int) -> bool:
        """A person is in command: the help is there, and a retreat is over without a new attempt.

        A pause by order stays.
        """
        if not self.help and not self.retreating:
            return False
        self.help, self.retreating = "", False
        self._count(now_ns)
        return True

    def retreat(self, now_ns: int, cause: str) -> bool:
        """The reset takes the robot back so that the policy can try again."""
        if self.state is not State.RUNNING or self.paused or self.retreating:
            return False
        self.retreating, self.retry_cause = True, cause
        self._retreat.begin(now_ns)
        return True

    def retreated(self, now_ns: int, succeeded: bool, reason: str = "") -> bool:
        """The retreat's result: the next attempt, or what ``retreat_failed`` says."""
        if not self.retreating:
            return False
        self.retreating = False
        if succeeded:
            self.attempt += 1
            return True
        said = f"retreat failed: {reason}"
        if self.watch.retreat_failed == "help":
            return self._ask_help(now_ns, said)
        return self._enter(State.ABORTED, now_ns, said, Cause.RESET)

    # --- silence and limits

    def heard(self, who: str, now_ns: int) -> None:
        """One of ``watch.alive`` has shown that it is alive."""
        self._heard_ns[who] = now_ns

    def tick(self, now_ns: int) -> bool:
        """Ends what has lasted too long or fallen silent; True when something changed."""
        if self.state is State.RESETTING:
            problem = self._reset.problem(now_ns)
            return bool(problem) and self._enter(State.ABORTED, now_ns, problem, Cause.RESET)
        if self.state is State.READY:
            late = self._lasts.seconds(now_ns) > self.watch.ready_limit_s
            said = "recorder, filter or observations did not become ready"
            return late and self._enter(State.ABORTED, now_ns, said, Cause.FAULT)
        return self.state is State.RUNNING and self._tick_running(now_ns)

    def _tick_running(self, now_ns: int) -> bool:
        for who in self.watch.alive:
            if self.paused and who == POLICY:
                continue  # it does not step
            silent = (now_ns - self._heard_ns[who]) / 1e9
            if silent > self.watch.silence_s:
                said = f"the {who} was silent for {silent:.2f} s"
                return self._enter(State.ABORTED, now_ns, said, Cause.FAULT)
        if self._lasts.seconds(now_ns) >= self.time_limit_s:
            return self._enter(State.TIMEOUT, now_ns, "time limit", Cause.TASK)
        waited, limit = (now_ns - self._help_since_ns) / 1e9, self.watch.help_limit_s
        if self.help and not self._ordered and 0.0 < limit < waited:
            said = f"nobody came to help within {limit:g} s: {self.help}"
            return self._enter(State.ABORTED, now_ns, said, Cause.FAULT)
        problem = self._retreat.problem(now_ns) if self.retreating else ""
        return bool(problem) and self.retreated(now_ns, False, problem)
