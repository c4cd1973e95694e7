"""Messages that a publisher sent and that never arrived, by the numbers that it gives them."""

from __future__ import annotations


class Gaps:
    """Follows the publication numbers of topics that one publisher fills. Not thread-safe.

    The middleware drops what a busy reader does not fetch in time, and says so to nobody; but
    DDS numbers a publisher's messages without a gap.
    """

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def missing(self, topic: str, number: int | None) -> int:
        """How many messages are missing between the last one and this.

        Args:
            topic: its full name.
            number: of the publication; None where the middleware gives none.
        """
        if number is None:
            return 0
        last = self._last.get(topic)
        self._last[topic] = number
        # A publisher that starts again counts from the beginning.
        return 0 if last is None or number <= last else number - last - 1
