"""Where the filter's state machine stands, and what there is to say about the present tick."""

from __future__ import annotations

from vla_rl_nodes.safety.arbitration import Arbiter
from vla_rl_nodes.safety.inputs import Refusal
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.state import Instant, Problem, State

TAKING = (State.ARMED, State.HOLDING)


class Course:
    """The state, why it is on its way to rest, and the reasons and messages of this tick."""

    def __init__(self) -> None:
        self.state = State.DISARMED
        self.cause = NONE
        self.reasons = NONE  # since the last tick
        self.messages: list[str] = []
        self._after = State.DISARMED

    @property
    def taking(self) -> bool:
        """Whether commands are taken."""
        return self.state in TAKING

    @property
    def moving(self) -> bool:
        """Whether something is commanded in every tick."""
        return self.state in TAKING or self.state is State.STOPPING

    def begin(self) -> None:
        """The robot is armed."""
        self.state, self.cause = State.ARMED, NONE

    def end(self) -> None:
        """The robot is disarmed, at rest."""
        self.state, self.cause = State.DISARMED, NONE

    def stop(self, problem: Problem, after: State) -> None:
        """The stored stop is followed; at rest the state will be ``after``."""
        self.state, self._after = State.STOPPING, after
        self.cause |= problem.reason
        self.reasons |= problem.reason
        self.messages.append(f"{problem.message}: stopping")

    def fault(self, problem: Problem) -> None:
        """Stops, to be faulted at rest; told once for each reason.

        A disarmed filter stays disarmed, there is nothing to stop.
        """
        self.reasons |= problem.reason
        if self.state is State.DISARMED:
            self.messages.append(problem.message)
            return
        stops_faulted = self.state is State.STOPPING and self._after is State.FAULTED
        if (stops_faulted or self.state is State.FAULTED) and problem.reason in self.cause:
            return
        self.cause |= problem.reason
        if self.moving:
            self.state, self._after = State.STOPPING, State.FAULTED
        else:
            self.state = State.FAULTED
        self.messages.append(f"{problem.message}: stopping, faulted")

    def rest(self) -> None:
        """The stop has come to its end."""
        self.state = self._after
        self.messages.append(f"the robot is at rest, {self.state}")

    def judge(self, arbiter: Arbiter, now: Instant) -> None:
        """Armed, holding or stopping, by how long ago the last command came."""
        said = f"no command of {arbiter.in_command} for {arbiter.age_ns(now) / 1e6:.0f} ms"
        if arbiter.silent(now):
            self.stop(Problem(Reason.STALE_COMMAND, said), State.STOPPED)
        elif not arbiter.late(now):
            self.state = State.ARMED
        else:
            if self.state is State.ARMED and arbiter.executed_any:
                self.reasons |= Reason.STALE_COMMAND
                self.messages.append(f"{said}: holding")
            self.state = State.HOLDING

    def noted(self, refusal: Refusal | None) -> Refusal | None:
        """Lets the next tick say why an input was refused; who is not armed refuses them all."""
        if refusal is not None and refusal.reason is not Reason.NOT_ARMED:
            self.reasons |= refusal.reason
        return refusal

    def clear(self) -> None:
        """The tick is over: its reasons and messages are said."""
        self.reasons, self.messages = NONE, []
