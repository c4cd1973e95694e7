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
CONTENT = "b5ab7b80e1ed3bdc2413c7864d5ff8525a25d30b172c0a6b71ea991826bbc789"


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
