"""Hands verified bundles to the policy node, and says what it made of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient

from vla_rl_nodes.link.protocol import BundleState
from vla_rl_nodes.nodes.event import Event
from vla_rl_nodes.policy.swap import Phase

Told = Callable[[str, BundleState, str, set[str]], None]

# What policy/bundle says of a version, as the learner is told it.
STATES: dict[str, tuple[BundleState, str]] = {
    "shadowing": ("shadow", ""),
    "trial": ("taken", "on trial"),
    "confirmed": ("taken", "confirmed"),
    "refused": ("refused", ""),
    "withdrawn": ("refused", "withdrawn: "),
    "rolled back": ("rolled_back", ""),
}
_BUSY = (Phase.LOADING.value, Phase.TRIAL.value)
_HELD = ("serving", "candidate", "standby")


class PolicyOffers:
    """Sets the policy node's parameter ``bundle``, one bundle at a time, the newest one.

    A bundle is offered once. It is offered again only to a policy node that has just started, so
    that a robot that was switched off goes on with it; what a person has chosen since stays.

    Args:
        node: whose executor calls ``look``.
        told: what became of a version, and the versions that the policy node holds.
    """

    def __init__(self, node: Node, told: Told) -> None:
        self._client = AsyncParameterClient(node, "policy")
        self._told = told
        self._wanted: tuple[str, Path] | None = None
        self._due = False
        self._answer: Any = None
        self._asked = ""
        self._phase = ""
        self._held: set[str] = set()

    def want(self, version: str, folder: Path, new: bool) -> None:
        """A verified bundle is there."""
        self._wanted, self._due = (version, folder), new

    def hear(self, event: Event) -> None:
        """An event of ``policy/bundle``."""
        values = event.values
        self._phase = values.get("phase", "")
        self._held = {values.get(key, "") for key in _HELD} - {""}
        version = values.get("version", "")
        if event.message == Phase.SERVING.value:  # said once, when the policy node starts
            self._due = self._due or self._wanted is not None
        elif event.message in STATES and version:
            state, prefix = STATES[event.message]
            reason = prefix + values.get("reason", "")
            self._told(version, state, reason, self._held)
            if state in ("refused", "rolled_back") and self._wanted is not None:
                self._wanted = None if self._wanted[0] == version else self._wanted

    def look(self) -> None:
        """Asks when there is something to ask, and takes in the answer; from a timer."""
        if self._answer is not None:
            if not self._answer.done():
                return
            result, self._answer = self._answer.result().results[0], None
            self._answered(bool(result.successful), str(result.reason))
            return
        if self._wanted is None or not self._due or self._phase in ("", *_BUSY):
            return
        version, folder = self._wanted
        if version in self._held:
            self._due = False
        elif self._client.services_are_ready():
            self._asked = version
            self._answer = self._client.set_parameters([Parameter("bundle", value=str(folder))])

    def _answered(self, taken: bool, reason: str) -> None:
        version = self._asked
        if self._wanted is not None and self._wanted[0] != version:
            return  # a newer one has come meanwhile, and is asked for next
        if taken:
            self._due = False
            self._told(version, "offered", "", self._held)
        elif self._phase not in _BUSY:  # else it is asked again when the policy node is free
            self._due, self._wanted = False, None
            self._told(version, "refused", reason, self._held)
