"""How well resets go, over all of them: what ``reset/status`` counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Totals:
    """Counts since the node began, and since when nobody was needed.

    Attributes:
        resets: that have ended, however.
        failures: of these that did not reach a start.
        asked: how often a person was asked.
        attempts: of all resets.
        since_s: when a person was needed last, or when counting began, s.
        longest_s: the longest time without a person, s.
    """

    since_s: float
    resets: int = 0
    failures: int = 0
    asked: int = 0
    attempts: int = 0
    longest_s: float = 0.0

    def person(self, now_s: float) -> None:
        """A person is, or was until now, needed."""
        self.longest_s = max(self.longest_s, self.unattended_s(now_s))
        self.since_s = now_s

    def ended(self, now_s: float, attempts: int, done: bool) -> None:
        """A reset has ended."""
        self.resets += 1
        self.attempts += attempts
        self.failures += not done
        self.longest_s = max(self.longest_s, self.unattended_s(now_s))

    def unattended_s(self, now_s: float) -> float:
        """For how long nobody has been needed, s."""
        return max(now_s - self.since_s, 0.0)

    @property
    def per_failure(self) -> float | None:
        """Resets for each that failed or asked a person; None while there is none of these."""
        needed = self.failures + self.asked
        return None if needed == 0 else self.resets / needed
