"""The parameters of the episode node, and what of them an episode is begun with."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from vla_rl_nodes.episodes.machine import Watch
from vla_rl_nodes.episodes.reset_watch import ResetLimits
from vla_rl_nodes.episodes.words import LONGEST
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes import parameters

_LARGEST_SEED = 2**31 - 1
_MODE = re.compile(r"([a-z][a-z_]{0,39})?")


@dataclass(frozen=True)
class Told:
    """What an operator says of the next episode; empty texts and a seed of -1 for nothing."""

    operator: str
    goal: str
    seed: int
    reset_mode: str


class EpisodeParameters:
    """Declares the node's parameters and refuses texts that are none.

    Args:
        node: declares them.
        changed: called after parameters were set while the node runs.

    Raises:
        InputError: a parameter that the node was started with is of another type or text.
    """

    def __init__(self, node: Node, changed: Callable[[], None]) -> None:
        self._node, self._changed = node, changed
        self.contract = parameters.text(node, "contract", "franka_pick", "Contract name or path.")
        self.require_recorder = parameters.flag(
            node, "require_recorder", True, "Run only while the recorder records."
        )
        seconds = self._seconds
        retreat_failed = parameters.text(
            node, "retreat_failed", "help", "What follows when a retreat fails: help or abort."
        )
        self.watch = Watch(
            silence_s=seconds(
                "silence_s", 0.25, 0.05, "Silence of policy or safety filter that ends an episode"
            ),
            reset=ResetLimits(
                silence_s=seconds(
                    "reset_silence_s", 10.0, 1.0, "Silence of reset/status that ends a reset"
                ),
                limit_s=seconds(
                    "reset_limit_s", 600.0, 1.0, "Longest reset, without waiting for a person"
                ),
                ask_s=seconds(
                    "ask_limit_s", 0.0, 0.0, "That a reset waits for a person; 0: for ever"
                ),
            ),
            help_limit_s=seconds(
                "help_limit_s", 120.0, 0.0, "That the robot waits for help; 0: for ever"
            ),
            retreat_failed="abort" if retreat_failed == "abort" else "help",
        )
        if retreat_failed not in ("help", "abort"):
            raise InputError(
                f"episode: parameter retreat_failed: {retreat_failed}", "is neither", "give help"
            )
        self.aborts_max = parameters.integer(
            node, "automatic_aborts_max", 0, 0, 1000,
            "Aborts in a row after which the next episode still begins by itself.",
        )  # fmt: skip
        parameters.flag(
            node, "automatic", False, "Begin the next episode without an operator.",
            read_only=False,
        )  # fmt: skip
        parameters.number(
            node, "automatic_pause_s", 1.0, 0.0, 3600.0,
            "From an episode's end to the next start, s.", read_only=False,
        )  # fmt: skip
        parameters.integer(
            node, "seed", -1, -1, _LARGEST_SEED, "Seed told with the next episode; -1: none.",
            read_only=False,
        )  # fmt: skip
        for name, what in (
            ("operator", "Who operates the next episode."),
            ("goal", "What the next episode is to reach, in words."),
            ("reset_mode", "How to reset before the next episode; empty: as the reset chooses."),
        ):
            given = parameters.text(node, name, "", what, read_only=False)
            problem = _problem(name, given)
            if problem:
                raise InputError(f"episode: parameter {name}", problem, "give another text")
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._set)

    def _seconds(self, name: str, default: float, low: float, what: str) -> float:
        return parameters.number(self._node, name, default, low, 86400.0, f"{what}, s.")

    @property
    def automatic(self) -> bool:
        """Whether the next episode begins by itself."""
        return bool(self._node.get_parameter("automatic").value)

    @property
    def automatic_pause_s(self) -> float:
        """From an episode's end to the next start."""
        return float(self._node.get_parameter("automatic_pause_s").value)

    def told(self) -> Told:
        """What the next episode is begun with."""
        operator, goal, mode = (
            str(self._node.get_parameter(name).value)
            for name in ("operator", "goal", "reset_mode")
        )
        return Told(operator, goal, int(self._node.get_parameter("seed").value), mode)

    def count_seed_up(self) -> bool:
        """The next seed, where there is one; False when there is no higher one."""
        seed = self.told().seed
        if seed < 0:
            return True
        if seed == _LARGEST_SEED:
            return False
        self._node.set_parameters([Parameter("seed", value=seed + 1)])
        return True

    def _check(self, changed: list[Parameter]) -> SetParametersResult:
        for parameter in changed:
            problem = _problem(parameter.name, parameter.value)
            if problem:
                return SetParametersResult(successful=False, reason=f"{parameter.name}: {problem}")
        return SetParametersResult(successful=True)

    def _set(self, changed: list[Parameter]) -> None:
        self._changed()


def _problem(name: str, value: object) -> str:
    """What is wrong with a text; empty for other parameters."""
    if name in ("operator", "goal") and isinstance(value, str):
        if len(value) > LONGEST:
            return f"has {len(value)} characters, more than {LONGEST}; shorten it"
        if not value.isprintable():
            return "holds what is no printable character; write one line"
    if name == "reset_mode" and isinstance(value, str) and not _MODE.fullmatch(value):
        return f"'{value[:40]}' is no mode's name; write lower-case letters and underscores"
    return ""
