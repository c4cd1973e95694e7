"""Demonstrations straight from the simulator, in the replay layout, without ROS or bags."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.replay.episode import (
    EpisodeData,
    EpisodeHeader,
    Transitions,
    array_file,
    content_sha256,
)
from vla_rl_nodes.replay.observe import Match
from vla_rl_nodes.replay.steps import ABSENT
from vla_rl_nodes.sim.actors import ExpertActor
from vla_rl_nodes.sim.rollout import Episode, Rollout

EXPERT_VERSION = "sim_expert"


def collect(rollout: Rollout, seed: int, perturbed: bool) -> EpisodeData:
    """One demonstration by the scripted expert.

    ``.transitions.arrays()`` of what it returns are the arrays of a replay folder. The same
    arguments give the same bytes.

    Args:
        rollout: the closed loop; with cameras.
        seed: of the scene and of the perturbation.
        perturbed: whether the expert is disturbed; the chunks are clean either way.
    """
    contract = rollout.contract
    episode = rollout.run(seed, ExpertActor(contract, perturbed, target=rollout.task.object))
    transitions = _transitions(episode, contract)
    arrays = transitions.arrays()
    header = EpisodeHeader(
        episode_id=f"sim_{'perturbed' if perturbed else 'clean'}_{seed:06d}",
        contract=contract.name,
        contract_sha256=contract.sha256,
        bag_sha256=None,
        outcome="success" if episode.success else "timeout",
        reason="the object was lifted" if episode.success else "time limit",
        seed=seed,
        task=contract.task,
        robot=contract.robot,
        steps=len(episode.ticks),
        policy_hz=contract.policy_hz,
        chunk_length=contract.action.chunk_length,
        action_names=list(contract.action.names),
        streams={
            stream.key: ("|u1" if stream.kind == "image" else "<f4", list(stream.shape))
            for stream in contract.streams
        },
        privileged_names=list(episode.last.privileged),
        policy_versions=[EXPERT_VERSION],
        reward_sources=["sim/predicate"],
        counts={
            "ticks": len(episode.ticks),
            "executed_missing": int(np.isnan(transitions.action_executed).any(axis=1).sum()),
        },
        refused={},
        recorder_dropped={},
        content_sha256=content_sha256(arrays),
        files={name: array_file(array) for name, array in arrays.items()},
    )
    return EpisodeData(header, transitions)


def _transitions(episode: Episode, contract: Contract) -> Transitions:
    ticks = episode.ticks
    steps, axes = len(ticks), len(contract.action.names)
    seen = [tick.seen for tick in ticks]
    decided = [tick.decision for tick in ticks]
    ended = np.zeros(steps, dtype=np.bool_)
    ended[-1] = True
    never = np.zeros(steps, dtype=np.bool_)
    absent = np.full(steps, ABSENT, dtype=np.int32)
    chunk = np.full((steps, contract.action.chunk_length, axes), np.nan, dtype=np.float32)
    for row, decision in enumerate(decided):
        if decision is not None and decision.chunk is not None:
            chunk[row] = decision.chunk
    return Transitions(
        stamp_ns=np.array([s.stamp_ns for s in seen] + [episode.last.stamp_ns], dtype=np.int64),
        action_proposed=_rows([d.action if d else None for d in decided], axes),
        action_residual=_rows([d.residual if d else None for d in decided], axes),
        action_intervention=_rows([None] * steps, axes),
        action_executed=_rows([t.executed.values if t.executed else None for t in ticks], axes),
        intervened=never,
        reward=np.array([tick.reward for tick in ticks], dtype=np.float32),
        terminated=ended if episode.success else never,
        truncated=never if episode.success else ended,
        chunk_id=np.arange(steps, dtype=np.int32),
        chunk_index=np.zeros(steps, dtype=np.int32),
        delay=np.zeros(steps, dtype=np.int32),
        noise_seed=absent.astype(np.int64),
        policy_version=np.zeros(steps, dtype=np.int32),
        safety_reasons=np.array(
            [int(t.executed.reasons) if t.executed else 0 for t in ticks], dtype=np.uint32
        ),
        observation_match=np.full(steps, int(Match.NO_HASH), dtype=np.uint8),
        rule_differs=never,
        chunk=chunk,
        privileged=np.array([list(s.privileged.values()) for s in seen], dtype=np.float64),
        observations={
            stream.key: np.stack([s.observation[stream.key] for s in [*seen, episode.last]])
            for stream in contract.streams
        },
    )


def _rows(values: Sequence[NDArray[np.float64] | None], axes: int) -> NDArray[np.float32]:
    """Actions [T, axes], NaN where there is none."""
    rows = np.full((len(values), axes), np.nan, dtype=np.float32)
    for row, value in enumerate(values):
        if value is not None:
            rows[row] = value
    return rows
