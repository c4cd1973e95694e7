"""Figures of a whole run: outcomes, punctuality, seams, use of the limits, the filter's work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.demo import figure as style
from vla_rl_nodes.demo.figure import drawn, grid, legend_above, subplots
from vla_rl_nodes.demo.measure import EpisodeMeasure
from vla_rl_nodes.demo.summary import seam_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
_SMALLEST_MS = 0.01  # lateness below it is drawn there, since the axis is logarithmic


@drawn
def outcomes(groups: Sequence[tuple[str, Sequence[EpisodeMeasure]]]) -> Figure:
    """How each episode ended, and after how long: one row of axes for each named group."""
    groups = [(name, measures) for name, measures in groups if measures]
    figure, axes = subplots(0.5 + 1.6 * len(groups), len(groups), sharey=True)
    most = max(len(measures) for _, measures in groups)
    limit = max(m.contract.episode.time_limit_s for _, ms in groups for m in ms)
    present = {m.outcome for _, ms in groups for m in ms}
    for ax, (name, measures) in zip(axes, groups, strict=True):
        grid(ax)
        for i, m in enumerate(measures):
            colour, _ = style.OUTCOMES[m.outcome]
            ax.plot([i, i], [0, m.duration_s], color=colour, linewidth=1.6, alpha=0.45)
        for outcome, (colour, marker) in style.OUTCOMES.items():
            x = [i for i, m in enumerate(measures) if m.outcome == outcome]
            y = [measures[i].duration_s for i in x]
            if x:
                ax.plot(x, y, marker, color=colour, markersize=5.5)
        ax.axhline(limit, color=style.GREY, linewidth=0.9, linestyle=(0, (4, 3)))
        shown = 60 // (2 + max(len(_seed(m)) for m in measures))  # so that labels keep apart
        ticks = range(0, len(measures), max(1, -(-len(measures) // shown)))
        ax.set_xticks(list(ticks), [_seed(measures[i]) for i in ticks])
        ax.set_xlim(-0.8, most - 0.2)
        ax.set_ylabel(f"{name}\nduration [s]")
    axes[0].set_ylim(0, limit * 1.08)
    for outcome, (colour, marker) in style.OUTCOMES.items():
        if outcome in present:
            axes[0].plot([], [], marker, color=colour, markersize=5.5, label=outcome)
    axes[0].plot([], [], color=style.GREY, linewidth=0.9, linestyle=(0, (4, 3)),
                 label="time limit")  # fmt: skip
    axes[-1].set_xlabel("seed of the episode")
    legend_above(axes[0], len(present) + 1)
    return figure


@drawn
def rates(groups: Sequence[tuple[str, float, float, float]]) -> Figure:
    """Rates with their 95 % intervals, one (name, rate, low, high) in a row."""
    figure, (ax,) = subplots(0.65 + 0.36 * len(groups))
    grid(ax, "x")
    for row, (_, rate, low, high) in enumerate(groups):
        ax.plot([100 * low, 100 * high], [row, row], color=style.BLUE, linewidth=5, alpha=0.35,
                solid_capstyle="butt")  # fmt: skip
        ax.plot([100 * rate], [row], "o", color=style.BLUE, markersize=7)
    ax.set_yticks(range(len(groups)), [name for name, *_ in groups])
    ax.set_ylim(len(groups) - 0.5, -0.5)
    ax.set_xlim(-3.0, 103.0)
    ax.set_xlabel("episodes that succeeded [%]; bar: 95 % interval")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return figure


def _seed(measure: EpisodeMeasure) -> str:
    return "-" if measure.seed is None else str(measure.seed)


@drawn
def lateness(series: Sequence[tuple[str, Array, float]]) -> Figure:
    """Histograms of lateness, one for each (name, values in ms, nominal period in ms)."""
    figure, axes = subplots(1.75 * len(series) + 0.3, len(series), sharex=True)
    every = np.concatenate([np.maximum(values, _SMALLEST_MS) for _, values, _ in series])
    high = max(float(every.max(initial=0.0)), *(period for _, _, period in series)) * 1.25
    bins = np.geomspace(min(float(every.min(initial=0.1)), 0.1) * 0.9, high, 46)
    for ax, (name, values, period) in zip(axes, series, strict=True):
        grid(ax)
        ax.hist(np.maximum(values, _SMALLEST_MS), bins=bins.tolist(), color=style.SKY)
        _percentiles(ax, values)
        ax.axvline(period, color=style.INK, linewidth=1.0, linestyle=":",
                   label=f"one period, {period:g} ms")  # fmt: skip
        ax.set_xscale("log")
        ax.set_ylabel(name)
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes[-1].set_xlabel("lateness [ms], logarithmic")
    return figure


def _percentiles(ax: Axes, values: Array) -> None:
    for text, share, colour, dashes in (
        ("p50", 50, style.BLUE, "-"), ("p99", 99, style.VERMILION, "-"),
        ("max", 100, style.VERMILION, "--"),
    ):  # fmt: skip
        at = float(np.percentile(values, share))
        ax.axvline(max(at, _SMALLEST_MS), color=colour, linewidth=1.3, linestyle=dashes,
                   label=f"{text}  {at:.2f} ms")  # fmt: skip


@drawn
def inference(values: Array, period_ms: float) -> Figure:
    """Histogram of the inference times in ms, beside one control period."""
    figure, (ax,) = subplots(2.2)
    grid(ax)
    high = max(float(values.max()), period_ms) * 1.06
    ax.hist(values, bins=np.linspace(0.0, high, 61).tolist(), color=style.SKY)
    _percentiles(ax, values)
    ax.axvline(period_ms, color=style.INK, linewidth=1.0, linestyle=":",
               label=f"one tick, {period_ms:g} ms")  # fmt: skip
    ax.set_xlim(0.0, high)
    ax.set_xlabel("inference of one chunk [ms]")
    ax.set_ylabel("chunks")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


@drawn
def seams(measures: Sequence[EpisodeMeasure]) -> Figure:
    """Steps and bends of each axis at the seams, beside those inside the chunks."""
    names = [name.replace("_", " ") for name in measures[0].contract.action.names]
    figure, axes = subplots(0.95 + 0.3 * len(names), 1, 2, sharey=True)
    rows = np.arange(len(names))
    for ax, (kind, text) in zip(
        axes, (("step", "change per tick"), ("bend", "change of that change")), strict=True
    ):
        grid(ax, "x")
        seam, inner = (np.percentile(v, 95, axis=0) for v in seam_rows(measures, kind))
        ax.hlines(rows, 100 * inner, 100 * seam, color=style.PALE, linewidth=2)
        ax.plot(100 * inner, rows, "o", color=style.GREY, fillstyle="none", label="inside chunks")
        ax.plot(100 * seam, rows, "o", color=style.BLUE, markersize=5, label="at seams")
        ax.set_xlim(left=-0.04 * ax.get_xlim()[1])
        ax.set_xlabel(f"p95 of the\n{text}\n[% of the axis' bounds]")
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    axes[0].set_yticks(rows, names)
    axes[0].invert_yaxis()
    legend_above(axes[0], 2)
    return figure


@drawn
def peak_use(measures: Sequence[EpisodeMeasure]) -> Figure:
    """The greatest share of each joint's limits that was commanded in any episode."""
    robot, safety = measures[0].robot, measures[0].safety
    figure, (ax,) = subplots(0.9 + 0.24 * len(robot.joints))
    grid(ax, "x")
    rows = np.arange(len(robot.joints))
    for quantity, colour, marker in (
        ("position", style.BLUE, "o"), ("velocity", style.GREEN, "D"),
        ("acceleration", style.AMBER, "s"), ("jerk", style.GREY, "^"),
    ):  # fmt: skip
        peak = np.max([m.limits.peak_use(quantity) for m in measures], axis=0)
        ax.plot(100 * peak, rows, marker, color=colour, label=quantity, markersize=5.5,
                zorder=3)  # fmt: skip
    ax.axvline(100, color=style.VERMILION, linewidth=1.4, label="robot's limit")
    ax.axvline(100 * safety.velocity_scale, color=style.GREEN, linewidth=1.0, linestyle=":",
               label="velocity: filter's own")  # fmt: skip
    ax.set_yticks(rows, robot.joints)
    ax.invert_yaxis()
    ax.set_xlim(left=-2.0)
    ax.set_xlabel("greatest use of the limit, all episodes [%]")
    legend_above(ax, 3)
    return figure


@drawn
def reasons(counts: Mapping[str, int], ticks: int) -> Figure:
    """Ticks for each reason that the filter gave, most frequent first."""
    items = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    figure, (ax,) = subplots(0.5 + 0.3 * len(items))
    grid(ax, "x")
    rows = np.arange(len(items))
    shares = [100.0 * count / ticks for _, count in items]
    ax.barh(rows, shares, height=0.62, color=style.BLUE)
    for row, share, (_, count) in zip(rows, shares, items, strict=True):
        plural = "" if count == 1 else "s"
        ax.annotate(f"{count} tick{plural}", (share, row), xytext=(4, 0), va="center",
                    textcoords="offset points", fontsize=8.5)  # fmt: skip
    ax.set_yticks(rows, [name.replace("_", " ") for name, _ in items])
    ax.invert_yaxis()
    ax.set_xlim(0.0, max(shares) * 1.22)
    ax.set_xlabel("share of all control ticks [%]")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return figure
