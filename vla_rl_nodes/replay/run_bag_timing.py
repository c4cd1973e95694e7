"""When the recorded policy asked for its chunks and got them, and a worker that repeats that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vla_rl_nodes.chunking.delays import DelayEstimate
from vla_rl_nodes.chunking.strategies.strategy import Job, Plan
from vla_rl_nodes.chunking.worker import Done
from vla_rl_nodes.replay.recording import Event
from vla_rl_nodes.replay.steps import ABSENT

SEED_STEP = 1_000_003  # of chunking.runtime: a chunk's noise seed is the tick's stamp plus so many
STAMP_KEY = "stamp."  # of a sample that the policy used
_LARGEST_SEED = 1 << 31
_LOOK_BACK = 400  # ticks that a chunk may have taken, more than any is waited for


@dataclass(frozen=True)
class Asked:
    """One chunk that was used.

    Attributes:
        row: of the tick at which it was asked for.
        answered: row of the tick at which it was taken over.
        prefix: how many actions were committed when it was asked for.
        used: how many actions of the chunk before had been taken by then; None from rest.
    """

    row: int
    answered: int
    prefix: int
    used: int | None


@dataclass(frozen=True)
class Timing:
    """The chunks of one recording.

    Attributes:
        asked: by the row of the tick that asked.
        seed: the policy node's ``noise_seed``; 0 where no chunk tells it.
        unplaced: chunks that cannot be made again: the record lacks the tick that asked, or what
            was seen at it.
    """

    asked: Mapping[int, Asked]
    seed: int
    unplaced: int

    @property
    def delays(self) -> list[int]:
        """Ticks from each request to its answer, in order."""
        return [a.answered - a.row for _, a in sorted(self.asked.items())]


@dataclass(frozen=True)
class Reported:
    """What a tick's status says of its chunk; -1 where it says nothing.

    ``number`` counts the episode's ticks; ``blind`` where the policy saw nothing, and so did not
    go on either. ``followed`` unless somebody else was in command.
    """

    stamp_ns: int
    noise_seed: int
    chunk_index: int
    prefix_length: int
    number: int
    blind: bool
    followed: bool = True

    @classmethod
    def of(cls, event: Event, place: str) -> Reported:
        """One tick.

        Raises:
            InputError: a value that is no number.
        """

        def number(key: str, bits: int = 32) -> int:
            value = event.whole_number(key, place, bits)
            return ABSENT if value is None else value

        blind = not any(key.startswith(STAMP_KEY) for key in event.values)
        return cls(
            event.stamp_ns, number("noise_seed", 64), number("chunk_index"),
            number("prefix_length"), number("tick"), blind,
            event.values.get("followed") != "0",
        )  # fmt: skip


def read_timing(ticks: Sequence[Reported], seen: Sequence[bool]) -> Timing:
    """Places every chunk that was used at the tick that asked for it.

    A chunk's noise seed is made of the stamp of the tick that asked, so the record needs nothing
    else to tell which one that was.

    Args:
        ticks: of the episode, in order.
        seen: for each, whether its observation is there to ask with.
    """
    asked: dict[int, Asked] = {}
    seed: int | None = None
    unplaced, before = 0, ABSENT
    for row, tick in enumerate(ticks):
        if tick.noise_seed == ABSENT or tick.noise_seed == before:
            continue
        before = tick.noise_seed
        found = _asking(ticks, row, seed)
        if found is None or not seen[found[0]]:
            unplaced += 1
            continue
        at, seed = found
        # While somebody else commands, every chunk is asked for as from rest.
        taken = ticks[at].chunk_index if ticks[at].followed else ABSENT
        asked[at] = Asked(
            at, row, max(tick.prefix_length, 0), None if taken == ABSENT else taken
        )  # fmt: skip
    return Timing(asked, seed or 0, unplaced)


def _asking(ticks: Sequence[Reported], row: int, seed: int | None) -> tuple[int, int] | None:
    for at in range(row, max(row - _LOOK_BACK, -1), -1):
        given, rest = divmod(ticks[row].noise_seed - ticks[at].stamp_ns, SEED_STEP)
        if rest == 0 and 0 <= given < _LARGEST_SEED and seed in (None, given):
            return at, given
    return None


class RecordedWorker:
    """Takes a job only at the ticks at which the recorded policy asked, and answers it when that
    policy's chunk arrived.

    Args:
        compute: makes the plan, at once.
        timing: of the record.
    """

    def __init__(self, compute: Callable[[Job], Plan], timing: Timing) -> None:
        self._compute, self._timing = compute, timing
        self._pending: tuple[int, Done[Job, Plan]] | None = None
        self.row = 0  # of the tick under way; -1 in one that the record lacks

    @property
    def busy(self) -> bool:
        """Whether no job is taken now."""
        return self._pending is not None or self.row not in self._timing.asked

    def submit(self, job: Job) -> None:
        """Computes a job; an error is kept as its answer."""
        answer, error = None, None
        try:
            answer = self._compute(job)
        except Exception as caught:  # told as the live worker tells it
            error = caught
        done = Done(job, answer, error, 0, 0)
        self._pending = self._timing.asked[self.row].answered, done

    def finished(self) -> list[Done[Job, Plan]]:
        """The answer whose time has come."""
        if self._pending is None or self._pending[0] > self.row:
            return []
        done = [self._pending[1]]
        self._pending = None
        return done

    def stop(self, wait_s: float = 0.0) -> None:
        """Forgets what is kept back."""
        self._pending = None


class RecordedEstimate(DelayEstimate):
    """Predicts what the recorded policy predicted, at the tick under way of a worker."""

    def __init__(self, longest: int, worker: RecordedWorker, timing: Timing) -> None:
        super().__init__(longest)
        self._worker, self._timing = worker, timing

    @property
    def predicted(self) -> int:
        """Actions that were committed when the recorded chunk was asked for."""
        asked = self._timing.asked.get(self._worker.row)
        return 0 if asked is None else asked.prefix
