"""Who is in command: intervention before reset before policy, each with its own commands."""

from __future__ import annotations

from collections.abc import Sequence

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.safety.commands import Commands, Pair
from vla_rl_nodes.safety.inputs import Refusal
from vla_rl_nodes.safety.limits import SafetyLimits, nanoseconds
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Instant, Source

PLACES = {
    Source.INTERVENTION: "intervention command",
    Source.RESET: "reset command",
    Source.POLICY: "command",
}


class Arbiter:
    """Takes the commands of the one source that is in command, and says how old they are.

    The highest engaged source is in command, the policy when none is engaged. An engaged source
    stays in command when it falls silent: nothing falls back to the policy by itself.

    The reset may command joints instead of the contract's actions.

    Args:
        contract: axis names and the control period.
        limits: timeouts.
        joints: what a command of joints consists of; empty where the robot takes none.
    """

    def __init__(
        self, contract: Contract, limits: SafetyLimits, joints: Sequence[str] = ()
    ) -> None:
        self.in_command = Source.POLICY
        self.executed_any = False  # since the arming, or the last change of source
        self._engaged: set[Source] = set()
        self._commands = {
            source: Commands(place, contract.action.names, limits)
            for source, place in PLACES.items()
        }
        self._joints = Commands("reset joints", joints, limits)
        self._all = (*self._commands.values(), self._joints)
        self._spacing_ns = contract.period_ns // 2
        self._taken_ns: int | None = None
        self._fresh = Instant(0, 0)  # what the age of the last command counts from
        self._first_ns = nanoseconds(limits.first_command_timeout_s)
        self._stop_ns = nanoseconds(limits.stop_after_s)
        self._hold_ns = nanoseconds(limits.command_timeout_s)

    def set_limits(self, limits: SafetyLimits) -> None:
        """Takes the timeouts of new limits."""
        self._first_ns = nanoseconds(limits.first_command_timeout_s)
        self._stop_ns = nanoseconds(limits.stop_after_s)
        self._hold_ns = nanoseconds(limits.command_timeout_s)
        for commands in self._all:
            commands.set_limits(limits)

    def begin(self, now: Instant) -> None:
        """The arm is armed: everything from before is forgotten."""
        self.executed_any = False
        self._taken_ns = None
        self.refresh(now)

    def refresh(self, now: Instant) -> None:
        """Forgets the commands from before ``now`` and counts their age from here."""
        for commands in self._all:
            commands.reset(now)
        self._fresh = now

    def engage(self, source: Source, engaged: bool, now: Instant) -> Source | None:
        """A source takes command or gives it back; who was in command until now, on a change.

        Raises:
            InputError: the policy, which is in command by itself when no other is.
        """
        if source is Source.POLICY:
            raise InputError(
                "engage", "the policy is in command when no other is", "engage another source"
            )
        if engaged:
            self._engaged.add(source)
        else:
            self._engaged.discard(source)
        before = self.in_command
        self.in_command = next((s for s in Source if s in self._engaged), Source.POLICY)
        if self.in_command is before:
            return None
        self.executed_any = False  # who takes command may need a moment, as after the arming
        self.refresh(now)
        return before

    def command(
        self,
        source: Source,
        stamp_ns: int,
        arrival: Instant,
        names: Sequence[str],
        values: Sequence[float],
    ) -> Refusal | None:
        """Stores a source's base action, or says why not."""
        return self._outranked(source) or self._commands[source].base(
            stamp_ns, arrival, names, values
        )

    def joints(
        self, stamp_ns: int, arrival: Instant, names: Sequence[str], values: Sequence[float]
    ) -> Refusal | None:
        """Stores the reset's joint command, or says why not."""
        return self._outranked(Source.RESET) or self._joints.base(stamp_ns, arrival, names, values)

    def residual(
        self, stamp_ns: int, arrival: Instant, names: Sequence[str], values: Sequence[float]
    ) -> Refusal | None:
        """Stores a residual of the policy's command, or says why not."""
        return self._outranked(Source.POLICY) or self._commands[Source.POLICY].residual(
            stamp_ns, arrival, names, values
        )

    def take(self, now: Instant) -> Pair | Refusal | None:
        """The command to execute now, once; a refusal; None when there is none."""
        earliest = None if self._taken_ns is None else self._taken_ns + self._spacing_ns
        pair = self._commands[self.in_command].take(now, earliest)
        if pair is None and self.in_command is Source.RESET:
            pair = self._joints.take(now, earliest)
            pair = pair._replace(joints=True) if isinstance(pair, Pair) else pair
        if isinstance(pair, Pair):
            self._taken_ns = pair.base.stamp_ns
            self.executed_any = True
            # A command counts from its stamp and its arrival, whichever makes it older.
            self._fresh = Instant(pair.base.stamp_ns, pair.base.arrival.steady_ns)
        return pair

    def age_ns(self, now: Instant) -> int:
        """Age of the last command; of the arming or the change of source while none came."""
        return max(now.ros_ns - self._fresh.ros_ns, now.steady_ns - self._fresh.steady_ns)

    def silent(self, now: Instant) -> bool:
        """Whether there was no command for so long that the arm must stop."""
        return self.age_ns(now) > (self._stop_ns if self.executed_any else self._first_ns)

    def late(self, now: Instant) -> bool:
        """Whether there was no command for so long that the filter is holding."""
        return self.age_ns(now) > self._hold_ns

    def _outranked(self, source: Source) -> Refusal | None:
        if source is self.in_command:
            return None
        return Refusal(
            Reason.OUTRANKED, f"{PLACES[source]} refused: {self.in_command} is in command"
        )
