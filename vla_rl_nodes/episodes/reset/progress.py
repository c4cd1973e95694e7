"""Where a reset stands, for its status."""

from __future__ import annotations

from dataclasses import dataclass, field

from vla_rl_nodes.episodes.reset.seen import Phase


@dataclass
class Progress:
    """What ``reset/status`` says of the reset under way.

    Attributes:
        phase: the message.
        step: what is being done, in words.
        attempt: counts from 1; 0 before the first.
        reason: why it failed, or what a person is asked for.
        plans: names of the plans that were gone, in order.
        start_sha256: hash of the recorded start that was restored, see ``replay.start_state``.
        failed: why each failed attempt failed, in order.
    """

    phase: Phase = Phase.PLANNING
    step: str = ""
    attempt: int = 0
    reason: str = ""
    start_sha256: str = ""
    plans: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def at(self, phase: Phase, step: str) -> None:
        """Something new begins."""
        self.phase, self.step = phase, step
