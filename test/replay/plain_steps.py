"""Episodes whose every number a test chooses, without a bag."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vla_rl_nodes.replay.episode import (
    EpisodeData,
    EpisodeHeader,
    Transitions,
    array_file,
    content_sha256,
)

HZ, PERIOD_NS = 20, 50_000_000


def steps_episode(
    rewards: Sequence[float],
    *,
    terminal: bool = True,
    versions: Sequence[int] | None = None,
    person: Sequence[bool] | None = None,
    executed: Sequence[float] | None = None,
    stamps_ns: Sequence[int] | None = None,
) -> EpisodeData:
    """T steps of one action axis.

    Args:
        rewards: [T].
        terminal: whether the last step terminates; else it truncates.
        versions: of the policy [T]; None: the first one throughout.
        person: whether a person acts [T]; None: never.
        executed: what was executed [T]; None: 0, 1, 2 and so on.
        stamps_ns: [T+1]; None: one control period apart.
    """
    total = len(rewards)
    values = np.arange(total) if executed is None else np.array(executed, dtype=np.float64)
    action = values.astype(np.float32)[:, None]
    intervened = np.array([False] * total if person is None else person, dtype=np.bool_)
    last = np.arange(total) == total - 1
    none = np.full_like(action, np.nan)
    absent = np.full(total, -1, dtype=np.int32)
    transitions = Transitions(
        stamp_ns=np.array(
            range(0, (total + 1) * PERIOD_NS, PERIOD_NS) if stamps_ns is None else stamps_ns,
            dtype=np.int64,
        ),
        action_proposed=action,
        action_residual=none,
        action_intervention=np.where(intervened[:, None], action, none),
        action_executed=action,
        intervened=intervened,
        reward=np.array(rewards, dtype=np.float32),
        terminated=last if terminal else np.zeros_like(last),
        truncated=np.zeros_like(last) if terminal else last,
        chunk_id=absent,
        chunk_index=absent,
        delay=absent,
        noise_seed=absent.astype(np.int64),
        policy_version=np.array(versions or [0] * total, dtype=np.int32),
        safety_reasons=np.zeros(total, dtype=np.uint32),
        observation_match=np.ones(total, dtype=np.uint8),
        rule_differs=np.zeros_like(last),
        chunk=none[:, None],
        privileged=None,
        observations={"state": np.arange(total + 1, dtype=np.float32)[:, None]},
    )
    arrays = transitions.arrays()
    header = EpisodeHeader(
        episode_id="plain",
        contract="plain",
        contract_sha256="0" * 64,
        bag_sha256=None,
        outcome="success" if terminal else "timeout",
        reason="",
        seed=None,
        task="count",
        robot="none",
        steps=total,
        policy_hz=HZ,
        chunk_length=1,
        action_names=["x"],
        streams={"state": ("<f4", [1])},
        privileged_names=[],
        policy_versions=[f"v{i}" for i in range(1 + max(versions or [0]))],
        reward_sources=["test"],
        counts={},
        refused={},
        recorder_dropped={},
        content_sha256=content_sha256(arrays),
        files={name: array_file(array) for name, array in arrays.items()},
    )
    return EpisodeData(header, transitions)
