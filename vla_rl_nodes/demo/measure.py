"""One episode's bag to its figures, and to what the report draws."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.contract.decode import stamp_ns
from vla_rl_nodes.contract.observation import sample, source_sample
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.demo.chunks import ChunkMeasure, measure_chunks
from vla_rl_nodes.demo.filter_activity import FilterMeasure, measure_filter
from vla_rl_nodes.demo.limit_check import LimitMeasure, check_limits
from vla_rl_nodes.demo.motion import Window
from vla_rl_nodes.demo.ticks import TickMeasure, measure_ticks, present, ticks_until
from vla_rl_nodes.episodes.machine import OUTCOMES, State
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.check import ParityReport, check_parity
from vla_rl_nodes.replay.labels import chunks_at
from vla_rl_nodes.replay.observe import Unbuilt
from vla_rl_nodes.replay.outcome import read_ending
from vla_rl_nodes.replay.recording import (
    EPISODE_STATE,
    INTERVENTION_COMMAND,
    POLICY_COMMAND,
    POLICY_RESIDUAL,
    POLICY_STATUS,
    SAFETY_EXECUTED,
    SAFETY_STATUS,
    Recording,
    read_recording,
)
from vla_rl_nodes.replay.steps import Tick, actions_at
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.limits import SafetyLimits

FRAMES = 8
_LISTED_VIOLATIONS = 20


@dataclass(frozen=True)
class Trace:
    """What the report draws of an episode.

    Attributes:
        times_s: the T control ticks, from the episode's start.
        proposed, residual, intervention, executed: actions [T, A], NaN rows where there was none.
        frame_times_s: F ticks, spread evenly over the episode.
        frames: what each camera's stream showed at them, uint8 [F, height, width, 3]; a stream
            that has none of them in the bag is left out, a single one that is missing is black.
    """

    times_s: NDArray[np.float64]
    proposed: NDArray[np.float32]
    residual: NDArray[np.float32]
    intervention: NDArray[np.float32]
    executed: NDArray[np.float32]
    frame_times_s: NDArray[np.float64]
    frames: dict[str, NDArray[np.uint8]]


@dataclass(frozen=True)
class EpisodeMeasure:
    """One episode, measured from its bag alone, and what it was held to.

    ``duration_s`` is from its start to its outcome, 0 where it never started.
    """

    contract: Contract
    robot: Robot
    safety: SafetyLimits
    episode_id: str
    bag: str
    seed: int | None
    outcome: str
    reason: str
    task: str
    policy_versions: tuple[str, ...]
    duration_s: float
    ticks: TickMeasure
    chunks: ChunkMeasure
    filter: FilterMeasure
    limits: LimitMeasure
    parity: ParityReport
    trace: Trace

    @property
    def observed(self) -> int:
        """Control ticks in the bag at which the policy saw an observation that can be rebuilt."""
        return self.parity.ticks - self.parity.unbuilt.get(Unbuilt.NOT_BUILT_LIVE.value, 0)

    def summary(self) -> dict[str, Any]:
        """The figures as plain, finite values; None where there is nothing to measure."""
        ticks, chunks, limits = self.ticks, self.chunks, self.limits
        return {
            "episode_id": self.episode_id,
            "bag": self.bag,
            "seed": self.seed,
            "outcome": self.outcome,
            "reason": self.reason,
            "policy_versions": list(self.policy_versions),
            "duration_s": self.duration_s,
            "ticks": ticks.ticks,
            "ticks_expected": ticks.expected,
            "ticks_acted": ticks.acted,
            "ticks_kept": ticks.kept,
            "starved_ticks": ticks.starved,
            "blind_ticks": ticks.blind,
            "skipped_ticks": ticks.skipped,
            "tick_lateness_p99_ms": percentile(ticks.lateness_ms, 99),
            "observation_age_p99_ms": {
                key: percentile(ages, 99) for key, ages in sorted(ticks.ages_ms.items())
            },
            "filter_tick_lateness_p99_ms": percentile(self.filter.lateness_ms, 99),
            "filter_skipped_ticks": self.filter.skipped,
            "chunks": chunks.count,
            "inference_p50_ms": percentile(chunks.inference_ms, 50),
            "inference_p99_ms": percentile(chunks.inference_ms, 99),
            "delay_max": int(chunks.delay.max()) if len(chunks.delay) else None,
            "delay_misses": chunks.misses,
            "prefix_error": chunks.prefix_error,
            "seams": len(chunks.seams),
            "executed_ticks": self.filter.executed,
            "changed_ticks": self.filter.changed,
            "refused_ticks": self.filter.refused,
            "filter_reasons": dict(self.filter.reasons),
            "residual_ticks": self.filter.residual_ticks,
            "intervention_ticks": self.filter.interventions,
            "limit_violations": len(limits.violations),
            "violations": limits.counts,
            "first_violations": [v._asdict() for v in limits.violations[:_LISTED_VIOLATIONS]],
            "commands_missing": limits.missing,
            "commands_late": limits.late,
            "rest_s": limits.rest_s,
            "parity_matched": self.parity.matched,
            "parity_ticks": self.observed,
        }


def percentile(values: NDArray[Any], share: float) -> float | None:
    """A percentile, linear between samples; None of no values."""
    return float(np.percentile(values, share)) if values.size else None


def measure_episode(
    bag: Path, contract: Contract, robot: Robot, limits: SafetyLimits
) -> EpisodeMeasure:
    """Measures an episode from its bag.

    An episode that was aborted before its first tick, that used no chunks or that was recorded
    without cameras has figures all the same; what could not be measured is None or empty.

    Args:
        bag: a closed bag's folder.
        contract: the one that the episode was recorded with.
        robot: the joint limits that its motion is held to.
        limits: the workspace box and the residual's bounds.

    Raises:
        InputError: in one line: the bag is damaged, not closed, or of another contract.
    """
    reader = EpisodeReader(bag)
    namespace = _namespace(reader)
    recording = _recording(reader, namespace, contract)
    outcome, reason, seed, task, window = _episode(reader, recording, contract)
    ticks = ticks_until(recording, window.end_ns)
    stamps = [tick.stamp_ns for tick, _ in ticks]
    names = contract.action.names
    proposed, residual, intervention, executed = actions = tuple(
        actions_at(recording, topic, names, stamps)
        for topic in (POLICY_COMMAND, POLICY_RESIDUAL, INTERVENTION_COMMAND, SAFETY_EXECUTED)
    )
    duration_s = (window.end_ns - window.start_ns) / 1e9
    spread = np.unique(np.linspace(0, len(ticks) - 1, FRAMES).round().astype(int))
    picked = [ticks[i][0] for i in spread] if ticks else []
    return EpisodeMeasure(
        contract=contract,
        robot=robot,
        safety=limits,
        episode_id=recording.episode_id,
        bag=str(bag),
        seed=seed,
        outcome=outcome,
        reason=reason,
        task=task,
        policy_versions=tuple(dict.fromkeys(tick.policy_version for tick, _ in ticks)),
        duration_s=duration_s,
        ticks=measure_ticks(ticks, present(proposed), duration_s, contract),
        chunks=measure_chunks(
            ticks, proposed, chunks_at(recording, contract, stamps),
            contract.action.maximum - contract.action.minimum,
        ),
        filter=measure_filter(recording, contract, limits, window, stamps, actions),
        limits=check_limits(
            reader, namespace, robot, limits, 1.0 / contract.rates.filter_hz, window
        ),
        parity=_parity(bag, contract, recording),
        trace=Trace(
            window.seconds(np.array(stamps, dtype=np.int64)),
            proposed, residual, intervention, executed,
            window.seconds(np.array([t.stamp_ns for t in picked], dtype=np.int64)),
            _frames(recording, contract, picked),
        ),
    )  # fmt: skip


def _namespace(reader: EpisodeReader) -> str:
    """The robot's namespace with the slash before and behind, from the recorder or the topics."""
    given = reader.metadata.get("namespace")
    if given is not None:
        return f"{given.rstrip('/')}/"
    topic = next((t for t in sorted(reader.topics) if t.endswith("/" + EPISODE_STATE)), None)
    if topic is None:
        raise InputError(
            reader.path, "is no recording of an episode", "give a bag of this package's recorder"
        )
    return topic.removesuffix(EPISODE_STATE)


def _recording(reader: EpisodeReader, namespace: str, contract: Contract) -> Recording:
    """What replay reads; an episode that was over before its first tick has only its events."""
    if any(topic.endswith("/" + POLICY_STATUS) for topic in reader.topics):
        return read_recording(reader, contract)
    messages: defaultdict[str, list[Any]] = defaultdict(list)
    for topic in (EPISODE_STATE, SAFETY_STATUS):
        if namespace + topic in reader.topics:
            messages[topic] = [entry.message for entry in reader.messages(namespace + topic)]
    episode_id = reader.metadata.get("episode_id", reader.path.name)
    return Recording(episode_id, str(reader.path), messages)


def _episode(
    reader: EpisodeReader, recording: Recording, contract: Contract
) -> tuple[str, str, int | None, str, Window]:
    """Outcome, reason, seed, task and times; without an outcome event, what the recorder says."""
    first: dict[str, int] = {}
    for event in recording.events(EPISODE_STATE):
        if event.values.get("episode_id") == recording.episode_id:
            first.setdefault(event.message, event.stamp_ns)
    start = first.get(State.RUNNING.value)
    ready = first.get(State.READY.value, start or 0)
    metadata = reader.metadata
    if any(state.value in first for state in OUTCOMES):
        ending = read_ending(recording, contract, metadata.get("outcome"))
        end = ending.stamp_ns
        told = ending.outcome.value, ending.reason, ending.seed, ending.task
    else:
        recorded = metadata.get("contract_sha256", contract.sha256)
        if recorded != contract.sha256:
            raise InputError(
                reader.path, f"was recorded with contract {recorded[:12]}, not {contract.name}",
                "give the contract that is attached to the bag",
            )  # fmt: skip
        end = max((content.last_ns for content in reader.topics.values()), default=0)
        outcome, seed = metadata.get("outcome", State.ABORTED.value), metadata.get("seed", "")
        if outcome not in {state.value for state in OUTCOMES}:
            raise InputError(reader.path, f"ended as '{outcome}'", "give an episode's bag")
        told = (
            outcome, metadata.get("reason", ""), int(seed) if seed.isdecimal() else None,
            metadata.get("task", ""),
        )  # fmt: skip
    return *told, Window(ready, end if start is None else start, end)


def _parity(bag: Path, contract: Contract, recording: Recording) -> ParityReport:
    if not recording.messages[POLICY_STATUS]:
        return ParityReport(0, 0, 0, 0, {}, 0, None)
    return check_parity(bag, contract)


def _frames(
    recording: Recording, contract: Contract, ticks: list[Tick]
) -> dict[str, NDArray[np.uint8]]:
    found: dict[str, NDArray[np.uint8]] = {}
    for stream in contract.streams:
        wanted = {tick.sample_stamps_ns.get(stream.key): i for i, tick in enumerate(ticks)}
        if stream.kind != "image":
            continue
        frames = np.zeros((len(ticks), *stream.shape), dtype=np.uint8)
        seen = False
        for message in recording.messages[stream.topic]:
            row = wanted.get(stamp_ns(message))
            if row is not None:
                make = source_sample if stream.topic in recording.from_source else sample
                frames[row] = make(stream, message)
                seen = True
        if seen:
            found[stream.key] = frames
    return found
