"""When a new policy may take over from the one that serves, and when it is taken back.

Pure: versions and observations go in, decisions come out. Who calls it holds the networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.evidence import RecentShare, ShadowChunk, ShadowFigures

# Commands of the serving policy from which its share of limited ones is known: 100 s at 20 Hz.
_REMEMBERED = 2000
# Chunks and commands that a share on trial is counted against at the least: what is limited comes
# in rows, at the edge of the workspace for example, and not in every episode.
LEAST_CHUNKS, LEAST_COMMANDS = 20, 100


class Phase(StrEnum):
    """Where a swap stands."""

    SERVING = "serving"  # there is no other policy
    LOADING = "loading"  # a candidate is being tried out and opened
    SHADOWING = "shadowing"  # it plans beside the serving one; nothing of it is executed
    READY = "ready"  # it takes over when the next episode begins
    TRIAL = "trial"  # it serves, and the old one stands by


@dataclass(frozen=True)
class SwapSettings:
    """What a candidate must show.

    Attributes:
        shadow_chunks: chunks in the shadow before it may take over.
        trial_episodes: finished episodes before it is confirmed.
        largest_late_share: of its chunks, that may take longer than was trained for, or on trial
            longer than predicted.
        largest_trip_rise: by how much its share of commands that the safety filter limits may
            exceed that of the old policy.
    """

    shadow_chunks: int = 20
    trial_episodes: int = 3
    largest_late_share: float = 0.1
    largest_trip_rise: float = 0.2


@dataclass(frozen=True)
class News:
    """Something that happened, to be told.

    Attributes:
        what: a phase, or ``confirmed``, ``refused``, ``withdrawn`` or ``rolled back``.
        version: the policy that it happened to; empty where it is not known.
        reason: one line; empty where it went well.
        state: the whole state after it, as entries of an event.
    """

    what: str
    version: str
    reason: str
    state: Mapping[str, str]


class Swap:
    """The state of a swap. Not thread-safe.

    Attributes:
        phase: where it stands.
        serving: version of the policy that acts.
        candidate: version of the one that may follow; empty while there is none or it serves.
        standby: version of the old one while the new one is on trial, else empty.
        shadow: the figures of the last candidate.
        news: what has happened and was not told yet, oldest first; the caller takes from it.
    """

    def __init__(self, serving: str, settings: SwapSettings) -> None:
        self.settings = settings
        self.phase = Phase.SERVING
        self.serving, self.candidate, self.standby = serving, "", ""
        self.shadow = ShadowFigures()
        self.news: list[News] = []
        self._usual_trips = RecentShare(_REMEMBERED)
        self._condemned: set[str] = set()
        self._place = ""
        # Of the policy on trial.
        self._episodes = self._trial_chunks = 0
        self._slow, self._trips = RecentShare(_REMEMBERED), RecentShare(_REMEMBERED)
        self._tell(Phase.SERVING.value, serving)

    def propose(self, version: str, place: object) -> bool:
        """A verified bundle is offered.

        The version that serves withdraws a candidate; the one that stands by takes a policy on
        trial back.

        Returns:
            Whether the bundle is to be opened now.

        Raises:
            InputError: it was rolled back before, or another one is in the way.
        """
        if version in self._condemned:
            raise InputError(
                place,
                f"version {version} was rolled back on this robot",
                "restart the policy node to try it again, or export another one",
            )
        if version == self.serving:
            if self.candidate:
                self._leave("withdrawn", self.candidate, "the serving policy was asked for again")
            return False
        if version == self.candidate:
            return False
        if self.phase is Phase.TRIAL:
            if version == self.standby:
                self.roll_back("taken back by the operator")
                return False
            raise InputError(
                place,
                f"version {self.serving} is still on trial",
                f"wait until it is confirmed, or ask for version {self.standby} to end the trial",
            )
        if self.candidate:
            self._leave("withdrawn", self.candidate, f"version {version} was asked for instead")
        self.shadow = ShadowFigures()
        self.candidate, self._place = version, str(place)
        self._enter(Phase.LOADING, version)
        return True

    def opened(self, version: str) -> bool:
        """The candidate's networks are open; returns whether it is still wanted."""
        if self.phase is not Phase.LOADING or version != self.candidate:
            return False
        self._enter(Phase.SHADOWING, version)
        return True

    def refuse(self, version: str, reason: str) -> None:
        """A bundle must not be used; if it is the candidate, that is the end of it."""
        if self.candidate and version == self.candidate:
            self._leave("refused", version, reason)
        else:
            self._tell("refused", version, reason)

    def shadowed(self, chunk: ShadowChunk) -> None:
        """The candidate has answered a job of the serving policy."""
        if self.phase is not Phase.SHADOWING:
            return
        if chunk.problem:
            line = f"{self._place}: {chunk.problem} in the shadow; export it again"
            self.refuse(self.candidate, line)
            return
        self.shadow.add(chunk)
        wanted = self.settings.shadow_chunks
        if self.shadow.late > self.settings.largest_late_share * wanted:
            self.refuse(
                self.candidate,
                f"{self._place}: in the shadow {self.shadow.late} of {self.shadow.chunks} chunks"
                " took longer than it was trained for, the slowest"
                f" {max(self.shadow.milliseconds):.0f} ms; export a smaller one or use a faster"
                " engine",
            )
        elif self.shadow.chunks >= wanted:
            self._enter(Phase.READY, self.candidate)

    def begin_episode(self) -> None:
        """An episode begins; a candidate that is ready serves from now on, on trial."""
        if self.phase is Phase.READY:
            self.standby, self.serving, self.candidate = self.serving, self.candidate, ""
            self._episodes = self._trial_chunks = 0
            self._slow, self._trips = RecentShare(_REMEMBERED), RecentShare(_REMEMBERED)
            self._enter(Phase.TRIAL, self.serving)

    def planned(self, chunks: int, slow: int) -> None:
        """So many chunks of the serving policy were taken over or came too late; ``slow`` of them
        were later than predicted or than trained for."""
        if self.phase is not Phase.TRIAL:
            return
        self._trial_chunks += chunks
        for number in range(chunks):
            self._slow.add(number < slow)
        if self._slow.exceeds(self.settings.largest_late_share, LEAST_CHUNKS):
            self.roll_back(f"{self._slow.hits} of {self._slow.count} chunks came late")

    def failed(self, reason: str) -> None:
        """The serving policy gave no usable chunk, or none in time."""
        if self.phase is Phase.TRIAL:
            self.roll_back(reason)

    def filtered(self, version: str, limited: bool) -> None:
        """The safety filter has accepted a command of a version, changed by a limit or not."""
        if version != self.serving:
            return
        if self.phase is not Phase.TRIAL:
            self._usual_trips.add(limited)
            return
        self._trips.add(limited)
        allowed = self._usual_trips.share + self.settings.largest_trip_rise
        if self._trips.exceeds(allowed, LEAST_COMMANDS):
            self.roll_back(
                f"the safety filter limited {self._trips.hits} of {self._trips.count} commands,"
                f" {self._usual_trips.share:.0%} of the old policy's"
            )

    def end_episode(self, finished: bool) -> None:
        """An episode is over; ``finished`` unless it was aborted, which proves nothing."""
        if self.phase is not Phase.TRIAL or not finished or not self._trial_chunks:
            return
        self._trial_chunks = 0
        self._episodes += 1
        if self._episodes >= self.settings.trial_episodes:
            self.standby, self._usual_trips = "", self._trips
            self.phase = Phase.SERVING
            self._tell("confirmed", self.serving)

    def roll_back(self, reason: str) -> None:
        """The old policy serves again; the new one is not taken again."""
        assert self.phase is Phase.TRIAL
        failed, self.serving, self.standby = self.serving, self.standby, ""
        self._condemned.add(failed)
        self.phase = Phase.SERVING
        self._tell("rolled back", failed, reason)

    def log(self) -> dict[str, str]:
        """The state as entries of an event."""
        return {
            "phase": self.phase.value,
            "serving": self.serving,
            "candidate": self.candidate,
            "standby": self.standby,
            "trial_episodes": str(self._episodes if self.phase is Phase.TRIAL else 0),
            **self.shadow.log(),
        }

    def _enter(self, phase: Phase, version: str) -> None:
        self.phase = phase
        self._tell(phase.value, version)

    def _leave(self, what: str, version: str, reason: str) -> None:
        self.candidate, self.phase = "", Phase.SERVING
        self._tell(what, version, reason)

    def _tell(self, what: str, version: str, reason: str = "") -> None:
        self.news.append(News(what, version, reason, self.log()))
