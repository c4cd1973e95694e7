"""The judges of one robot at work: what they are shown, and what is told of their verdicts.

Pure: times are passed in, and whoever owns the panel runs the judges' threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.episodes.reward.film import Film
from vla_rl_nodes.episodes.reward.judge import Judge, Look
from vla_rl_nodes.episodes.reward.looks import Looks
from vla_rl_nodes.episodes.reward.predicate import TimePenalty
from vla_rl_nodes.episodes.reward.spec import Rewards
from vla_rl_nodes.episodes.reward.step_rewards import StepRewards
from vla_rl_nodes.episodes.reward.verdict import Verdict
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.ingest.buffer import Sample, check_stamp

Topic = Literal["reward", "success", "progress"]
STATE_TOPIC = "sim/state"
_STALE_NS = 1_000_000_000


@dataclass(frozen=True)
class Told:
    """A named vector to publish: names without a value are left out, so that none is NaN."""

    topic: Topic
    stamp_ns: int
    values: Mapping[str, float]
    source: str


@dataclass
class Seat:
    """A judge of the panel, how often it looks, and what became of its looks."""

    judge: Judge
    every_ns: int
    max_age_ns: int
    film: Film | None
    verdicts: int = 0
    errors: int = 0
    late: int = 0
    latency_ms: float = 0.0
    looked_ns: int | None = None
    seen: dict[str, int] = field(default_factory=dict)


class Panel:
    """Decides who looks when, and what the topics say; called from one thread.

    Args:
        config: which judge has which role.
        contract: gives the streams.
        judges: by the names of the configuration.
        say: called with a line and its kind when something is wrong.

    Raises:
        InputError: a judge wants a stream that the contract does not have.
    """

    def __init__(
        self,
        config: Rewards,
        contract: Contract,
        judges: Mapping[str, Judge],
        say: Callable[[str, str], None],
    ) -> None:
        # The judge whose verdicts are told, and what time costs besides.
        *_, self._rewards = sorted(
            config.roles.reward, key=lambda n: config.backends[n].kind != "time_penalty"
        )
        costs = {name: judges[name] for name in config.roles.reward if name != self._rewards}
        self._cost = sum(c.per_step for c in costs.values() if isinstance(c, TimePenalty))
        self.seats = {}
        for name, judge in judges.items():
            if name in costs:
                continue
            spec = config.backends[name]
            every_ns = round(getattr(spec, "every_s", 0.0) * 1e9)
            film = Film(judge.film) if judge.film else None
            self.seats[name] = Seat(judge, every_ns, round(spec.max_age_s * 1e9), film)
        self.looks = Looks(contract, (key for judge in judges.values() for key in judge.streams))
        self.episode_id = ""
        self.running = False
        # Paused, or moved back by the reset: what happens meanwhile is not the policy's doing.
        self.held = False
        self.attempt = 1
        self._say = say
        self._succeeds, self._progresses = config.roles.success, config.roles.progress
        self._steps = StepRewards()
        self._forget()

    def _forget(self) -> None:
        self._steps.reset()
        self._told_ns = 0
        self._reward = self._owed = 0.0
        self._success = False
        self._confidence: float | None = None
        for seat in self.seats.values():
            seat.looked_ns, seat.seen = None, {}
            if seat.film is not None:
                seat.film.reset()

    def begin(self, episode_id: str, task: str, ready_ns: int) -> None:
        """An episode runs; what was captured before ``ready_ns`` shows the world before it."""
        self._forget()
        self.episode_id, self._task, self._ready_ns = episode_id, task, ready_ns
        self.running, self.held, self.attempt = True, False, 1

    def cancel(self) -> None:
        """No episode runs, and nothing more is told of the last one."""
        self.running, self.episode_id = False, ""

    def finish(self, at_ns: int) -> dict[str, Look]:
        """The episode ended at ``at_ns``: the looks of those who judge its film."""
        looks = {}
        for name, seat in self.seats.items():
            if self.running and seat.film is not None:
                self._expose(name, seat, at_ns)
                frames = seat.film.frames()
                if frames:
                    looks[name] = self._look(seat.film.newest_ns, frames=frames)
        self.running = False
        return looks

    def tick(self, stamp_ns: int, now_ns: int) -> tuple[list[Told], dict[str, Look]]:
        """A control tick: what is told at once, and what the others are shown."""
        told: list[Told] = []
        looks: dict[str, Look] = {}
        if self.running:
            self._steps.tick(stamp_ns)
        if not self.running or self.held:
            return told, looks
        for name, seat in self.seats.items():
            if seat.judge.sees == "tick":
                told += self._at_once(name, self._look(stamp_ns), now_ns)
            elif seat.judge.sees == "film":
                self._expose(name, seat, stamp_ns)
            elif seat.judge.sees == "streams" and self._due(seat, stamp_ns):
                chosen = self._choose(name, seat, stamp_ns)
                if chosen is not None and self.looks.newer(chosen, seat.seen):
                    seat.looked_ns = stamp_ns
                    seat.seen = {key: found.stamp_ns for key, found in chosen.items()}
                    observation = {key: found.value for key, found in chosen.items()}
                    newest = max(seat.seen.values())
                    looks[name] = self._look(newest, observation=observation)
        return told, looks

    def named_state(
        self,
        stamp_ns: int,
        names: Sequence[str],
        values: Sequence[float] | NDArray[np.float64],
        now_ns: int,
    ) -> list[Told]:
        """A message of ``sim/state``: what is told at once.

        Raises:
            InputError: its stamp is stale or in the future.
        """
        if not self.running or self.held or stamp_ns < self._ready_ns:
            return []
        check_stamp(STATE_TOPIC, stamp_ns, now_ns, _STALE_NS)
        look = self._look(stamp_ns, names=names, values=values)
        return [
            told
            for name, seat in self.seats.items()
            if seat.judge.sees == "state"
            for told in self._at_once(name, look, now_ns)
        ]

    def failed(self, name: str, error: Exception) -> None:
        """A judge gave no verdict: one line, and nothing is told."""
        self.seats[name].errors += 1
        said = kind = f"{type(error).__name__}: {error}"
        if isinstance(error, InputError):
            said, kind = str(error), f"{error.place} {error.remedy}"
        self._say(f"{name}: no verdict: {said}", f"{name} {kind}")

    def answered(self, name: str, look: Look, verdict: Verdict, now_ns: int) -> list[Told]:
        """A judge's verdict: what is told of it. Nothing, if it is of another attempt or late."""
        seat = self.seats[name]
        if seat.film is not None and look.episode_id != self.episode_id:
            self._say(f"{name}: its verdict on {look.episode_id} came too late; start the next"
                      " episode later", f"{name} next")  # fmt: skip
            return []
        if seat.film is None and not (
            self.running and look.whose == (self.episode_id, self.attempt)
        ):
            return []
        age_ns = now_ns - verdict.stamp_ns
        seat.latency_ms = age_ns / 1e6
        late = age_ns > seat.max_age_ns
        # A film is of the whole episode, whatever was going on when it ended.
        held = self.held and seat.film is None
        if (late or held) and name == self._rewards and seat.judge.adds:
            self._owed += verdict.reward or 0.0  # earned all the same; told with the next one
        if late:
            seat.late += 1
            self._say(
                f"{name}: its verdict came {age_ns / 1e9:.2f} s after the capture, at most"
                f" {seat.max_age_ns / 1e9:g} s is told; make it quicker or raise max_age_s",
                f"{name} late",
            )
        if late or held:
            return []
        seat.verdicts += 1
        told = []
        won = False
        if name == self._succeeds and verdict.success is not None:
            won = verdict.success and not self._success
            self._success, self._confidence = verdict.success, verdict.confidence
            told.append(Told("success", verdict.stamp_ns, self._of_success(), verdict.source))
        if name == self._rewards and verdict.reward is not None:
            told.append(self._earned(verdict.stamp_ns, verdict.reward))
        elif won:
            # Whoever waits for the success on `reward` shall not wait for the next reward.
            still = 0.0 if self.seats[self._rewards].judge.adds else self._reward
            told.append(self._earned(verdict.stamp_ns, still))
        if name == self._progresses and verdict.progress is not None:
            known = {"progress": verdict.progress, "steps_to_go": verdict.steps_to_go,
                     "confidence": verdict.progress_confidence}  # fmt: skip
            values = {key: value for key, value in known.items() if value is not None}
            told.append(Told("progress", verdict.stamp_ns, values, verdict.source))
        return told

    def _of_success(self) -> dict[str, float]:
        values = {"success": float(self._success)}
        return values if self._confidence is None else values | {"confidence": self._confidence}

    def _earned(self, stamp_ns: int, reward: float) -> Told:
        judge = self.seats[self._rewards].judge
        if judge.adds:
            self._told_ns, total = self._steps.add(stamp_ns, reward + self._owed)
            self._owed = 0.0
        else:
            self._told_ns, total = max(stamp_ns, self._told_ns), reward
            self._reward = reward
        values = {"reward": total - self._cost, **self._of_success()}
        return Told("reward", self._told_ns, values, judge.source)

    def _at_once(self, name: str, look: Look, now_ns: int) -> list[Told]:
        try:
            verdict = self.seats[name].judge.judge(look)
        except InputError as error:
            self.failed(name, error)
            return []
        return self.answered(name, look, verdict, now_ns)

    def _look(self, stamp_ns: int, **shows: Any) -> Look:
        return Look(self.episode_id, stamp_ns, self._task, attempt=self.attempt, **shows)

    def _due(self, seat: Seat, stamp_ns: int) -> bool:
        return seat.looked_ns is None or stamp_ns - seat.looked_ns >= seat.every_ns

    def _choose(self, name: str, seat: Seat, at_ns: int) -> dict[str, Sample] | None:
        chosen = self.looks.choose(seat.judge.streams, at_ns, self._ready_ns)
        if isinstance(chosen, str):
            self._say(
                f"{name}: no verdict: {chosen} has no sample young enough; check its publisher",
                f"{name} blind {chosen}",
            )
            return None
        return chosen

    def _expose(self, name: str, seat: Seat, at_ns: int) -> None:
        chosen = self._choose(name, seat, at_ns)
        if chosen is not None and seat.film is not None:
            newest = max(found.stamp_ns for found in chosen.values())
            seat.film.add(newest, {key: found.value for key, found in chosen.items()})
