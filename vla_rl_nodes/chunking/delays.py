"""How many control ticks the next chunk will take, from how long the recent ones took."""

from __future__ import annotations

from collections import deque
from itertools import islice

RECENT = 10
REMEMBERED = 200


class DelayEstimate:
    """Predicts a delay that is rarely exceeded and forgets a single slow chunk soon.

    The prediction is the largest of the last 10 delays (as in arXiv 2506.07339) or the second
    largest of the last 200, whichever is larger: with the first alone, jitter would exceed the
    prediction in up to one chunk of eleven; the second lets one outlier in 200 pass.

    Before anything is known the prediction is the longest delay that is allowed. Committing more
    actions than needed costs some reactivity; committing fewer breaks the seam. The first delay
    after a start is not believed: engines allocate and load in their first call. Nor is a single
    one beyond the longest: its chunk was refused, and to expect the like again would leave too
    few actions for another try.

    Args:
        longest: most ticks that may be predicted.
    """

    def __init__(self, longest: int) -> None:
        if longest < 0:
            raise ValueError("longest must not be negative")
        self._longest = longest
        self._delays: deque[int] = deque(maxlen=REMEMBERED)
        self._warm = False
        self._suspicion = 0  # how many more delays remember one beyond the longest

    @property
    def predicted(self) -> int:
        """Control ticks that the next chunk will take, at most ``longest``."""
        if not self._delays:
            return self._longest
        newest = max(islice(reversed(self._delays), RECENT))
        usual = sorted(self._delays)[-2] if len(self._delays) > 1 else 0
        return min(max(newest, usual), self._longest)

    def observe(self, ticks: int) -> None:
        """Takes in how many ticks a chunk took from its request to its arrival."""
        if not self._warm:
            self._warm = True
            return
        suspected, self._suspicion = self._suspicion > 0, max(self._suspicion - 1, 0)
        if ticks > self._longest:
            self._suspicion = RECENT
            if not suspected:
                return
        self._delays.append(ticks)

    def restart(self) -> None:
        """Forgets everything, for another engine."""
        self._delays.clear()
        self._warm, self._suspicion = False, 0
