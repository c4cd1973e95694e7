"""What the page's buttons do: one service each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A service that a button calls.

    Attributes:
        service: relative to the robot's namespace.
        node: who offers it.
        status: where it answers only when a motion, or a person, is done: the topic on which its
            node says twice a second that it goes on.
    """

    service: str
    node: str
    status: str = ""


RESET_E_STOP = "reset_e_stop"
COMMANDS: Mapping[str, Command] = {
    **{
        name: Command(f"episode/{name}", "episode")
        for name in ("start", "success", "failure", "discard", "pause", "resume", "abort")
    },
    "take_over": Command("intervention/take_over", "intervention"),
    "release": Command("intervention/release", "intervention"),
    "reset": Command("reset/request", "reset", status="reset/status"),
    "confirm": Command("reset/confirm", "reset"),
    "cancel_reset": Command("reset/cancel", "reset"),
    RESET_E_STOP: Command("safety/reset_e_stop", "safety_filter"),
}
