"""Made-up episodes with everything that a sampler must look out for."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.replay.episode import (
    EpisodeData,
    EpisodeHeader,
    Transitions,
    content_sha256,
)

HZ = 10
PERIOD_NS = 1_000_000_000 // HZ
AXES = 3
CHUNK = 4
CONTRACT = "c" * 64


@dataclass(frozen=True)
class Flaws:
    """Shares of steps that lack an executed action, a reward or a successor, or are a person's,
    and of observations whose state is no number."""

    no_action: float = 0.0
    no_reward: float = 0.0
    gap: float = 0.0
    intervened: float = 0.3
    no_state: float = 0.0


@functools.cache
def make(seed: int, steps: int, flaws: Flaws = Flaws(), name: str = "made") -> EpisodeData:
    """An episode of random values. ``scene`` is wide, the other streams are narrow."""
    rng = np.random.default_rng(seed)

    def lacking(share: float) -> NDArray[np.bool_]:
        return rng.random(steps) < share

    executed = rng.normal(size=(steps, AXES)).astype(np.float32)
    executed[lacking(flaws.no_action)] = np.nan
    reward = rng.normal(size=steps).astype(np.float32)
    reward[lacking(flaws.no_reward)] = np.nan
    intervened = lacking(flaws.intervened)
    person = rng.normal(size=(steps, AXES)).astype(np.float32)
    person[~intervened] = np.nan
    lasted = np.where(lacking(flaws.gap), 3 * PERIOD_NS, PERIOD_NS)
    stamps = 1_760_000_000_000_000_000 + np.concatenate([[0], np.cumsum(lasted)])
    terminated, truncated = np.zeros((2, steps), dtype=np.bool_)
    (terminated if seed % 3 else truncated)[-1] = True
    chunk = rng.normal(size=(steps, CHUNK, AXES)).astype(np.float32)
    chunk[rng.random(steps) < 0.5] = np.nan
    count = np.arange(steps, dtype=np.int32)
    state = rng.normal(size=(steps + 1, 5)).astype(np.float32)
    state[rng.random(steps + 1) < flaws.no_state, 1] = np.nan
    transitions = Transitions(
        stamp_ns=stamps.astype(np.int64),
        action_proposed=rng.normal(size=(steps, AXES)).astype(np.float32),
        action_residual=np.full((steps, AXES), np.nan, dtype=np.float32),
        action_intervention=person, action_executed=executed, intervened=intervened,
        reward=reward, terminated=terminated, truncated=truncated, chunk_id=count,
        chunk_index=count % 4, delay=count % 2, noise_seed=rng.integers(0, 2**63, steps),
        policy_version=count % 2, safety_reasons=rng.integers(0, 2**32, steps, dtype=np.uint32),
        observation_match=np.ones(steps, dtype=np.uint8), rule_differs=intervened, chunk=chunk,
        privileged=rng.normal(size=(steps, 2)),
        observations={
            "scene": rng.integers(0, 256, size=(steps + 1, 40, 40, 3), dtype=np.uint8),
            "mask": rng.integers(0, 256, size=(steps + 1, 3, 3), dtype=np.uint8),
            "state": state,
        },
    )  # fmt: skip
    return described(transitions, f"{name}-{seed:04d}")


def described(transitions: Transitions, episode_id: str, **changes: Any) -> EpisodeData:
    """Transitions with the header that fits them."""
    fields: dict[str, Any] = {
        "episode_id": episode_id, "contract": "made", "contract_sha256": CONTRACT,
        "bag_sha256": None, "outcome": "success", "reason": "", "seed": None, "task": "",
        "robot": "", "steps": len(transitions.reward), "policy_hz": HZ, "chunk_length": CHUNK,
        "action_names": ["a", "b", "c"],
        "streams": {
            "scene": ("|u1", [40, 40, 3]), "mask": ("|u1", [3, 3]), "state": ("<f4", [5]),
        },
        "privileged_names": ["p", "q"], "policy_versions": ["v0", "v1"],
        "reward_sources": ["made"], "counts": {}, "refused": {}, "recorder_dropped": {},
        "content_sha256": content_sha256(transitions.arrays()), "files": {},
    }  # fmt: skip
    return EpisodeData(EpisodeHeader(**{**fields, **changes}), transitions)


def changed(episode: EpisodeData, **arrays: Any) -> EpisodeData:
    """The episode with other arrays, under the same id, and a hash that fits."""
    given = {k: v for k, v in arrays.items() if k in ("privileged_names", "contract_sha256")}
    transitions = replace(
        episode.transitions, **{k: v for k, v in arrays.items() if k not in given}
    )
    return described(transitions, episode.header.episode_id, **given)


def same(one: EpisodeData, other: EpisodeData) -> bool:
    """Whether two episodes are equal bit for bit."""
    left, right = one.transitions.arrays(), other.transitions.arrays()
    return one.header == other.header and list(left) == list(right) and all(
        left[k].dtype == right[k].dtype
        and left[k].shape == right[k].shape
        and left[k].tobytes() == right[k].tobytes()
        for k in left
    )  # fmt: skip
