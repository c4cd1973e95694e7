from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.episodes.retry_settings import RetrySettings, StepsToGo, load_retries
from vla_rl_nodes.errors import InputError

GOOD: dict[str, Any] = {
    "retries": 1,
    "watch": {"signal": "steps_to_go", "window_steps": 40, "lag_steps": 20.0, "clear_steps": 10.0},
    "confirm_steps": 5,
    "quiet_steps": 20,
    "confidence_min": 0.3,
    "on_stall": ["retry", "help", "abort"],
}
PROGRESS = {"signal": "progress", "window_steps": 40, "minimum_gain": 0.05, "clear_gain": 0.1}


def load(tmp_path: Path, **changes: Any) -> RetrySettings:
    path = tmp_path / "retries.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **changes}))
    return load_retries(path)


def test_the_shipped_settings_fit_their_task() -> None:
    settings = load_retries("franka_pick")
    contract = load_contract("franka_pick")
    assert isinstance(settings.watch, StepsToGo)
    notices = settings.quiet_steps + settings.watch.lag_steps + settings.confirm_steps
    in_an_episode = contract.episode.time_limit_s * contract.policy_hz
    assert 2 * notices < in_an_episode, "there must be time to try again"


def test_what_is_asked_for_goes_on_to_the_last(tmp_path: Path) -> None:
    settings = load(tmp_path)
    asked = [settings.action(stall) for stall in range(5)]
    assert asked == ["retry", "help", "abort", "abort", "abort"]
    assert load(tmp_path, watch=PROGRESS).watch.signal == "progress"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"watch": {**GOOD["watch"], "lag_steps": 40.0}}, "nothing would ever lag"),
        ({"watch": {**GOOD["watch"], "clear_steps": 21.0}}, "clear_steps is above lag_steps"),
        ({"watch": {**GOOD["watch"], "lag_steps": float("nan")}}, "nan"),
        ({"watch": {**PROGRESS, "clear_gain": 0.01}}, "clear_gain is below minimum_gain"),
        ({"watch": {**PROGRESS, "signal": "value"}}, "signal"),
        ({"on_stall": []}, "on_stall"),
        ({"on_stall": ["pray"]}, "on_stall"),
        ({"confirm_steps": 0}, "confirm_steps"),
        ({"confirm": 5}, "unknown key"),
        ({"retries": 2}, "retries"),
    ],
)
def test_bad_settings_are_one_line(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, **changes)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"is none of config/retries: .*franka_pick"):
        load_retries("nobody")
