"""The safety filter's limits as parameters: declared from its YAML, changed only as it allows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.safety.limits import SafetyLimits

STRICTER = " While armed it can only become lower."


class Tunable(NamedTuple):
    """One number of the limits: its parameter's name is the key's last part."""

    key: str
    low: float
    high: float
    description: str

    @property
    def name(self) -> str:
        """The parameter's name."""
        return self.key.rsplit(".", 1)[-1]


TUNABLES = (
    Tunable("velocity_scale", 0.01, 1.0, "Share of the joints' velocity limits."),
    Tunable("tool_speed_max", 0.001, 5.0, "Greatest speed of the tool point, m/s."),
    Tunable("tracking_error_max", 0.001, 1.0,
            "Commanded to measured, any joint, rad; beyond it: stop, faulted."),
    Tunable("command_timeout_s", 0.001, 10.0, "No command for so long: hold."),
    Tunable("stop_after_s", 0.002, 10.0, "No command for so long: stop until armed again."),
    Tunable("joint_state_timeout_s", 0.001, 10.0, "Older joint states: stop, faulted."),
    Tunable("gripper_speed", 0.0001, 1.0, "Greatest speed of the gripper's opening, m/s."),
    Tunable("wrench.force_max", 0.1, 1000.0, "A greater force on the tool is too much, N."),
    Tunable("wrench.torque_max", 0.01, 1000.0, "A greater torque on the tool is too much, N*m."),
)  # fmt: skip
SHARE = Tunable("residual_share", 0.0, 1.0,
                "Share of the residual's bound, on top of its schedule.")  # fmt: skip


def tuned(base: SafetyLimits, values: Mapping[str, float]) -> SafetyLimits:
    """The limits of a YAML file with parameters' values in the place of its own.

    Args:
        base: as the file has them.
        values: by parameter name.

    Raises:
        InputError: the values do not go together.
    """
    data: dict[str, Any] = base.model_dump()
    for tunable in TUNABLES:
        if tunable.name in values:
            *outer, last = tunable.key.split(".")
            place = data
            for part in outer:
                place = place[part]
            place[last] = values[tunable.name]
    share = values.get(SHARE.name, 1.0)
    for stage in data["residual_schedule"]:
        stage["share"] *= share
    try:
        return SafetyLimits.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "limits"
        problem = first["msg"].removeprefix("Value error, ")
        raise InputError(f"safety limits: {where}", problem, "give another value") from error


class LimitParameters:
    """Declares a parameter for each tunable limit that the YAML file gives, within a range.

    Args:
        node: owns the parameters.
        base: limits as the YAML file has them; those that it leaves out stay out.

    Raises:
        InputError: an override is out of its range or of another type, or they do not go
            together.
    """

    def __init__(self, node: Node, base: SafetyLimits) -> None:
        self._node, self._base = node, base
        self._values: dict[str, float] = {}
        for tunable in TUNABLES:
            at: Any = base
            for part in tunable.key.split("."):
                at = None if at is None else getattr(at, part)
            if at is not None:
                self._declare(tunable, float(at))
        self._declare(SHARE, 1.0)
        self.limits = tuned(base, self._values)

    def _declare(self, tunable: Tunable, default: float) -> None:
        self._values[tunable.name] = parameters.number(
            self._node, tunable.name, default, tunable.low, tunable.high,
            tunable.description + STRICTER, read_only=False,
        )  # fmt: skip

    def follow(self, tighten: Callable[[SafetyLimits], None], lock: threading.Lock) -> None:
        """Hands every change to ``tighten``, under the lock; what it refuses is not set."""

        def set_parameters(changed: list[Any]) -> SetParametersResult:
            news = {p.name: float(p.value) for p in changed if p.name in self._values}
            if not news:
                return SetParametersResult(successful=True)
            try:
                limits = tuned(self._base, self._values | news)
                with lock:
                    tighten(limits)
            except InputError as error:
                return SetParametersResult(successful=False, reason=" ".join(str(error).split()))
            self._values |= news
            self.limits = limits
            return SetParametersResult(successful=True)

        self._node.add_on_set_parameters_callback(set_parameters)
