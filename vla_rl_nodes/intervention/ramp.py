"""The ramp that blends a person's own command in, and out again."""

from __future__ import annotations

from vla_rl_nodes.intervention.settings import Blend


class Ramp:
    """A share from 0 to 1 that rises while the person is in command and falls once he lets go.

    It never leaps: it changes by the time that has passed over the ramp's length, so a person
    who takes hold again in the middle goes on from where it is.
    """

    def __init__(self) -> None:
        self.share = 0.0
        self._last_ns: int | None = None

    def drop(self) -> None:
        """To nothing at once: what the device said is not to be trusted."""
        self.share = 0.0

    def follow(self, now_ns: int, rising: bool, blend: Blend) -> None:
        """Goes on to ``now_ns``, ns of the steady clock."""
        passed_s = 0.0 if self._last_ns is None else max(now_ns - self._last_ns, 0) / 1e9
        self._last_ns = now_ns
        length_s = blend.in_s if rising else blend.out_s
        step = passed_s / length_s if length_s > 0.0 else 1.0
        self.share = min(self.share + step, 1.0) if rising else max(self.share - step, 0.0)
