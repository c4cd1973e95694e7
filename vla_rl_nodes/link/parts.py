"""How much to send in one request: what a cut link loses is at most that."""

from __future__ import annotations

_SMALLEST = 1 << 16
_GROWS_AFTER = 4


class PartSize:
    """Halves when the link breaks and doubles again when it holds.

    Args:
        largest: bytes.

    Attributes:
        size: of the next part, bytes.
    """

    def __init__(self, largest: int) -> None:
        self._largest = self._allowed = self.size = largest
        self._held = 0

    def allow(self, largest: int) -> None:
        """The learner takes no larger ones."""
        self._allowed = max(1, min(self._largest, largest))
        self.size = min(self.size, self._allowed)

    def broke(self) -> None:
        """The link broke."""
        self._held = 0
        self.size = max(min(_SMALLEST, self._allowed), self.size // 2)

    def worked(self) -> None:
        """A part has arrived."""
        self._held += 1
        if self._held >= _GROWS_AFTER:
            self._held = 0
            self.size = min(self._allowed, 2 * self.size)
