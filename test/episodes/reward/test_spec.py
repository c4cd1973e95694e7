"""What a reward's YAML may say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from vla_rl_nodes.contract.load import load_yaml
from vla_rl_nodes.episodes.reward.spec import Rewards
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.resources import resource

PLAIN = """
rewards: 1
name: plain
backends:
  lifted: {kind: predicate}
  clock: {kind: time_penalty, per_step: 0.01}
  seen: {kind: classifier, model: m, consecutive: 3}
  pairs: {kind: pairwise, model: m}
roles: {success: seen, reward: [lifted, clock], progress: pairs}
"""
SERVED = "{kind: rubric5, rewards: [0, 0, 0, 0, 1], success_from: 5, "


def load(folder: Path, text: str) -> Rewards:
    path = folder / "rewards.yaml"
    path.write_text(text)
    return load_yaml(path, Rewards)


@pytest.mark.parametrize("path", sorted(resource("config/rewards").glob("*.yaml")))
def test_the_shipped_ones_load_and_are_named_like_their_files(path: Path) -> None:
    assert load_yaml(path, Rewards).name == path.stem
    assert "key" not in yaml.safe_load(path.read_text())


def test_it_is_read(tmp_path: Path) -> None:
    rewards = load(tmp_path, PLAIN)
    assert rewards.roles.reward == ["lifted", "clock"] and rewards.roles.success == "seen"
    assert rewards.backends["seen"].max_age_s == 0.5


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("success: seen", "success: nobody", "given to 'nobody'"),
        ("success: seen", "success: clock", "is a time_penalty, which gives no success"),
        ("progress: pairs", "progress: lifted", "is a predicate, which gives no progress"),
        ("success: seen,", "success: seen, success: lifted,", "stands twice"),
        ("success: seen", "done: seen", "unknown key"),
        (", progress: pairs", "", "backend 'pairs' has no role"),
        ("[lifted, clock]", "[clock, clock]", "backend 'lifted' has no role"),
        ("[lifted, clock]", "[lifted, lifted, clock]", "at most 2 items"),
        ("[lifted, clock]", "[lifted, pairs]", "backend 'clock' has no role"),
        ("[lifted, clock]", "[]", "at least 1 item"),
        ("kind: predicate", "kind: guess", "kind"),
        ("consecutive: 3", "consecutive: 0", "greater than or equal to 1"),
        ("per_step: 0.01", "per_step: -1.0", "greater than or equal to 0"),
        ("per_step: 0.01", "per_step: .inf", "finite"),
        ("  clock:", "  lifted:", "stands twice"),
    ],
)
def test_wrong_roles_and_values_are_one_line(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    assert old in PLAIN
    with pytest.raises(InputError, match=problem) as caught:
        load(tmp_path, PLAIN.replace(old, new))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("reward", ["[lifted, pairs]", "[lifted, lifted]"])
def test_two_rewards_are_not_added(tmp_path: Path, reward: str) -> None:
    text = PLAIN.replace("[lifted, clock]", reward)
    text = text.replace("  clock: {kind: time_penalty, per_step: 0.01}\n", "")
    with pytest.raises(InputError, match="sum of two judges"):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("rest", "problem"),
    [
        ("}", "neither a folder nor a server"),
        ("server: {url: 'http://127.0.0.1:1'}, camera: c}", "neither a folder nor a server"),
        ("model: m, camera: c}", "holds a model and parts of a server"),
        ("server: {url: 'http://127.0.0.1:1', token: abc}, camera: c, frames: 4}", "unknown key"),
    ],
)
def test_a_rubric_has_one_source_and_no_secret(tmp_path: Path, rest: str, problem: str) -> None:
    text = f"rewards: 1\nname: r\nbackends:\n  r: {SERVED}{rest}\nroles: {{reward: [r]}}\n"
    text = text.replace("[0, 0, 0, 0, 1]", "[0.0, 0.0, 0.0, 0.0, 1.0]")
    with pytest.raises(InputError, match=problem):
        load(tmp_path, text)
