"""What a bag is worth as experience: every figure of the data quality report, measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.check import ParityReport, RepeatReport, check_parity, check_repeat
from vla_rl_nodes.replay.convert import build_episode
from vla_rl_nodes.replay.episode import EpisodeData
from vla_rl_nodes.replay.observe import StreamSamples, read_samples
from vla_rl_nodes.replay.quality_images import ImageQuality, measure_images
from vla_rl_nodes.replay.quality_streams import (
    Spread,
    StreamQuality,
    longest_gaps,
    measure_stream,
    read_times,
)
from vla_rl_nodes.replay.recorded_contract import recorded_contract, refuse_other_contract
from vla_rl_nodes.replay.recording import POLICY_STATUS, read_recording
from vla_rl_nodes.replay.steps import Tick, read_ticks
from vla_rl_nodes.safety.reasons import Reason, reason_names

_AT_BOUND = 1e-6  # of an axis' width


@dataclass(frozen=True)
class Age:
    """How old a stream's newest recorded sample was at the control ticks.

    ``over`` counts ticks at which it was older than the contract allows, or there was none.
    """

    spread: Spread
    over: int


@dataclass(frozen=True)
class StepQuality:
    """The converted steps of a bag.

    Attributes:
        steps: how many.
        outcome: of the episode.
        rewards: steps by reward source.
        reward_missing: steps without a reward.
        reward_sum: of all rewards.
        versions: steps by policy version.
        intervened: steps with a person's action.
        interventions: how often a person took over.
        executed_missing: steps of which nothing was executed.
        saturated: by axis, steps whose executed action is at the contract's bound.
        executed: steps with an executed action, which ``saturated`` are a part of.
        reasons: steps by reason of the safety filter.
        limited: steps with any reason.
        gaps: steps longer than one and a half periods.
        refused: messages per topic that broke the contract or repeated a stamp.
        salvaged_from: what the bag was salvaged from.
    """

    steps: int
    outcome: str
    rewards: dict[str, int]
    reward_missing: int
    reward_sum: float
    versions: dict[str, int]
    intervened: int
    interventions: int
    executed_missing: int
    saturated: dict[str, int]
    executed: int
    reasons: dict[str, int]
    limited: int
    gaps: int
    refused: dict[str, int]
    salvaged_from: str | None


@dataclass(frozen=True)
class Timeline:
    """When things happened, for a drawing; nanoseconds.

    ``silences`` are times without a sample of a stream, longer than its maximum age.
    """

    start_ns: int
    end_ns: int
    silences: Mapping[str, Sequence[tuple[int, int]]]
    blind: Sequence[int]
    intervened: Sequence[int]
    limited: Sequence[int]


@dataclass(frozen=True)
class BagQuality:
    """One bag. ``streams`` and ``dropped`` are by topic without the namespace, ``ages`` and
    ``images`` by stream key; ``problem`` says why it cannot be converted, and then ``steps`` and
    ``repeat`` are None."""

    bag: str
    episode_id: str
    parity: ParityReport
    repeat: RepeatReport | None
    problem: str | None
    duration_s: float
    streams: dict[str, StreamQuality]
    ages: dict[str, Age]
    images: dict[str, ImageQuality]
    dropped: dict[str, int]
    steps: StepQuality | None
    timeline: Timeline

    @property
    def same(self) -> bool:
        """Whether the bag rebuilds what the policy saw, and converts the same way twice."""
        repeats = self.repeat is not None and not self.repeat.differing
        return repeats and 0 < self.parity.matched == self.parity.built_live


def measure_bag(bag: Path, contract: Contract) -> BagQuality:
    """Every figure of a bag.

    Raises:
        InputError: damaged, not closed, no episode, without a policy, or of another contract.
    """
    reader = EpisodeReader(bag)
    recording = read_recording(reader, contract)
    recorded = recorded_contract(reader, recording)
    if recorded:  # a bag that does not say is measured all the same, and gives no steps
        refuse_other_contract(recorded, str(bag), contract)
    parity = check_parity(bag, contract)
    ticks, _ = read_ticks(recording)
    samples = read_samples(recording, contract)
    topic = next(t for t in reader.topics if t.endswith(f"/{POLICY_STATUS}"))
    namespace = topic.removesuffix(POLICY_STATUS)
    times = {name.removeprefix(namespace): found for name, found in read_times(reader).items()}
    episode, repeat, problem = None, None, None
    try:
        repeat = check_repeat(bag, contract)
        episode = build_episode(bag, contract)
    except InputError as error:
        problem = f"{error.problem}; {error.remedy}"
    ages = {s.key: _age(samples[s.key], ticks, s.max_age_ns) for s in contract.streams}
    stamps = [tick.stamp_ns for tick in ticks]
    steps = None if episode is None else measure_steps(episode, contract)
    dropped = {} if reader.manifest is None else reader.manifest.dropped
    return BagQuality(
        bag=str(bag),
        episode_id=recording.episode_id,
        parity=parity,
        repeat=repeat,
        problem=problem,
        duration_s=(stamps[-1] - stamps[0]) / 1e9 if stamps else 0.0,
        streams={name: measure_stream(found) for name, found in sorted(times.items())},
        ages=ages,
        images=measure_images(contract, samples),
        dropped={t.removeprefix(namespace): n for t, n in sorted(dropped.items()) if n},
        steps=steps,
        timeline=Timeline(
            start_ns=stamps[0] if stamps else 0,
            end_ns=stamps[-1] if stamps else 0,
            silences={
                s.topic: longest_gaps(times[s.topic], s.max_age_ns)
                for s in contract.streams
                if s.topic in times
            },
            blind=[tick.stamp_ns for tick in ticks if not tick.sample_stamps_ns],
            intervened=_where(episode, "intervened"),
            limited=_where(episode, "safety_reasons"),
        ),
    )


def _age(samples: StreamSamples, ticks: Sequence[Tick], max_age_ns: int) -> Age:
    ages = []
    for tick in ticks:
        newest = samples.newest(tick.stamp_ns, tick.stamp_ns)
        if newest is not None:
            ages.append(tick.stamp_ns - newest)
    values = np.array(ages, dtype=np.int64)
    return Age(Spread.of(values), int((values > max_age_ns).sum()) + len(ticks) - len(values))


def _where(episode: EpisodeData | None, name: str) -> list[int]:
    if episode is None:
        return []
    flags = np.asarray(getattr(episode.transitions, name)) != 0
    return [int(at) for at in episode.transitions.stamp_ns[:-1][flags]]


def measure_steps(episode: EpisodeData, contract: Contract) -> StepQuality:
    """The figures of a converted episode."""
    steps, header = episode.transitions, episode.header
    acted = np.isfinite(steps.action_executed).all(axis=1)
    rewarded = np.isfinite(steps.reward)
    return StepQuality(
        steps=header.steps,
        outcome=header.outcome,
        rewards={
            source: int((steps.reward_source == i).sum())
            for i, source in enumerate(header.reward_sources)
        },
        reward_missing=int((~rewarded).sum()),
        reward_sum=float(steps.reward[rewarded].sum(dtype=np.float64)),
        versions={
            version: int((steps.policy_version == i).sum())
            for i, version in enumerate(header.policy_versions)
        },
        intervened=int(steps.intervened.sum()),
        interventions=header.interventions,
        executed_missing=int((~acted).sum()),
        saturated=saturated(steps.action_executed[acted], contract),
        executed=int(acted.sum()),
        reasons={
            reason_names(reason)[0]: count
            for reason in Reason
            if (count := int((steps.safety_reasons & np.uint32(reason) != 0).sum()))
        },
        limited=int((steps.safety_reasons != 0).sum()),
        gaps=header.counts["gaps"],
        refused=dict(header.refused),
        salvaged_from=header.salvaged_from,
    )


def saturated(actions: NDArray[np.float32], contract: Contract) -> dict[str, int]:
    """By axis, the actions [T, A] that are at the lower or upper bound of the contract.

    An opening is either open or closed as a rule, so a gripper's axis is left out; so are the
    positions of joints, which the robot's own range bounds.
    """
    action = contract.action
    if action.kind == "joint_position":
        return {}
    slack = _AT_BOUND * (action.maximum - action.minimum)
    at = (actions <= action.minimum + slack) | (actions >= action.maximum - slack)
    count = len(action.names) - int(action.has_gripper)
    return {name: int(at[:, i].sum()) for i, name in enumerate(action.names[:count])}
