"""The figures of many episodes: what counts as success, what as spoilt, and which bars are met."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_help_judge import HELPS, SPANS, episode

from vla_rl_nodes.bags.manifest import Manifest, save_manifest
from vla_rl_nodes.bench.people.half_policy import Alone
from vla_rl_nodes.bench.people.help_figures import (
    Judged,
    alone_figures,
    help_bars,
    help_figures,
)
from vla_rl_nodes.bench.people.help_judge import judge
from vla_rl_nodes.bench.people.help_run import Attempt, spoilt_by
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.nodes.driver import EpisodeResult


def result(seed: int, outcome: str = "success", reason: str = "") -> EpisodeResult:
    return EpisodeResult(f"e{seed}", seed, outcome, reason, None)


def attempt(seed: int, outcome: str = "success", reason: str = "") -> Attempt:
    ended = result(seed, outcome, reason)
    return Attempt(ended, spoilt_by(ended, CONTRACT))


CONTRACT = load_contract("franka_pick")
STALL = "the policy was silent for 0.31 s"
RIGHT = Judged(episode(*SPANS), tuple(HELPS), judge(episode(*SPANS), HELPS))


def test_a_stalled_machine_is_told_from_a_failed_robot() -> None:
    assert spoilt_by(result(1, "aborted", STALL), CONTRACT) == STALL
    fault = result(1, "aborted", "the safety filter faulted: the force on the tool")
    assert not spoilt_by(fault, CONTRACT)
    assert not spoilt_by(result(1, "timeout", STALL), CONTRACT)


@pytest.mark.parametrize(
    ("dropped", "spoilt"),
    [
        ({}, ""),
        ({"/fr3/franka/joint_states": 3}, ""),
        ({"/fr3/policy/status": 2, "/fr3/safety/executed": 1},
         "the recorder lost messages that count"),
    ],
)  # fmt: skip
def test_a_bag_that_lacks_what_counts_is_spoilt(
    tmp_path: Path, dropped: dict[str, int], spoilt: str
) -> None:
    manifest = Manifest(
        episode_id="e1", outcome="success", file="e1.mcap", size=1, sha256="0" * 64, messages=1,
        start_ns=0, end_ns=1, topics={}, dropped=dropped, metadata={},
    )  # fmt: skip
    save_manifest(tmp_path, manifest)
    assert spoilt_by(EpisodeResult("e1", 1, "success", "", tmp_path), CONTRACT) == spoilt


def test_the_last_attempt_of_each_seed_counts() -> None:
    attempts = [
        attempt(1, "aborted", STALL), attempt(1), attempt(2, "timeout", "time limit"),
        attempt(3, "aborted", STALL), attempt(3, "aborted", STALL),
    ]  # fmt: skip
    figures = help_figures(attempts, [RIGHT])
    assert figures["success_with_help"] == 0.5 and figures["episodes"] == 2
    assert figures["success_with_help_95"] == pytest.approx([0.0945, 0.9055], abs=1e-3)
    assert figures["failures"] == [{"seed": 2, "outcome": "timeout", "reason": "time limit"}]
    assert figures["spoilt"] == [{"seed": 3, "reason": STALL}]
    assert figures["spoilt_outcomes"] == {"aborted": 3}
    assert figures["repeated"] == 2 and figures["repeated_reasons"] == {STALL: 3}


def test_figures_of_right_episodes_keep_every_promise() -> None:
    figures = help_figures([attempt(1), attempt(2)], [RIGHT, RIGHT])
    assert figures["edges_expected"] == figures["edges_recorded"] == 4
    assert figures["intervened_steps"] == 74 and figures["intervened_steps_complete_share"] == 1.0
    assert figures["intervention_rate"] == pytest.approx(0.37)
    assert figures["takeover_ticks_p99"] == pytest.approx(0.96)
    assert figures["causes"] == {"no headway": 4} and figures["episodes_helped"] == 2
    assert all(help_bars(figures).values())


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({"success_with_help": 0.94}, "success_with_help"),
        ({"takeover_ticks_p99": 3.0}, "takeover_ticks"),
        ({"takeover_ticks_p99": None}, "takeover_ticks"),
        ({"intervened_steps_complete": 73}, "actions_complete"),
        ({"edges_recorded": 3}, "edges"),
        ({"jerk_violations": 1}, "jerk"),
        ({"faults_count": 1}, "no_faults"),
        ({"spoilt": [{"seed": 1, "reason": STALL}]}, "none_spoilt"),
    ],
)
def test_a_broken_promise_is_named(change: dict[str, Any], broken: str) -> None:
    figures = help_figures([attempt(1), attempt(2)], [RIGHT, RIGHT])
    bars = help_bars({**figures, **change})
    assert [name for name, met in bars.items() if not met] == [broken]


def test_nothing_run_gives_no_figures() -> None:
    figures = help_figures([], [])
    assert figures["success_with_help"] is None and figures["takeover_ticks_p99"] is None
    assert figures["intervention_rate"] is None


def test_the_policy_alone() -> None:
    figures = alone_figures(Alone("v", 1, (True, False, False, True), (False, True, False, False)))
    assert figures["success_alone"] == 0.5 and figures["episodes_alone"] == 4
    assert figures["alone_stopped_by_the_filter"] == 1
