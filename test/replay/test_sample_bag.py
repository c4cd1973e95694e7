"""The bag in bags/ still gives the transitions that it gave when it was recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rosbags.highlevel import AnyReader

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.replay.check import check_parity
from vla_rl_nodes.replay.convert import build_episode

BAG = Path(__file__).resolve().parents[2] / "bags" / "franka_pick_sample"
CONTRACT = load_contract("franka_pick")
CONTENT = "38249b930b504f0c942a5e69b1c9e52c55fcd635e446ad38f65710f95c699064"


def test_transitions_have_the_recorded_content() -> None:
    episode = build_episode(BAG, CONTRACT)
    assert episode.header.content_sha256 == CONTENT
    steps = episode.transitions
    assert steps.terminated[-1] and steps.reward.sum() == 1.0
    acted = np.isfinite(steps.action_executed).all(axis=1)
    assert acted.sum() > 50


def test_every_observation_is_what_the_policy_saw() -> None:
    report = check_parity(BAG, CONTRACT)
    assert report.matched == report.built_live > 50


def test_rosbags_opens_it() -> None:
    with AnyReader([BAG]) as reader:
        counts = {c.topic: c.msgcount for c in reader.connections}
        first = next(reader.messages())
    assert counts["/fr3/policy/status"] > 50
    assert len(first[2]) > 0
