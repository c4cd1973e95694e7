"""While armed, limits change towards stricter only, and only where nothing is made anew."""

from __future__ import annotations

from typing import Any

import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.safety.limits import (
    BodyRule,
    ResidualStage,
    SafetyLimits,
    Workspace,
    WrenchRule,
    load_limits,
)
from vla_rl_nodes.safety.tightening import RULES, check_tightening

RULE = WrenchRule(force_max=60.0, torque_max=20.0, reaction="retreat", timeout_s=0.25)
BODY = BodyRule(height_min=0.2, height_max=0.4, tilt_max=0.5, timeout_s=0.1)
LIMITS = load_limits("franka_pick").model_copy(
    update={"wrench": RULE, "body": BODY, "tool_speed_max": 0.6, "arming_tilt_max": 0.2,
            "residual_bound": {"x": 0.1, "y": 0.2}, "deadman_timeout_s": None,
            "residual_schedule": [ResidualStage(after=0, share=0.2),
                                  ResidualStage(after=100, share=1.0)]}
)  # fmt: skip


def with_(**changed: Any) -> SafetyLimits:
    return LIMITS.model_copy(update=changed)


def stages(*pairs: tuple[int, float]) -> list[ResidualStage]:
    return [ResidualStage(after=after, share=share) for after, share in pairs]


def test_every_limit_has_its_rule() -> None:
    assert RULES.keys() == SafetyLimits.model_fields.keys()


LOWER = [key for key, rule in RULES.items() if rule is RULES["velocity_scale"]]


@pytest.mark.parametrize("key", LOWER)
def test_scalars_may_become_lower_and_never_higher(key: str) -> None:
    value = getattr(LIMITS, key)
    if value is None:
        check_tightening(LIMITS, with_(**{key: 0.1}))
        old = with_(**{key: 0.1})
    else:
        old = LIMITS
        check_tightening(old, with_(**{key: value / 2}))
    check_tightening(old, old)
    looser: list[Any] = [2 * getattr(old, key)]
    if key in ("tool_speed_max", "gripper_speed", "arming_tilt_max", "deadman_timeout_s",
               "e_stop_timeout_s"):  # fmt: skip
        looser.append(None)
    for new in looser:
        with pytest.raises(InputError, match=rf"{key}: .* is less strict than .*; disarm first"):
            check_tightening(old, old.model_copy(update={key: new}))


@pytest.mark.parametrize(
    "changed",
    [
        {"workspace": Workspace(x=[0.3, 0.6], y=[-0.3, 0.3], z=[0.1, 0.5])},
        {"workspace": None},
        {"workspace_tolerance": 0.001},
        {"planes": []},
        {"self_collision_margin": 0.05},
        {"acceleration_scale": 0.5},
        {"jerk_scale": 0.1},
        {"smoothing_s": 0.1},
        {"singularity": None},
        {"rotation_length": 0.1},
        {"robot": "ur5e"},
    ],
)
def test_what_shapes_the_space_is_fixed_while_armed(changed: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="cannot change while the filter is armed; disarm first"):
        check_tightening(LIMITS, with_(**changed))


@pytest.mark.parametrize(
    ("changed", "allowed"),
    [
        ({"residual_bound": {"x": 0.1, "y": 0.1}}, True),
        ({"residual_bound": {"x": 0.11, "y": 0.1}}, False),
        ({"residual_bound": {"x": 0.1}}, False),
        ({"residual_schedule": stages((0, 0.2), (200, 1.0))}, True),
        ({"residual_schedule": stages((0, 0.0))}, True),
        ({"residual_schedule": stages((0, 0.2), (50, 0.7), (100, 1.0))}, False),
        ({"residual_schedule": stages((0, 0.3))}, False),
        ({"wrench": RULE.model_copy(update={"force_max": 10.0, "timeout_s": 0.1})}, True),
        ({"wrench": RULE.model_copy(update={"torque_max": 21.0})}, False),
        ({"wrench": RULE.model_copy(update={"reaction": "freeze"})}, False),
        ({"wrench": RULE.model_copy(update={"retreat_s": 0.4})}, False),
        ({"wrench": RULE.model_copy(update={"yield_speed": 1.0})}, False),
        ({"wrench": None}, False),
        ({"body": BODY.model_copy(update={"tilt_max": 0.3})}, True),
        ({"body": BODY.model_copy(update={"timeout_s": 0.3})}, False),
        ({"body": BODY.model_copy(update={"height_min": 0.25})}, False),
        ({"body": None}, False),
    ],
)
def test_rules_of_several_numbers(changed: dict[str, Any], allowed: bool) -> None:
    if allowed:
        check_tightening(LIMITS, with_(**changed))
        return
    with pytest.raises(InputError) as raised:
        check_tightening(LIMITS, with_(**changed))
    assert next(iter(changed)) in str(raised.value) and "\n" not in str(raised.value)


def test_a_rule_may_appear_while_armed() -> None:
    check_tightening(with_(wrench=None), LIMITS)
    with pytest.raises(InputError, match="body"):  # its heights are part of the target
        check_tightening(with_(body=None), LIMITS)
