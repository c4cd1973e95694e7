"""The report's sections about the machinery: punctuality, chunks, limits, the filter's work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.demo import plots
from vla_rl_nodes.demo.measure import EpisodeMeasure, percentile
from vla_rl_nodes.demo.page import Html, all_of, card, drawing, number, plural, rows, tag
from vla_rl_nodes.demo.summary import pooled

_LISTED = 20


def real_time(summary: dict[str, Any], every: Sequence[EpisodeMeasure]) -> Html:
    """Punctuality, inference, and how chunks join."""
    rates = every[0].contract.rates
    period = 1000.0 / rates.policy_hz
    series = [
        ("policy ticks", pooled(every, lambda m: m.ticks.lateness_ms), period),
        ("filter reports", pooled(every, lambda m: m.filter.lateness_ms), 1000 / rates.filter_hz),
    ]
    series = [entry for entry in series if len(entry[1])]
    cards = []
    if series:
        found = " and ".join(
            f"{number(percentile(values, 99), 1, 'ms')} ({name.split()[0]})"
            for name, values, _ in series
        )
        skipped = summary["skipped_ticks"], summary["filter_skipped_ticks"]
        cards.append(card(
            f"99 % of ticks began at most this late: {found}",
            drawing(plots.lateness(series), "Histograms of lateness"),
            note=f"Skipped because still busy: {plural(skipped[0], 'policy tick')},"
            f" {plural(skipped[1], 'filter tick')}. The filter reports the worst of its ticks"
            " since its report before, so its figures are upper bounds.",
        ))  # fmt: skip
    ages = _ages(every)
    if ages:
        cards.append(card(
            "How old the samples were that each tick used",
            rows(["stream", "median [ms]", "p99 [ms]", "allowed [ms]"], ages),
            note="From capture to the control tick. An older sample is not used.",
        ))  # fmt: skip
    times = pooled(every, lambda m: m.chunks.inference_ms)
    if len(times):
        within = int((times <= period).sum())
        cards.append(card(
            f"{all_of(within, len(times))} chunks were computed within one control tick",
            drawing(plots.inference(times, period), "Histogram of inference times"),
            note=f"Actions consumed meanwhile: median {number(summary['delay_p50'])}, at most"
            f" {number(summary['delay_max'])}; later than predicted:"
            f" {summary['delay_misses']} of {plural(summary['chunks'], 'chunk')}.",
        ))  # fmt: skip
    if summary["seam_step_ratio"] is not None:
        cards.append(_seams(summary, every))
    return tag("section", tag("h2", "Real time"), tag("div", *cards, class_="columns"))


def _seams(summary: dict[str, Any], every: Sequence[EpisodeMeasure]) -> Html:
    step, bend = summary["seam_step_ratio"], summary["seam_bend_ratio"]
    error = summary["prefix_error"]
    note = (
        f"95th percentiles over {plural(summary['seams'], 'seam')}; a seam is where the action of"
        f" a new chunk follows that of another. Change of the change: {number(bend, 2)} times."
    )
    if error is not None:
        note += f" Committed actions and the chunk's own differ by at most {error:.2g}."
    return card(
        f"At the seams the action changes {number(step, 2)} times as much as inside the chunks",
        drawing(plots.seams(every), "Changes at the seams and inside the chunks"), note=note,
    )  # fmt: skip


def _ages(every: Sequence[EpisodeMeasure]) -> list[list[str]]:
    found = []
    for stream in every[0].contract.streams:
        ages = pooled(every, lambda m, key=stream.key: m.ticks.ages_ms[key])  # type: ignore[misc]
        if len(ages):
            found.append([
                stream.key.replace("_", " "), number(percentile(ages, 50), 1),
                number(percentile(ages, 99), 1), number(1000 * stream.max_age_s),
            ])  # fmt: skip
    return found


def safety(summary: dict[str, Any], every: Sequence[EpisodeMeasure]) -> Html:
    """Limits, the filter's work, and every violation there was."""
    s = summary
    if not s["commands_checked"]:
        finding = "The bags hold no command, so nothing was held to the limits"
    elif s["limit_violations"]:
        finding = f"{plural(s['limit_violations'], 'sample was', 'samples were')} beyond a limit"
    else:
        finding = (
            f"No limit was exceeded in {plural(s['commands_checked'], 'command')} and"
            f" {plural(s['measured_checked'], 'joint state')}"
        )
    note = "Held to the robot's own limits; the filter keeps to tighter ones."
    if s["rest_max_s"] is not None:
        note += f" The arm was at rest at most {s['rest_max_s']:.2f} s after an episode's end"
        note += (
            f"; {plural(s['not_at_rest'], 'bag')} did not show it." if s["not_at_rest"] else "."
        )
    if s["commands_missing"]:
        note += (
            f" {plural(s['commands_missing'], 'command')} did not reach the bags: no speed is"
            " computed across them."
        )
    if s["commands_late"]:
        note += (
            f" {plural(s['commands_late'], 'command')} came more than a filter period late, so the"
            " controller had left the way that they go on from."
        )
    cards = [card(finding, drawing(plots.peak_use(every), "Greatest use of limits"), note=note)]
    if s["limit_violations"]:
        cards.append(_violations(every))
    done = f"{s['changed_ticks']} of {plural(s['executed_ticks'], 'accepted action')}"
    if s["filter_reasons"] and s["ticks"]:
        cards.append(card(
            f"The filter changed {done}",
            drawing(plots.reasons(s["filter_reasons"], s["ticks"]), "Ticks by reason"),
            note="Why it changed or refused something; a tick can have several reasons.",
        ))  # fmt: skip
    elif s["executed_ticks"]:
        cards.append(card(f"The filter changed {done} and gave no reason to"))
    differences = _differences(every)
    if differences:
        interventions = plural(s["intervention_ticks"], "tick")
        cards.append(card(
            "How far executed actions are from proposed ones",
            rows(["axis", "median", "p95", "max", "residual, max", "its bound"], differences),
            note="|executed − proposed| per control tick, in m and rad, a residual included."
            f" There was one on {plural(s['residual_ticks'], 'tick')}; a person acted on"
            f" {interventions}.",
        ))  # fmt: skip
    return tag("section", tag("h2", "Safety"), tag("div", *cards, class_="columns"))


def _violations(every: Sequence[EpisodeMeasure]) -> Html:
    found = [(m, v) for m in every for v in m.limits.violations]
    body = [
        [
            "–" if m.seed is None else str(m.seed), f"{v.source} {v.quantity}", v.name,
            number(v.time_s, 2), "–" if v.value is None else f"{v.value:.5g}",
            "–" if v.limit is None else f"{v.limit:.5g}", v.unit,
        ]
        for m, v in found[:_LISTED]
    ]  # fmt: skip
    title = "The violations" if len(found) <= _LISTED else f"The first {_LISTED} violations"
    return card(title, rows(["seed", "what", "where", "at [s]", "value", "limit", ""], body, 3))


def _differences(every: Sequence[EpisodeMeasure]) -> list[list[str]]:
    contract = every[0].contract
    difference: NDArray[np.float64] = np.concatenate([m.filter.difference for m in every])
    if not len(difference):
        return []
    largest = np.max([m.filter.residual_largest for m in every], axis=0)
    return [
        [axis.name.replace("_", " "), *(f"{np.percentile(difference[:, k], q):.4f}"
         for q in (50, 95, 100)), f"{largest[k]:.4f}", f"{every[0].filter.residual_bound[k]:.4f}"]
        for k, axis in enumerate(contract.action.axes)
    ]  # fmt: skip
