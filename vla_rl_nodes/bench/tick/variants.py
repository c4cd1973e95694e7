"""What is compared: where the tick comes from, real-time priority, and inference beside it."""

from __future__ import annotations

from dataclasses import dataclass

PERIOD_NS = 10_000_000  # 100 Hz
NAMESPACE = "tick_bench"


@dataclass(frozen=True)
class Variant:
    """One way to tick; the work of a tick is the same in all.

    Attributes:
        name: its key in the result.
        plain: ``create_timer`` on a MultiThreadedExecutor with rclpy's and Python's defaults,
            instead of nodes/tick.py and the settings of nodes/spin.py.
        realtime: asks for the policy node's real-time priority.
        inference: chunks are computed back to back in the inference thread.
        text: what a table calls it.
    """

    name: str
    plain: bool
    realtime: bool
    inference: bool
    text: str


OURS = Variant("ours", False, True, True, "tick thread")
PLAIN = Variant("plain_rclpy", True, False, True, "plain timer")
VARIANTS = (
    OURS,
    PLAIN,
    Variant("without_realtime", False, False, True, "tick thread, not real-time"),
    Variant("without_inference", False, True, False, "tick thread, no inference"),
    Variant("plain_without_inference", True, False, False, "plain timer, no inference"),
)


def variant_named(name: str) -> Variant:
    """The variant with a name of :data:`VARIANTS`."""
    return next(variant for variant in VARIANTS if variant.name == name)
