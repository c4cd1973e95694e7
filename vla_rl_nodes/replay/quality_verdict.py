"""Thresholds of the data quality report, and what is said of a bag that is beyond one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.replay.quality import BagQuality, StepQuality
from vla_rl_nodes.replay.quality_streams import StreamQuality

_ENOUGH_BAGS = 10
_OWN = "own choice"
_LIVE = "what the live nodes refuse (ingest.buffer)"


class Verdict(StrEnum):
    """Worst last."""

    GOOD = "good"
    DOUBTFUL = "doubtful"
    BAD = "bad"


@dataclass(frozen=True)
class Threshold:
    """A figure is doubtful above one value and bad above another; None: never bad.

    ``origin`` says where the two values come from.
    """

    name: str
    unit: str
    doubtful: float
    bad: float | None
    origin: str

    def judge(self, value: float) -> Verdict:
        """Good, doubtful or bad."""
        if self.bad is not None and value > self.bad:
            return Verdict.BAD
        return Verdict.DOUBTFUL if value > self.doubtful else Verdict.GOOD


THRESHOLDS = {
    t.name: t
    for t in (
        Threshold("observations_differing", "share", 0.0, 0.0, "bit for bit or not at all"),
        Threshold("conversions_differing", "files", 0.0, 0.0, "the same bytes or not at all"),
        Threshold("not_convertible", "", 0.0, 0.0, "no steps, no experience"),
        Threshold("nothing_rebuilt", "", 0.0, 0.0, "no observation is proven"),
        Threshold("observations_lost", "share", 0.0, 0.05, _OWN),
        Threshold("blind", "share", 0.02, 0.2, _OWN),
        Threshold("over_age", "share", 0.02, 0.2, "age by the contract, share: " + _OWN),
        Threshold("gap", "x max. age", 1.0, 3.0, "age by the contract, times: " + _OWN),
        Threshold("missing", "share", 0.05, 0.2, _OWN),
        Threshold("lost_in_file", "share", 0.0, 0.05, "every message is numbered; share: " + _OWN),
        Threshold("dropped", "share", 0.0, 0.01, "the recorder counts what it drops; " + _OWN),
        Threshold("repeated", "share", 0.0, 0.05, _LIVE + "; share: " + _OWN),
        Threshold("refused", "share", 0.0, 0.05, _LIVE + "; share: " + _OWN),
        Threshold("future", "share", 0.0, 0.05, _LIVE + "; share: " + _OWN),
        Threshold("clock_behind", "ms", 200.0, 1000.0, _LIVE + "; doubtful: a fifth of it"),
        Threshold(
            "clock_drift", "ms", 10.0, 50.0, "half of the tolerated 20 ms; a contract's age"
        ),
        Threshold("steps_apart", "share", 0.05, 0.2, _OWN),
        Threshold("executed_missing", "share", 0.05, 0.5, _OWN),
        Threshold("reward_missing", "share", 0.05, 0.5, _OWN),
        Threshold("saturated", "share", 0.25, 0.75, _OWN),
        Threshold("limited", "share", 0.25, 0.75, _OWN),
        Threshold("black", "share", 0.0, 0.1, _OWN),
        Threshold("white", "share", 0.0, 0.1, _OWN),
        Threshold("frozen", "s", 0.3, 1.0, "ten frames at 30 Hz; " + _OWN),
        Threshold("one_outcome", "share", 0.95, None, "of ten bags and more; " + _OWN),
        Threshold("salvaged", "", 0.0, None, "the rest of a damaged bag"),
        Threshold("aborted", "", 0.0, None, "an operator ended it"),
    )
}


@dataclass(frozen=True)
class Finding:
    """One figure beyond its threshold: which, of what, its value, and the reason in words."""

    threshold: str
    where: str
    value: float
    verdict: Verdict
    reason: str


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The worst of some; good of none."""
    return max(verdicts, key=list(Verdict).index, default=Verdict.GOOD)


def findings(bag: BagQuality, contract: Contract) -> list[Finding]:
    """What is doubtful or bad about a bag, the worst first."""
    found = [*_whole(bag), *_streams(bag, contract), *_images(bag)]
    if bag.steps is not None:
        found += _steps(bag.steps)
    order = list(Verdict)
    return sorted(found, key=lambda f: -order.index(f.verdict))  # stable


def balance(outcomes: Mapping[str, int]) -> list[Finding]:
    """What is doubtful about the outcomes of several bags together, counted by outcome."""
    count = sum(outcomes.values())
    if count < _ENOUGH_BAGS:
        return []
    name, most = max(outcomes.items(), key=lambda entry: entry[1])
    reason = f"{most} of {count} episodes are a {name}: they hardly tell what makes it so"
    return list(_judged("one_outcome", "outcomes", most / count, reason))


def _judged(name: str, where: str, value: float, reason: str) -> Iterator[Finding]:
    verdict = THRESHOLDS[name].judge(value)
    if verdict is not Verdict.GOOD:
        yield Finding(name, where, value, verdict, reason)


def _whole(bag: BagQuality) -> Iterator[Finding]:
    parity = bag.parity
    ticks = max(parity.ticks, 1)
    yield from _judged(
        "observations_differing", "observation", parity.differing / ticks,
        f"{parity.differing} of {parity.ticks} observations are not what the policy saw",
    )  # fmt: skip
    if parity.matched == 0:
        yield from _judged(
            "nothing_rebuilt", "observation", 1.0, "no observation could be held against its hash"
        )
    lost = parity.built_live - parity.matched - parity.differing - parity.unhashed
    yield from _judged(
        "observations_lost", "observation", lost / ticks,
        f"{lost} of {parity.ticks} observations cannot be rebuilt: a sample is not in the bag",
    )  # fmt: skip
    blind = parity.ticks - parity.built_live
    yield from _judged(
        "blind", "policy", blind / ticks,
        f"at {blind} of {parity.ticks} ticks the policy saw nothing: a stream was silent",
    )  # fmt: skip
    if bag.repeat is not None:
        differing = bag.repeat.differing
        yield from _judged(
            "conversions_differing", "conversion", len(differing),
            f"converted twice, {', '.join(differing)} differ",
        )  # fmt: skip
    if bag.problem is not None:
        yield from _judged("not_convertible", "bag", 1.0, f"cannot be converted: {bag.problem}")


def _streams(bag: BagQuality, contract: Contract) -> Iterator[Finding]:
    observed = {stream.topic: stream for stream in contract.streams}
    for stream in contract.streams:
        age = bag.ages[stream.key]
        yield from _judged(
            "over_age", stream.key, age.over / max(bag.parity.ticks, 1),
            f"at {age.over} of {bag.parity.ticks} ticks no sample was younger than"
            f" {stream.max_age_s:g} s",
        )  # fmt: skip
        quality = bag.streams.get(stream.topic)
        if quality is None:
            continue
        if quality.gap.max_ms is not None:
            yield from _judged(
                "gap", stream.topic, quality.gap.max_ms / 1e3 / stream.max_age_s,
                f"nothing came for {quality.gap.max_ms:.0f} ms, a sample may be"
                f" {1e3 * stream.max_age_s:g} ms old at most",
            )  # fmt: skip
        missing = quality.missing or 0
        yield from _judged(
            "missing", stream.topic, missing / (quality.messages + missing),
            f"{missing} of {quality.messages + missing} frames were dropped on the way, by its"
            " period",
        )  # fmt: skip
    for topic, quality in bag.streams.items():
        # Of the rest, some come for every event and share its stamp.
        if topic in observed:
            yield from _clock(topic, quality)
        yield from _judged(
            "lost_in_file", topic, quality.missing_sequence / quality.messages,
            f"{quality.missing_sequence} messages are missing in the file, by their numbers",
        )  # fmt: skip
    for topic, count in bag.dropped.items():
        kept = bag.streams[topic].messages if topic in bag.streams else 0
        yield from _judged(
            "dropped", topic, count / (count + kept),
            f"the recorder dropped {count} of {count + kept} messages",
        )  # fmt: skip


def _clock(topic: str, quality: StreamQuality) -> Iterator[Finding]:
    count = quality.messages
    yield from _judged(
        "repeated", topic, quality.repeated / count,
        f"{quality.repeated} samples have the stamp of an earlier one",
    )  # fmt: skip
    yield from _judged(
        "future", topic, quality.future / count,
        f"{quality.future} samples are stamped after they were published: its clock is ahead by up"
        f" to {_ahead(quality):.0f} ms",
    )  # fmt: skip
    if quality.transport.p50_ms is not None:
        yield from _judged(
            "clock_behind", topic, quality.transport.p50_ms,
            f"samples are {quality.transport.p50_ms:.0f} ms old when they are published: slow, or"
            " its clock is behind",
        )  # fmt: skip
    if quality.drift_ms is not None:
        yield from _judged(
            "clock_drift", topic, abs(quality.drift_ms),
            f"its clock moved by {quality.drift_ms:+.0f} ms against the publisher's",
        )  # fmt: skip


def _ahead(quality: StreamQuality) -> float:
    return -(quality.transport_min_ms or 0.0)


def _images(bag: BagQuality) -> Iterator[Finding]:
    for key, image in bag.images.items():
        count = max(image.frames, 1)
        for what in ("black", "white"):
            number = getattr(image, what)
            yield from _judged(
                what, key, number / count, f"{number} of {image.frames} frames are all {what}"
            )
        yield from _judged(
            "frozen", key, image.frozen_s,
            f"the picture stood still for {image.frozen_s:.2f} s while the robot moved",
        )  # fmt: skip


def _steps(steps: StepQuality) -> Iterator[Finding]:
    count = steps.steps
    for topic, number in steps.refused.items():
        yield from _judged(
            "refused", topic, number / (number + count),
            f"{number} messages broke the contract or repeated a stamp",
        )  # fmt: skip
    yield from _judged(
        "steps_apart", "steps", steps.gaps / count,
        f"{steps.gaps} of {count} steps are longer than one and a half periods",
    )  # fmt: skip
    yield from _judged(
        "executed_missing", "steps", steps.executed_missing / count,
        f"{steps.executed_missing} of {count} steps have no executed action",
    )  # fmt: skip
    yield from _judged(
        "reward_missing", "steps", steps.reward_missing / count,
        f"{steps.reward_missing} of {count} steps have no reward",
    )  # fmt: skip
    for axis, number in steps.saturated.items():
        yield from _judged(
            "saturated", axis, number / max(steps.executed, 1),
            f"{number} of {steps.executed} executed actions are at the contract's bound",
        )  # fmt: skip
    reasons = ", ".join(f"{name} {number}" for name, number in steps.reasons.items())
    yield from _judged(
        "limited", "safety filter", steps.limited / count,
        f"it acted in {steps.limited} of {count} steps: {reasons}",
    )  # fmt: skip
    if steps.salvaged_from is not None:
        yield from _judged("salvaged", "bag", 1.0, f"was salvaged from {steps.salvaged_from}")
    if steps.outcome == "aborted":
        yield from _judged("aborted", "episode", 1.0, "was aborted")
