"""The data quality report as one HTML file: no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.demo.page import (
    Html,
    Tone,
    card,
    document,
    joined,
    number,
    percent,
    plural,
    rows,
    tag,
    tile,
)
from vla_rl_nodes.replay.quality import BagQuality
from vla_rl_nodes.replay.quality_drawings import bars, timeline
from vla_rl_nodes.replay.quality_report import Judged, total
from vla_rl_nodes.replay.quality_streams import Spread
from vla_rl_nodes.replay.quality_verdict import THRESHOLDS, Finding, Verdict

_MARKS = {
    Verdict.GOOD: "✓\u00a0good", Verdict.DOUBTFUL: "?\u00a0doubtful", Verdict.BAD: "✗\u00a0bad",
}  # fmt: skip
_LONGEST = 34  # of a topic's name
_SHOWN_OPEN = 3  # bags whose details are open from the start


def page(bags: Sequence[Judged], problems: Sequence[str], contract: Contract) -> str:
    """The whole report.

    Args:
        bags: measured and judged.
        problems: one line for each bag that cannot be read.
        contract: that they were measured with.
    """
    whole = total(bags)
    worst_first = sorted(bags, key=lambda bag: -list(Verdict).index(bag.verdict))
    body = [
        _headline(whole, problems, contract),
        _problems(problems),
        tag("h2", "All bags together"),
        tag("div", *_balance(whole), class_="columns"),
        tag("h2", "Bag by bag, the worst first"),
        _overview(worst_first),
        *(_bag(bag, contract, i < _SHOWN_OPEN) for i, bag in enumerate(worst_first)),
        tag("h2", "What is judged, and by what"),
        _thresholds(),
        tag("p", "vla_rl_nodes", class_="soft"),
    ]
    return document(f"Data quality: {plural(len(bags), 'bag')}", *body)


def _headline(whole: dict[str, Any], problems: Sequence[str], contract: Contract) -> Html:
    verdicts, steps = whole["verdicts"], whole["steps"]
    unread = len(problems)
    matched: Tone = "good" if whole["observations_matched"] == whole["observations"] else "bad"
    return joined(
        tag("h1", f"Data quality of {plural(whole['bags'] + unread, 'bag')}"),
        tag(
            "p",
            f"Contract {contract.name}, {contract.robot}: {verdicts['good']} good,"
            f" {verdicts['doubtful']} doubtful, {verdicts['bad']} bad, {unread} cannot be read.",
            class_="lead",
        ),
        tag("div",
            tile("Bags that are good", percent(_share(verdicts["good"], whole["bags"] + unread)),
                 f"{verdicts['good']} of {whole['bags'] + unread}",
                 "good" if verdicts["good"] == whole["bags"] + unread else "plain"),
            tile("Observations rebuilt",
                 percent(_share(whole["observations_matched"], whole["observations"]), 1),
                 f"{number(whole['observations_matched'])} of {number(whole['observations'])},"
                 " bit for bit", matched),
            tile("Steps", number(steps), f"{number(whole['reward_missing'])} without a reward"),
            tile("Steps with a person's action", percent(_share(whole["intervened"], steps), 1),
                 plural(whole["interventions"], "intervention")),
            tile("Steps that the filter changed", percent(_share(whole["limited"], steps), 1),
                 f"{number(whole['limited'])} of {number(steps)}"),
            tile("Steps without an executed action",
                 percent(_share(whole["executed_missing"], steps), 1),
                 f"{number(whole['executed_missing'])} of {number(steps)}"),
            class_="tiles"),
    )  # fmt: skip


def _problems(problems: Sequence[str]) -> Html:
    if not problems:
        return Html("")
    items = [tag("li", problem) for problem in problems]
    told = card(f"✗ {plural(len(problems), 'bag')} cannot be read", tag("ul", *items))
    return tag("div", told, class_="wide")


def _balance(whole: dict[str, Any]) -> list[Html]:
    steps = whole["steps"]
    groups = (
        ("How the episodes ended", whole["outcomes"], sum(whole["outcomes"].values()), "episodes"),
        ("Where the rewards come from", whole["rewards"], steps, "steps"),
        ("Which policy acted", whole["versions"], steps, "steps"),
        ("Why the safety filter acted", whole["reasons"], steps, "steps"),
        ("Actions at the contract's bound", whole["saturated"], whole["executed"], "actions"),
        ("What the recorder dropped", whole["dropped"], None, "messages"),
    )
    found = []
    for title, counts, of, unit in groups:
        if counts and any(counts.values()):
            found.append(card(title, bars(counts, of, unit)))
        else:
            found.append(card(title, tag("p", "None.")))
    for finding in whole["findings"]:
        found.append(card(f"{_MARKS[Verdict(finding['verdict'])]}: {finding['reason']}"))
    return found


def _overview(bags: Sequence[Judged]) -> Html:
    body = []
    for bag in bags:
        q, s = bag.quality, bag.quality.steps
        body.append([
            q.bag, _MARKS[bag.verdict],
            "; ".join(f"{f.where}: {f.reason}" for f in bag.findings[:3]) or "–",
            "–" if s is None else s.outcome, "–" if s is None else number(s.steps),
            f"{q.parity.matched} / {q.parity.built_live}",
        ])  # fmt: skip
    head = ["Bag", "Verdict", "Why", "Outcome", "Steps", "Rebuilt"]
    return tag("div", rows(head, body, texts=4), class_="card")


def _bag(bag: Judged, contract: Contract, opened: bool) -> Html:
    q = bag.quality
    inside = [
        tag("ul", *(tag("li", _said(f)) for f in bag.findings)) if bag.findings else Html(""),
        timeline(q.timeline),
        _ages(q, contract),
        _streams(q),
        _images(q),
    ]
    summary = tag("summary", tag("strong", f"{_MARKS[bag.verdict]}: {q.bag}"))
    details = tag("details", summary, *inside, **({"open": ""} if opened else {}))
    return tag("div", details, class_="card wide")


def _said(finding: Finding) -> str:
    return f"{_MARKS[finding.verdict]}: {finding.where}: {finding.reason}"


def _ages(q: BagQuality, contract: Contract) -> Html:
    body = []
    for stream in contract.streams:
        age = q.ages[stream.key]
        s = age.spread
        body.append([
            stream.key, number(s.p50_ms, 1), number(s.p99_ms, 1), number(s.max_ms, 1),
            number(1e3 * stream.max_age_s), number(age.over),
        ])  # fmt: skip
    head = ["Age at the ticks, ms", "p50", "p99", "max", "allowed", "too old"]
    return rows(head, body)


def _streams(q: BagQuality) -> Html:
    body = [
        [
            topic if len(topic) <= _LONGEST else "…" + topic[1 - _LONGEST :],
            number(s.messages), number(s.rate_hz, 1), _spread(s.gap), number(s.missing),
            number(s.missing_sequence), number(s.repeated), number(s.future),
            number(s.drift_ms, 2), _spread(s.transport), number(s.recorder.p99_ms, 1),
        ]
        for topic, s in q.streams.items()
    ]  # fmt: skip
    head = [
        "Topic; times in ms, p50 / p99 / max", "messages", "Hz", "gap", "dropped", "lost in file",
        "stamp twice", "future", "clock drift", "published after", "recorded after, p99",
    ]  # fmt: skip
    return rows(head, body)


def _spread(s: Spread) -> str:
    return " / ".join(number(value, 1) for value in (s.p50_ms, s.p99_ms, s.max_ms))


def _images(q: BagQuality) -> Html:
    body = [
        [key, number(i.frames), number(i.black), number(i.white), number(i.frozen_s, 2),
         number(i.mean, 1)]
        for key, i in q.images.items()
    ]  # fmt: skip
    head = ["Camera", "frames", "black", "white", "stood still in motion, s", "mean brightness"]
    return rows(head, body)


def _thresholds() -> Html:
    body = [
        [t.name, t.origin, t.unit or "–", f"> {t.doubtful:g}",
         "–" if t.bad is None else f"> {t.bad:g}"]
        for t in THRESHOLDS.values()
    ]  # fmt: skip
    return tag("div", rows(["Figure", "Where the limits come from", "Unit", "doubtful", "bad"],
                           body, texts=3), class_="card")  # fmt: skip


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
