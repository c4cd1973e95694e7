"""The data quality report of several bags: one object for machines, text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.replay.quality import BagQuality, StepQuality
from vla_rl_nodes.replay.quality_verdict import (
    THRESHOLDS,
    Finding,
    Verdict,
    balance,
    findings,
    worst,
)


@dataclass(frozen=True)
class Judged:
    """A bag and what is doubtful or bad about it, the worst first."""

    quality: BagQuality
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst finding's."""
        return worst([finding.verdict for finding in self.findings])


def judge(quality: BagQuality, contract: Contract) -> Judged:
    """A measured bag held against the thresholds."""
    return Judged(quality, tuple(findings(quality, contract)))


def total(bags: Sequence[Judged]) -> dict[str, Any]:
    """What the bags are in sum: verdicts, labels, interventions, limits, and their findings."""
    steps = [bag.quality.steps for bag in bags if bag.quality.steps is not None]
    count = sum(s.steps for s in steps)
    outcomes = Counter(s.outcome for s in steps)
    found = balance(outcomes)
    parity = [bag.quality.parity for bag in bags]
    return {
        "bags": len(bags),
        "verdict": worst([*(b.verdict for b in bags), *(f.verdict for f in found)]).value,
        "verdicts": {v.value: sum(bag.verdict is v for bag in bags) for v in Verdict},
        "findings": [asdict(finding) for finding in found],
        "thresholds_passed": _sorted(
            Counter(name for bag in bags for name in {f.threshold for f in bag.findings})
        ),
        "observations": sum(p.built_live for p in parity),
        "observations_matched": sum(p.matched for p in parity),
        "steps": count,
        "outcomes": _sorted(outcomes),
        "rewards": _added(s.rewards for s in steps),
        "reward_missing": sum(s.reward_missing for s in steps),
        "versions": _added(s.versions for s in steps),
        "interventions": sum(s.interventions for s in steps),
        "intervened": sum(s.intervened for s in steps),
        "executed": sum(s.executed for s in steps),
        "executed_missing": sum(s.executed_missing for s in steps),
        "saturated": _added(s.saturated for s in steps),
        "reasons": _added(s.reasons for s in steps),
        "limited": sum(s.limited for s in steps),
        "salvaged": sum(s.salvaged_from is not None for s in steps),
        "dropped": _added(bag.quality.dropped for bag in bags),
    }


def as_dict(bags: Sequence[Judged], problems: Sequence[str]) -> dict[str, Any]:
    """The whole report."""
    rows = [
        {
            "good": bag.quality.same,
            "verdict": bag.verdict.value,
            "findings": [asdict(finding) for finding in bag.findings],
            **asdict(bag.quality),
        }
        for bag in bags
    ]
    return {
        "quality": 1,
        "good": bool(bags) and not problems and all(bag.quality.same for bag in bags),
        "bags": rows,
        "sum": total(bags),
        "thresholds": [asdict(threshold) for threshold in THRESHOLDS.values()],
        "problems": list(problems),
    }


def lines(bags: Sequence[Judged]) -> list[str]:
    """The report in words; stream by stream where it is one bag."""
    if len(bags) == 1:
        return _bag(bags[0], _streams(bags[0].quality))
    text = [line for bag in bags for line in _bag(bag, [])]
    return text + _total(total(bags))


def _bag(bag: Judged, streams: list[str]) -> list[str]:
    quality, parity = bag.quality, bag.quality.parity
    same = "same" if quality.same else "DIFFERS"
    again = "" if quality.repeat is None else (
        f", {len(quality.repeat.differing)} files differ when converted twice"
    )  # fmt: skip
    text = [
        f"{quality.bag}: {bag.verdict.value.upper()}",
        f"  {same}: {parity.matched} of {parity.ticks} observations are what the policy saw"
        + again,
    ]
    text += [f"  {f.verdict.value}: {f.where}: {f.reason}" for f in bag.findings]
    text += streams
    if quality.steps is not None:
        text += _steps(quality.steps)
    return text


def _streams(quality: BagQuality) -> list[str]:
    text = []
    for stream, age in quality.ages.items():
        spread = age.spread
        text.append(
            f"  {stream}: {_spread(spread.p50_ms, spread.p99_ms, spread.max_ms)} ms old at the"
            f" ticks (p50/p99/max), {age.over} times too old"
        )
    for topic, q in quality.streams.items():
        if q.rate_hz is None:
            continue
        gap = _spread(q.gap.p50_ms, q.gap.p99_ms, q.gap.max_ms)
        delay = _spread(q.transport.p50_ms, q.transport.p99_ms, q.transport.max_ms)
        lost = "" if not q.missing else f", {q.missing} dropped"
        twice = "" if not q.repeated else f", {q.repeated} repeated"
        text.append(
            f"  {topic}: {q.messages} at {q.rate_hz:.1f} Hz, gaps {gap} ms, published after"
            f" {delay} ms{lost}{twice}"
        )
    return text


def _steps(s: StepQuality) -> list[str]:
    return [
        f"  {s.outcome}, {s.steps} steps; rewards {_counts(s.rewards)}, {s.reward_missing} steps"
        f" without; acted by {_counts(s.versions)}",
        f"  {s.interventions} interventions over {s.intervened} steps; {s.executed_missing} steps"
        f" without an executed action; at a bound {_counts(s.saturated)};"
        f" limited {s.limited}: {_counts(s.reasons)}",
    ]


def _total(s: dict[str, Any]) -> list[str]:
    verdicts = ", ".join(f"{count} {name}" for name, count in s["verdicts"].items())
    text = [
        f"in sum: {s['bags']} bags: {verdicts}",
        f"  {s['observations_matched']} of {s['observations']} observations are what the policy"
        f" saw; {s['steps']} steps",
        f"  outcomes {_counts(s['outcomes'])}; rewards {_counts(s['rewards'])},"
        f" {s['reward_missing']} steps without; acted by {_counts(s['versions'])}",
        f"  {s['interventions']} interventions over {s['intervened']} steps; limited"
        f" {s['limited']}: {_counts(s['reasons'])}; recorder dropped {_counts(s['dropped'])}",
    ]
    text += [f"  {f['verdict']}: {f['where']}: {f['reason']}" for f in s["findings"]]
    return text


def _spread(*values: float | None) -> str:
    return "/".join("-" if value is None else f"{value:.1f}" for value in values)


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{name or 'unnamed'} {count}" for name, count in found.items()) or "none"


def _sorted(found: Counter[str]) -> dict[str, int]:
    return dict(sorted(found.items()))


def _added(found: Iterable[dict[str, int]]) -> dict[str, int]:
    whole: Counter[str] = Counter()
    for part in found:
        whole.update(part)
    return _sorted(whole)
