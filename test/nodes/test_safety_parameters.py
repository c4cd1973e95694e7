"""Parameters in the place of the YAML's limits: each reaches its own, and bad ones are refused."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
from rclpy.parameter import Parameter

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.safety_parameters import SHARE, TUNABLES, LimitParameters, tuned
from vla_rl_nodes.safety.limits import ResidualStage, SafetyLimits, load_limits
from vla_rl_nodes.safety.tightening import check_tightening

BASE = load_limits("franka_pick")


class Owner:
    """Stands in for the node: declares, and calls back."""

    def __init__(self, overrides: dict[str, float] | None = None) -> None:
        self.overrides = overrides or {}
        self.declared: dict[str, Any] = {}
        self.callback: Callable[[list[Parameter]], Any] | None = None

    def declare_parameter(self, name: str, default: float, descriptor: Any) -> Parameter:
        self.declared[name] = descriptor
        return Parameter(name, value=self.overrides.get(name, default))

    def add_on_set_parameters_callback(self, callback: Callable[[list[Parameter]], Any]) -> None:
        self.callback = callback

    def set(self, **values: float) -> Any:
        assert self.callback is not None
        return self.callback([Parameter(name, value=value) for name, value in values.items()])


def value_of(limits: SafetyLimits, key: str) -> float:
    found: Any = limits
    for part in key.split("."):
        found = getattr(found, part)
    return float(found)


def test_without_values_the_limits_are_those_of_the_file() -> None:
    assert tuned(BASE, {}) == BASE
    node = Owner()
    assert LimitParameters(node, BASE).limits == BASE


@pytest.mark.parametrize("tunable", TUNABLES, ids=lambda t: t.name)
def test_each_parameter_changes_its_own_limit_alone(tunable: Any) -> None:
    stricter = 0.9 * value_of(BASE, tunable.key)
    changed = tuned(BASE, {tunable.name: stricter})
    assert value_of(changed, tunable.key) == stricter
    assert tuned(changed, {tunable.name: value_of(BASE, tunable.key)}) == BASE
    assert tunable.low < stricter < tunable.high
    check_tightening(BASE, changed)


def test_the_residuals_share_scales_its_whole_schedule() -> None:
    stages = [ResidualStage(after=0, share=0.2), ResidualStage(after=500, share=1.0)]
    base = BASE.model_copy(update={"residual_schedule": stages})
    changed = tuned(base, {SHARE.name: 0.5})
    assert [(s.after, s.share) for s in changed.residual_schedule] == [(0, 0.1), (500, 0.5)]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"stop_after_s": 0.05}, "hold first, stop later"),
        ({"velocity_scale": math.nan}, "velocity_scale"),
        ({"force_max": -1.0}, "wrench.force_max"),
        ({"residual_share": 1.5}, "share"),
    ],
)
def test_values_that_make_no_limits_are_one_line(values: dict[str, float], problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        tuned(BASE, values)
    assert "\n" not in str(caught.value)


def test_what_the_file_leaves_out_is_no_parameter() -> None:
    node = Owner()
    base = BASE.model_copy(update={"wrench": None, "gripper_speed": None})
    LimitParameters(node, base)
    names = {t.name for t in TUNABLES} - {"force_max", "torque_max", "gripper_speed"}
    assert set(node.declared) == names | {SHARE.name}


def test_parameters_have_a_range_and_say_what_they_are() -> None:
    node = Owner()
    LimitParameters(node, BASE)
    for tunable in (*TUNABLES, SHARE):
        descriptor = node.declared[tunable.name]
        bounds = descriptor.floating_point_range[0]
        assert (bounds.from_value, bounds.to_value) == (tunable.low, tunable.high)
        assert not descriptor.read_only
        assert descriptor.description.endswith("only become lower.")


def test_overrides_hold_from_the_start() -> None:
    assert LimitParameters(Owner({"velocity_scale": 0.25}), BASE).limits.velocity_scale == 0.25


def test_changes_go_through_the_filter_and_a_refusal_changes_nothing() -> None:
    node, lock = Owner(), threading.Lock()
    given: list[SafetyLimits] = []
    held = LimitParameters(node, BASE)

    def tighten(limits: SafetyLimits) -> None:
        assert lock.locked()
        check_tightening(held.limits, limits)
        given.append(limits)

    held.follow(tighten, lock)
    assert node.set(velocity_scale=0.3, force_max=20.0).successful
    assert node.set(tool_speed_max=0.2).successful
    assert given[-1].velocity_scale == 0.3 and given[-1].tool_speed_max == 0.2
    assert given[-1].wrench is not None and given[-1].wrench.force_max == 20.0

    refused = node.set(velocity_scale=0.4, tool_speed_max=0.1)
    assert not refused.successful
    assert "velocity_scale" in refused.reason and "less strict" in refused.reason
    assert "\n" not in refused.reason
    assert len(given) == 2 and held.limits == given[-1]

    assert not node.set(stop_after_s=0.01).successful  # below command_timeout_s
    assert node.set(tool_speed_max=0.15).successful
    assert given[-1].velocity_scale == 0.3
    assert node.set(use_sim_time=True).successful and len(given) == 3
