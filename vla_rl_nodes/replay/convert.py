"""An episode's bag to a folder of transitions, the same bytes every time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np

from vla_rl_nodes.bags.manifest import Outcome
from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.bags.salvage import SALVAGED_FROM
from vla_rl_nodes.contract.observation import Observation
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.episodes.discarded import DISCARDED, is_discarded
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.episode import (
    FIELDS,
    NO_REWARD,
    EpisodeData,
    EpisodeHeader,
    Transitions,
    array_file,
    content_sha256,
)
from vla_rl_nodes.replay.folder import write_episode
from vla_rl_nodes.replay.held import read_held
from vla_rl_nodes.replay.interventions import edges
from vla_rl_nodes.replay.labels import (
    by_policy,
    chunks_at,
    critiques_at,
    privileged_at,
    reasons_at,
)
from vla_rl_nodes.replay.observe import (
    Match,
    Rebuilt,
    StreamSamples,
    Unbuilt,
    by_rule,
    read_samples,
    rebuild,
)
from vla_rl_nodes.replay.outcome import Ending, ends, read_ending, read_rewards, read_won
from vla_rl_nodes.replay.recording import (
    INTERVENTION_COMMAND,
    POLICY_COMMAND,
    POLICY_RESIDUAL,
    POLICY_STATUS,
    SAFETY_EXECUTED,
    Recording,
    read_recording,
    replay_topics,
)
from vla_rl_nodes.replay.start_state import StartState, measured_joints, start_state
from vla_rl_nodes.replay.steps import ABSENT, Tick, actions_at, read_ticks

# Of what a bag says of its episode, what the header says in a field of its own.
_OWN_FIELD = {
    "episode_id", "outcome", "reason", "seed", "task", "goal", "robot", "contract",
    "contract_sha256", "policy_version", SALVAGED_FROM, DISCARDED,
}  # fmt: skip


@dataclass(frozen=True)
class _Steps:
    """The steps that are kept: ticks and what they saw [T], the last observation, the count of
    what was left out and why, and whether the last step is the one that ended the episode.

    ``breaks`` are the rows in which nobody acted: each stands for a stretch in which the episode
    was held, from its beginning to the next tick. ``acting_ns``: see ``replay.held``.
    """

    ticks: list[Tick]
    seen: list[Rebuilt]
    last: Observation
    stamps_ns: list[int]
    counts: dict[str, int]
    last_is_end: bool
    breaks: list[int]
    acting_ns: int


def convert_episode(bag: Path, contract: Contract, out_dir: Path) -> Path:
    """Converts a bag to ``<out_dir>/<episode id>/``: ``episode.json`` and one .npy per array.

    The folder appears whole or not at all. Where it exists with the same content nothing is
    written, so that a conversion may be repeated at will.

    Args:
        bag: a closed bag's folder or its ``.mcap`` file.
        contract: the one that the episode was recorded with.
        out_dir: made when it does not exist.

    Returns:
        The episode's folder.

    Raises:
        InputError: the bag is damaged, not closed, discarded by its operator, of another contract
            or without a single step, or the folder exists with other content or cannot be
            written.
    """
    return write_episode(build_episode(bag, contract), out_dir)


def build_episode(bag: Path, contract: Contract) -> EpisodeData:
    """The transitions of a bag, in memory; see :func:`convert_episode`."""
    taken = sorted(set(FIELDS) & {stream.key for stream in contract.streams})
    if taken:
        raise InputError(
            f"contract {contract.name}", f"stream '{taken[0]}' has an array's name", "rename it"
        )
    reader = EpisodeReader(bag, hold=replay_topics(contract))
    recording = read_recording(reader, contract)
    salvaged_from = reader.metadata.get(SALVAGED_FROM)
    ticks, repeated = read_ticks(recording)
    cut_ns = ticks[-1].stamp_ns if salvaged_from is not None and ticks else None
    ending = read_ending(recording, contract, reader.metadata.get("outcome"), cut_ns)
    if is_discarded(reader.metadata) or is_discarded(ending.values):
        raise InputError(
            recording.place, "was discarded by its operator", "leave it out of what is converted"
        )
    steps = _choose(recording, contract, ending, ticks, repeated)
    stamps = steps.stamps_ns[:-1]
    names = contract.action.names
    proposed, residual, intervention, executed = (
        actions_at(recording, topic, names, stamps)
        for topic in (POLICY_COMMAND, POLICY_RESIDUAL, INTERVENTION_COMMAND, SAFETY_EXECUTED)
    )
    chunk = chunks_at(recording, contract, stamps)
    terminated, truncated = ends(ending.outcome, len(stamps), steps.last_is_end, steps.breaks)
    # Whoever holds the robot to look at it judges what its last step has reached.
    judged_ns = [ending.stamp_ns] if terminated[-1] else steps.stamps_ns[-1:]
    judged = [*stamps, *judged_ns]
    won = read_won(recording, ending, steps.acting_ns, steps.last_is_end)
    reward, source, sources = read_rewards(recording, judged, won)
    critiques, left_out = critiques_at(recording, judged, won, steps.breaks)
    for array in (proposed, residual, intervention, executed, chunk, reward):
        array[steps.breaks] = np.nan
    source[steps.breaks] = NO_REWARD
    intervened = np.isfinite(intervention).all(axis=1) & ~by_policy(recording, stamps)
    start, end = edges(intervened, executed)
    versions = list(dict.fromkeys(tick.policy_version for tick in steps.ticks))
    keys = sorted(stream.key for stream in contract.streams)
    privileged = privileged_at(recording, contract, stamps)
    transitions = Transitions(
        stamp_ns=np.array(steps.stamps_ns, dtype=np.int64),
        action_proposed=proposed,
        action_residual=residual,
        action_intervention=intervention,
        action_executed=executed,
        intervened=intervened,
        intervention_start=start,
        intervention_end=end,
        reward=reward,
        reward_source=source,
        sample_stamp_ns=np.array(
            [[tick.sample_stamps_ns.get(key, ABSENT) for key in keys] for tick in steps.ticks],
            dtype=np.int64,
        ),
        terminated=terminated,
        truncated=truncated,
        chunk_id=np.array([t.chunk_id for t in steps.ticks], dtype=np.int32),
        chunk_index=np.array([t.chunk_index for t in steps.ticks], dtype=np.int32),
        delay=np.array([t.delay for t in steps.ticks], dtype=np.int32),
        noise_seed=np.array([t.noise_seed for t in steps.ticks], dtype=np.int64),
        policy_version=np.array(
            [versions.index(t.policy_version) for t in steps.ticks], dtype=np.int32
        ),
        safety_reasons=reasons_at(recording, steps.stamps_ns),
        observation_match=np.array([s.match for s in steps.seen], dtype=np.uint8),
        rule_differs=np.array([s.rule_differs for s in steps.seen], dtype=np.bool_),
        chunk=chunk,
        privileged=None if privileged is None else privileged[0],
        observations={
            stream.key: np.stack(
                [s.observation[stream.key] for s in steps.seen] + [steps.last[stream.key]]
            )
            for stream in contract.streams
        },
    )
    counts = {
        **steps.counts,
        "executed_missing": int(np.isnan(executed).any(axis=1).sum()),
        "reward_missing": int(np.isnan(reward).sum()),
    }
    if left_out:
        counts["critiques_left_out"] = left_out
    arrays = transitions.arrays()
    began = _start(reader, contract, transitions, [] if privileged is None else privileged[1])
    manifest = reader.manifest
    told = {**ending.values, **reader.metadata}
    header = EpisodeHeader(
        episode_id=recording.episode_id,
        contract=contract.name,
        contract_sha256=contract.sha256,
        bag_sha256=None if manifest is None else manifest.sha256,
        outcome=cast(Outcome, ending.outcome.value),
        reason=ending.reason,
        seed=ending.seed,
        task=ending.task,
        robot=ending.robot,
        steps=len(stamps),
        policy_hz=contract.policy_hz,
        chunk_length=contract.action.chunk_length,
        action_names=list(names),
        streams={
            s.key: ("|u1" if s.kind == "image" else "<f4", list(s.shape)) for s in contract.streams
        },
        privileged_names=[] if privileged is None else privileged[1],
        policy_versions=versions,
        reward_sources=sources,
        counts=counts,
        refused={topic: n for topic, n in sorted(recording.refused.items()) if n},
        recorder_dropped={} if manifest is None else dict(manifest.dropped),
        content_sha256=content_sha256(arrays, critiques),
        files={f: array_file(a) for f, a in arrays.items()},
        goal=ending.goal or reader.metadata.get("goal", ""),
        interventions=int(start.sum()),
        start_state=began.source,
        start_state_sha256=began.sha256,
        salvaged_from=salvaged_from,
        metadata={k: v for k, v in sorted(told.items()) if k not in _OWN_FIELD},
        critiques=critiques,
    )
    return EpisodeData(header, transitions)


def _start(
    reader: EpisodeReader, contract: Contract, steps: Transitions, privileged_names: list[str]
) -> StartState:
    """The bag is asked for joint states only where the simulator's state does not tell."""
    joints = None
    if steps.privileged is None or not np.isfinite(steps.privileged[0]).all():
        status = next(topic for topic in reader.topics if topic.endswith(f"/{POLICY_STATUS}"))
        namespace = status.removesuffix(POLICY_STATUS)
        joints = measured_joints(reader, namespace, contract.robot, int(steps.stamp_ns[0]))
    return start_state(steps.privileged, privileged_names, steps.observations, joints)


def _choose(
    recording: Recording, contract: Contract, ending: Ending, ticks: list[Tick], repeated: int
) -> _Steps:
    """The ticks before the episode's end whose observation can be rebuilt, and the end's.

    Ticks while the episode was held are no steps of it. Before and after such a stretch it is the
    same episode, but no step leads from one to the other: the last step before the stretch leads
    to what was seen when it began.
    """
    samples = read_samples(recording, contract)
    held = read_held(recording, ending.stamp_ns)
    counts = {"ticks": len(ticks), "ticks_repeated": repeated, "after_end": 0, "dropped_held": 0}
    counts |= {f"dropped_{reason.value}": 0 for reason in Unbuilt}
    kept: list[Tick] = []
    seen: list[Rebuilt] = []
    breaks: list[int] = []
    for tick in ticks:
        if tick.stamp_ns >= ending.stamp_ns:
            counts["after_end"] += 1
            continue
        if held.holds(tick.stamp_ns):
            counts["dropped_held"] += 1
            continue
        rebuilt = rebuild(contract, samples, tick)
        if isinstance(rebuilt, Unbuilt):
            counts[f"dropped_{rebuilt.value}"] += 1
            continue
        begun = held.before(kept[-1].stamp_ns) if kept else held.before(tick.stamp_ns)
        if begun < held.before(tick.stamp_ns):
            _break(contract, samples, held.starts_ns[begun], kept, seen)
            breaks.append(len(kept) - 1)
        kept.append(tick)
        seen.append(rebuilt)
    end_ns = ending.stamp_ns
    if kept and held.before(kept[-1].stamp_ns) < len(held.starts_ns):
        end_ns = held.starts_ns[held.before(kept[-1].stamp_ns)]  # nothing came after this one
    last = by_rule(contract, samples, end_ns)
    stamps = [tick.stamp_ns for tick in kept]
    counts["dropped_last"] = int(last is None and bool(kept))
    if last is not None:
        stamps.append(end_ns)
    elif kept:
        # The last tick's own observation becomes the last one; its step has no successor.
        kept.pop()
        last = seen.pop().observation
        breaks = [row for row in breaks if row < len(kept)]
    if not kept or last is None:
        raise InputError(
            recording.place, "gives no step: no observation could be rebuilt", "record it again"
        )
    counts["breaks"] = len(breaks)
    counts["gaps"] = sum(2 * (b - a) > 3 * contract.period_ns for a, b in pairwise(stamps))
    acting_ns = stamps[0] if held.acting_ns is None else held.acting_ns
    return _Steps(kept, seen, last, stamps, counts, not counts["dropped_last"], breaks, acting_ns)


def _break(
    contract: Contract,
    samples: dict[str, StreamSamples],
    start_ns: int,
    kept: list[Tick],
    seen: list[Rebuilt],
) -> None:
    """Adds the row that stands for a stretch in which the episode was held.

    Where nothing could be observed when it began, the tick before has no successor: it becomes
    that row.
    """
    observation = by_rule(contract, samples, start_ns)
    if observation is None:
        start_ns, observation = kept[-1].stamp_ns, seen[-1].observation
        version = kept.pop().policy_version
        seen.pop()
    else:
        version = kept[-1].policy_version
    kept.append(Tick(start_ns, {}, None, version, ABSENT, ABSENT, ABSENT, ABSENT))
    seen.append(Rebuilt(observation, Match.NO_HASH, rule_differs=False))
