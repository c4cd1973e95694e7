"""Settings that do not fit together are refused before anything moves."""

from __future__ import annotations

from typing import Any

import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.check import check_settings
from vla_rl_nodes.safety.limits import SafetyLimits, load_limits

ROBOT = load_robot("fr3")
CONTRACT = load_contract("franka_pick")
LIMITS = load_limits("franka_pick")


def changed(model: Any, **keys: Any) -> Any:
    return type(model).model_validate({**model.model_dump(), **keys})


def rates(policy_hz: int, filter_hz: int) -> Contract:
    return changed(CONTRACT, rates={"policy_hz": policy_hz, "filter_hz": filter_hz})


@pytest.mark.parametrize(
    ("robot", "contract", "limits", "said"),
    [
        (load_robot("ur5e"), CONTRACT, LIMITS, "is for fr3, the robot is ur5e"),
        (ROBOT, changed(CONTRACT, robot="ur5e"), LIMITS, "contract: is for ur5e"),
        (ROBOT, CONTRACT, changed(LIMITS, robot="go2"), "safety limits: is for go2"),
        (ROBOT, changed(load_contract("plane"), robot="fr3"), LIMITS, "takes only tool_delta"),
        (changed(ROBOT, base_frame="base"), CONTRACT, LIMITS, "the robot's base is base"),
        (changed(ROBOT, tool_frame=None), CONTRACT, LIMITS, "has no tool frame"),
        (ROBOT, CONTRACT, changed(LIMITS, residual_bound={"tool_x": 0.01}), "give tool_x, tool_y"),
        (ROBOT, rates(5, 100), LIMITS, "less than one period at 5 Hz"),
        (ROBOT, rates(20, 500), LIMITS, "lets fr3_joint1 exceed its jerk limit at 500 Hz"),
    ],
)
def test_what_does_not_fit_is_named(
    robot: Robot, contract: Contract, limits: SafetyLimits, said: str
) -> None:
    with pytest.raises(InputError) as raised:
        check_settings(robot, contract, limits)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_shipped_settings_fit_also_at_twice_the_rate() -> None:
    check_settings(ROBOT, CONTRACT, LIMITS)
    check_settings(ROBOT, rates(20, 200), LIMITS)
    with pytest.raises(InputError, match="jerk"):  # the margin is 250 Hz at full acceleration
        check_settings(ROBOT, rates(20, 260), LIMITS)
