"""The report's sections: what was found, in a sentence, above what shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vla_rl_nodes.demo import episode_plots, plots
from vla_rl_nodes.demo.definitions import DEFINITIONS
from vla_rl_nodes.demo.measure import EpisodeMeasure, percentile
from vla_rl_nodes.demo.page import (
    Html,
    Tone,
    all_of,
    card,
    definitions,
    drawing,
    joined,
    number,
    percent,
    pixels,
    plural,
    rows,
    tag,
    tile,
)


def _range(summary: dict[str, Any], key: str) -> str:
    low, high = summary[f"{key}_low"], summary[f"{key}_high"]
    return f"{100 * low:.0f}–{100 * high:.0f}\u00a0%"


def _good(condition: bool) -> Tone:
    return "good" if condition else "bad"


def headline(summary: dict[str, Any]) -> Html:
    """The title, one sentence, and the headline figures."""
    s = summary
    task = s["task"] or f"{s['robot']}: no episode"
    versions = ", ".join(s["policy_versions"]) or "nothing"
    lead = (
        f"{s['successes']} of {plural(s['episodes'], 'episode')} succeeded on the simulated"
        f" {s['robot']}, from seed {s['seed']}. Acting: {versions}."
    )
    if s["unrecorded_episodes"]:
        lead += f" {plural(s['unrecorded_episodes'], 'episode')} left no bag and is in no figure."
    tiles = [
        tile("Success", percent(s["success_rate"]), f"95 % interval {_range(s, 'success_rate')}"),
    ]
    if "blackout_episodes" in s:
        tiles.append(tile(
            "Success, cameras black", percent(s["blackout_success_rate"]),
            f"{s['blackout_successes']} of {s['blackout_episodes']}, the control group",
        ))  # fmt: skip
    kept = s["ticks_kept"]
    tiles += [
        tile("Control ticks kept", percent(kept, 1), f"of {number(s['ticks_expected'])} due"),
        tile("Starved ticks", number(s["starved_ticks"]), "no chunk left to act from",
             _good(s["starved_ticks"] == 0) if s["ticks"] else "plain"),
        tile("Policy tick late, p99", number(s["tick_lateness_p99_ms"], 1, "ms"),
             f"median {number(s['tick_lateness_p50_ms'], 1, 'ms')}"),
        tile("Filter tick late, p99", number(s["filter_tick_lateness_p99_ms"], 1, "ms"),
             f"median {number(s['filter_tick_lateness_p50_ms'], 1, 'ms')}"),
        tile("Inference, median", number(s["inference_p50_ms"], 1, "ms"),
             f"p99 {number(s['inference_p99_ms'], 1, 'ms')}"
             if s["inference_p50_ms"] is not None else "this actor has no inference"),
        tile("Limit violations", number(s["limit_violations"]),
             f"in {plural(s['commands_checked'], 'command')}",
             _good(s["limit_violations"] == 0 and s["commands_checked"] > 0)),
        tile("Observations rebuilt",
             all_of(s["parity_matched"], s["parity_ticks"]) if s["parity_ticks"] else "–",
             "bit for bit, from the bags",
             _good(s["parity_matched"] == s["parity_ticks"]) if s["parity_ticks"] else "plain"),
    ]  # fmt: skip
    return joined(
        tag("h1", task[:1].upper() + task[1:]), tag("p", lead, class_="lead"),
        tag("div", *tiles, class_="tiles"),
    )  # fmt: skip


def outcomes(
    summary: dict[str, Any], measures: Sequence[EpisodeMeasure], blackout: Sequence[EpisodeMeasure]
) -> Html:
    """How the episodes ended, and the table of all of them."""
    parts: list[Html] = [tag("h2", "Outcomes")]
    if measures or blackout:
        finding = f"{summary['successes']} of {plural(len(measures), 'episode')} succeeded"
        note = "Each mark is one episode; its height is the time to its outcome."
        if blackout:
            finding += f"; with black cameras, {summary['blackout_successes']} of {len(blackout)}"
            apart = summary["blackout_success_rate_high"] < summary["success_rate_low"]
            note += (
                f" The 95 % intervals are {_range(summary, 'success_rate')} and"
                f" {_range(summary, 'blackout_success_rate')}"
                + (": they are apart, so the policy depends on its cameras." if apart
                   else ": they overlap, so this does not show that the policy uses its cameras.")
            )  # fmt: skip
        groups = [("cameras on", measures), ("cameras black", blackout)]
        plot = drawing(plots.outcomes(groups), "Duration and outcome of each episode")
        cards = [card(finding, plot, note=note), _rates(summary), _parity(summary)]
        parts.append(tag("div", *cards, class_="columns"))
    head = ["seed", "outcome", "why", "cameras", "duration [s]", "ticks kept", "starved", "blind",
            "late p99 [ms]", "inference p50 [ms]", "changed", "violations", "rest after [s]",
            "rebuilt"]  # fmt: skip
    body = [
        _row(m, cameras)
        for group, cameras in ((measures, "on"), (blackout, "black"))
        for m in group
    ]
    parts.append(card("Every episode", rows(head, body, texts=4)))
    return tag("section", *parts)


def _parity(summary: dict[str, Any]) -> Html:
    """Whether the bags rebuild what the policy saw."""
    matched, ticks = summary["parity_matched"], summary["parity_ticks"]
    heading = f"{all_of(matched, ticks)} observations were rebuilt from the bags"
    if not ticks:
        heading = "No observation to rebuild"
        text = "The policy saw none, so nothing could be compared."
    elif matched == ticks:
        text = (
            "Each has the hash that was recorded live: converting a bag gives exactly what the"
            " policy saw."
        )
    else:
        text = (
            "Only these have the hash that was recorded live; the others differ, or their"
            " samples are not in the bag."
        )
    return card(heading, tag("p", text))


def _rates(summary: dict[str, Any]) -> Html:
    groups = [
        (name, *(summary[f"{key}{end}"] for end in ("", "_low", "_high")))
        for name, key in (
            ("cameras on", "success_rate"), ("cameras black", "blackout_success_rate"),
        )
        if summary.get(key) is not None
    ]  # fmt: skip
    finding = "; ".join(
        f"{name} {percent(rate)} ({100 * low:.0f}–{percent(high)})"
        for name, rate, low, high in groups
    )
    return card(
        f"Success with {finding}", drawing(plots.rates(groups), "Success rates with intervals")
    )


def _row(m: EpisodeMeasure, cameras: str) -> list[str]:
    ticks = m.ticks
    return [
        "–" if m.seed is None else str(m.seed), tag("span", m.outcome, class_=m.outcome),
        m.reason, cameras, number(m.duration_s, 2),
        f"{min(ticks.acted, ticks.expected)} of {ticks.expected}",
        number(ticks.starved), number(ticks.blind), number(percentile(ticks.lateness_ms, 99), 1),
        number(percentile(m.chunks.inference_ms, 50), 1), number(m.filter.changed),
        number(len(m.limits.violations)), number(m.limits.rest_s, 2),
        f"{m.parity.matched} of {m.observed}",
    ]  # fmt: skip


def one_episode(shown: EpisodeMeasure, others: Sequence[EpisodeMeasure]) -> Html:
    """What one episode looked like: cameras, actions, the tool's path, use of the limits."""
    which = f"seed {shown.seed}" if shown.seed is not None else shown.episode_id
    intro = (
        f"The episode of {which} ({shown.outcome} after {shown.duration_s:.2f} s), chosen because"
        " its duration is the median of the successful ones."
        if shown.outcome == "success"
        else f"The episode of {which} ({shown.outcome}); none succeeded."
    )
    cards = []
    if shown.ticks.ticks:
        f = shown.filter
        and_residual = " plus residual" if f.residual_ticks else ""
        same = f.executed - f.changed
        note = (
            "Tool axes are moves per control tick in the base frame; the gripper's is the opening."
        )
        if episode_plots.seams_shown(shown):
            note += " Grey lines: a new chunk begins."
        elif len(shown.chunks.seams):
            note += " A new chunk begins at nearly every tick; those are not marked."
        cards.append(card(
            f"{same} of {f.executed} accepted actions are what was proposed{and_residual}",
            drawing(episode_plots.actions(shown), "Proposed and executed action of each axis"),
            note=note,
        ))  # fmt: skip
    if len(shown.limits.commanded.times_s):
        inside = not any(v.quantity == "workspace" for v in shown.limits.violations)
        cards += [
            card(
                "The tool stayed in the workspace box" if inside
                else "The tool left the workspace box",
                drawing(episode_plots.tool_path(shown, others), "Path of the tool point"),
                note="Forward kinematics of the commanded and of the measured joint positions.",
            ),
            card(
                _use_finding(shown),
                drawing(episode_plots.limit_use(shown), "Use of the joint limits over time"),
                note="Share of each joint's own limit, the velocity's where each tick ends. The"
                f" filter lets itself use {percent(shown.safety.velocity_scale)} of the velocity,"
                f" {percent(shown.safety.acceleration_scale)} of the acceleration and"
                f" {percent(shown.safety.jerk_scale)} of the jerk limits.",
            ),
        ]  # fmt: skip
    return tag(
        "section", tag("h2", "One episode"), tag("p", intro), _cameras(shown),
        tag("div", *cards, class_="columns"),
    )  # fmt: skip


def _use_finding(shown: EpisodeMeasure) -> str:
    parts = [
        f"{quantity} {100 * shown.limits.peak_use(quantity).max(initial=0.0):.0f}\u00a0%"
        for quantity in ("position", "velocity", "acceleration", "jerk")
    ]
    return f"Greatest use of any joint's limit: {', '.join(parts)}"


def _cameras(shown: EpisodeMeasure) -> Html:
    trace = shown.trace
    if not trace.frames:
        return card("No camera image was recorded for a control tick of this episode")
    names = [key.replace("_", " ") for key in trace.frames]
    shots = []
    for i, at in enumerate(trace.frame_times_s):
        images = [
            pixels(frames[i], f"{name} at {at:.1f} s")
            for name, frames in zip(names, trace.frames.values(), strict=True)
        ]
        shots.append(tag("div", *images, tag("span", f"{at:.1f} s")))
    height, width = next(iter(trace.frames.values())).shape[1:3]
    return tag("div", card(
        f"What the cameras showed, as the policy gets it ({width}×{height} pixels)",
        tag("div", *shots, class_="strip"),
        note=f"Each column from above: {', '.join(names)}. Times since the start of the episode.",
    ), class_="wide")  # fmt: skip


def method(summary: dict[str, Any]) -> Html:
    """How the figures were made, and what each of them means."""
    s = summary
    command = f"vla-rl demo --robot {s['robot']} --seed {s['seed']} --episodes {s['episodes']}"
    if "blackout_episodes" in s:
        command += f" --blackout {s['blackout_episodes']}"
    if s["policy_versions"] == ["sim_expert"]:
        command += " --actor sim_expert"
    bags = s["bags"][:1] or ["BAG"]
    commands = [command, f"vla-rl replay check {bags[0]}", f"vla-rl bag info {bags[0]}"]
    machine = s["machine"]
    text = (
        "Every figure is computed from the recorded bags alone. Measured on"
        f" {machine['system']} with {machine['cores']} cores, Python {machine['python']}."
    )
    return tag(
        "section", tag("h2", "How these figures were made"), tag("p", text),
        tag("pre", "\n".join(commands)), card("What each figure means", definitions(DEFINITIONS)),
    )  # fmt: skip
