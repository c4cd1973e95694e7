"""A reset from its request to its end: attempts, and a person when they do not do."""

from __future__ import annotations

from collections.abc import Callable

from vla_rl_nodes.episodes.reset.arm import TAKEN_OVER, Arm, stop_words
from vla_rl_nodes.episodes.reset.attempt import Attempts
from vla_rl_nodes.episodes.reset.kit import Kit
from vla_rl_nodes.episodes.reset.progress import Progress
from vla_rl_nodes.episodes.reset.seen import (
    ENDED,
    IDLE,
    TAKING,
    AttemptFailed,
    Halted,
    NeedsPerson,
    Orders,
    Phase,
    Refused,
    Seen,
    Steps,
)
from vla_rl_nodes.episodes.reset.settings import Mode, ResetRequest
from vla_rl_nodes.episodes.reset.sources import Sources
from vla_rl_nodes.episodes.reset.totals import Totals
from vla_rl_nodes.errors import InputError

RELEASE_S = 2.0  # that the filter may take to let go between two attempts
QUIET_S = 1.2  # without command after a stop: the filter takes what follows sooner for the same
GUIDE = "bring the robot where it shall begin, let go of it, then confirm"


class ResetRun:
    """One reset, advanced by one tick after another; the same in simulated time and in a node.

    Call :meth:`tick` once in each control period until ``over``; whatever happens, the last
    orders give back command.

    Args:
        kit: the robot, its planners and its script.
        sources: what the modes draw on.
        request: mode and seed.
        totals: counts over all resets.
        log: told one line for each failed attempt and each question.
    """

    def __init__(
        self,
        kit: Kit,
        sources: Sources,
        request: ResetRequest,
        totals: Totals,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.request, self.progress = request, Progress()
        self._kit, self._totals, self._log = kit, totals, log
        self._attempts = Attempts(kit, sources, request, self.progress)
        self._confirmed = self._cancelled = False
        self._began_s: float | None = None
        self._now_s = 0.0
        self._steps: Steps[None] | None = None
        self._seen: Seen | None = None
        self._halted = False  # whether what a person is asked about is a stop

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do."""
        return self.progress.phase in ENDED

    @property
    def done(self) -> bool:
        """Whether the start was reached and verified."""
        return self.progress.phase is Phase.DONE

    @property
    def seconds(self) -> float:
        """How long it has taken, s."""
        return 0.0 if self._began_s is None else self._now_s - self._began_s

    @property
    def answer(self) -> str:
        """The result in one line."""
        if self.done:
            mode = self.request.mode.value
            return f"mode={mode} attempts={self.progress.attempt} seconds={self.seconds:.1f}"
        return self.progress.reason or self.progress.phase.value

    def confirm(self) -> bool:
        """A person has put it right; False, and nothing happens, while nobody was asked."""
        if self.progress.phase is not Phase.ASKING:
            return False
        self._confirmed = True
        return True

    def cancel(self) -> bool:
        """Gives up; False when it is over already."""
        if self.over:
            return False
        self._cancelled = True
        return True

    def give_up(self, reason: str) -> None:
        """Ends it as failed."""
        if not self.over:
            self._end(Phase.FAILED)
            self.progress.reason = reason

    def tick(self, seen: Seen) -> Orders:
        """Advances by one control period."""
        self._now_s = seen.time_s
        if self.over:
            return IDLE
        self._seen = seen
        try:
            if self._cancelled:
                if self._steps is not None:
                    self._steps.close()
                self.progress.reason = "cancelled"
                orders = self._end(Phase.CANCELLED)
            elif self._steps is None:
                self._began_s = seen.time_s
                self._steps = self._reset()
                orders = next(self._steps)
            else:
                orders = self._steps.send(seen)
        except StopIteration:
            return IDLE
        return orders

    def _end(self, phase: Phase) -> Orders:
        self.progress.at(phase, "")
        self._totals.ended(self._now_s, self.progress.attempt, phase is Phase.DONE)
        return IDLE

    def _reset(self) -> Steps[None]:
        if self.request.mode is Mode.HUMAN_GUIDED and not self._attempts.refused():
            guided = yield from self._guided()
            if not guided:
                return
        while True:
            reason = yield from self._tried()
            if not reason:
                self.progress.reason = ""
                yield self._end(Phase.DONE)
                return
            if self.progress.phase is Phase.FAILED or not (yield from self._asked(reason)):
                yield self._end(Phase.FAILED)
                return

    def _tried(self) -> Steps[str]:
        """All attempts; why none did, empty where one did.

        What was stopped, or taken over, is not attempted again: a person is asked first.
        """
        progress, most = self.progress, self._kit.settings.attempts
        self._halted = False
        for _ in range(most):
            progress.attempt += 1
            try:
                yield from self._attempts.run()
                return ""
            except Refused as refusal:
                progress.at(Phase.FAILED, "")
                progress.reason = str(refusal)
                return progress.reason
            except NeedsPerson as need:
                reason = str(need)
                break
            except InputError as error:
                reason = " ".join(str(error).split())
                break
            except Halted as error:
                self._halted = True
                progress.failed.append(str(error))
                reason = _of_stop(str(error))
                break
            except AttemptFailed as error:
                reason = str(error)
                progress.failed.append(reason)
                self._log(f"attempt {progress.attempt} failed: {reason}")
                yield from self._let_go()
        else:
            reason = f"{most} attempts failed, the last: {reason}" if most > 1 else reason
        return reason

    def _let_go(self) -> Steps[Seen]:
        """Gives back command, and waits until the filter has brought the arm to rest.

        Not under the hands of a person who has taken over: the filter is armed for the reset.
        """
        seen = self._seen
        while seen is not None and seen.filter is not None and seen.filter.persons:
            seen = yield Orders(True)
        seen = yield IDLE
        until = seen.time_s + RELEASE_S
        while seen.filter is not None and seen.filter.state in (*TAKING, "stopping"):
            if seen.time_s > until:
                break
            seen = yield IDLE
        return seen

    def _asked(self, reason: str) -> Steps[bool]:
        """Waits for a person; whether he has confirmed."""
        self._ask(reason)
        seen = yield from self._let_go()
        began, limit = seen.time_s, self._kit.settings.ask_limit_s
        quiet = QUIET_S if self._halted else 0.0
        while not self._confirmed or seen.time_s - began < quiet:
            if limit > 0.0 and seen.time_s - began > max(limit, quiet):
                self.progress.reason = f"{reason} (nobody came within {limit:g} s)"
                return False
            seen = yield IDLE
        self._helped()
        return True

    def _guided(self) -> Steps[bool]:
        """The arm is held, for a person to lead it by the intervention's device; whether he has
        confirmed. What stops it meanwhile is asked about first."""
        while True:
            stopped = yield from self._led()
            if not stopped:
                return not self.over
            self._halted = True
            if not (yield from self._asked(_of_stop(stopped))):
                yield self._end(Phase.FAILED)
                return False

    def _led(self) -> Steps[str]:
        """See :meth:`_guided`; why the robot was stopped, empty where it was not."""
        self._halted = False
        self._ask(GUIDE)
        arm, limit = Arm(self._kit, self.progress), self._kit.settings.ask_limit_s
        seen = yield Orders(True)
        began, taken = seen.time_s, False
        while not self._confirmed:
            if limit > 0.0 and seen.time_s - began > limit:
                self.progress.reason = f"nobody came within {limit:g} s"
                yield self._end(Phase.FAILED)
                return ""
            said = seen.filter
            led = said is not None and (said.ours or said.persons)
            if said is not None and taken and not led:
                return stop_words(seen)
            taken = taken or led
            if said is None or not said.ours:
                arm.q = None  # where he leaves it, it is held
            elif arm.q is None and arm.rests(seen):
                arm.hold_at(seen)
            seen = yield arm.orders()
        self._helped()
        yield from self._let_go()
        return ""

    def _ask(self, reason: str) -> None:
        self._confirmed = False
        self.progress.at(Phase.ASKING, "ask a person")
        self.progress.reason = reason
        self._totals.asked += 1
        self._totals.person(self._now_s)
        self._log(f"asks a person: {reason}")

    def _helped(self) -> None:
        self._confirmed = False
        # Who has looked at a stop has not said that the objects lie where they should.
        self._attempts.trusted = self._attempts.trusted or not self._halted
        self._totals.person(self._now_s)


def _of_stop(words: str) -> str:
    """What a person is asked about a stop, or who has taken over."""
    if words == TAKEN_OVER:
        return f"{words}; confirm when the reset may go on"
    return f"{words}; look why, then confirm"
