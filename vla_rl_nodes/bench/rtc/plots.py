"""Figures of bench rtc: success, time and seams against the injected delay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vla_rl_nodes.demo import figure as style
from vla_rl_nodes.demo.figure import drawn, grid, subplots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Strategies keep their colour and mark in every figure; baselines are dashed.
LOOK = {
    "prefix": (style.BLUE, "o", "-"),
    "prefix_teacher": (style.SKY, "s", "-"),
    "best_of_n": (style.GREEN, "^", "-"),
    "guidance": (style.PURPLE, "D", "-"),
    "guidance_identity": (style.PURPLE, "d", ":"),
    "sync": (style.GREY, "v", "--"),
    "naive_async": (style.VERMILION, "X", "--"),
    "temporal_ensemble": (style.AMBER, "P", "--"),
    "bid": (style.INK, "*", "--"),
    "bc": ("#7a5230", "h", "--"),
}
SHOWN_ABOVE = 8.0  # a ratio beyond it is drawn at the edge, so that the bar at 1.2 stays visible


@drawn
def success(strategies: dict[str, Any], name: str = "") -> Figure:
    """Success against delay with 95 % intervals, of all tasks or of one."""
    figure, (ax,) = subplots(3.4)
    grid(ax)
    for row, figures in strategies.items():
        part = figures["tasks"][name] if name else figures
        colour, mark, line = LOOK[row]
        shares = [100 * share for share in part["success"]]
        low = [100 * share for share in part["success_low"]]
        high = [100 * share for share in part["success_high"]]
        ax.fill_between(part["delay"], low, high, color=colour, alpha=0.10, linewidth=0)
        ax.plot(part["delay"], shares, line, color=colour, marker=mark, markersize=5, label=row,
                zorder=_height(row))  # fmt: skip
    ax.set_ylim(-3, 103)
    ax.set_ylabel("episodes that succeeded [%]")
    _finish(ax)
    return figure


@drawn
def seams(strategies: dict[str, Any]) -> Figure:
    """The 95th percentile of |Δ²a| at seams over that inside chunks, against delay."""
    figure, (ax,) = subplots(3.4)
    grid(ax)
    for row, figures in strategies.items():
        points = [
            (d, min(ratio, SHOWN_ABOVE))
            for d, ratio in zip(figures["delay"], figures["seam_ratio_p95"], strict=True)
            if ratio is not None
        ]
        if not points:
            continue
        colour, mark, line = LOOK[row]
        ax.plot(*zip(*points, strict=True), line, color=colour, marker=mark, markersize=5,
                label=row, zorder=_height(row))  # fmt: skip
    ax.axhline(1.2, color=style.GREY, linewidth=0.9, linestyle=(0, (4, 3)))
    ax.set_ylim(0, SHOWN_ABOVE * 1.03)
    ax.set_ylabel("|Δ²a| at seams against inside, p95")
    _finish(ax)
    return figure


@drawn
def seconds(strategies: dict[str, Any]) -> Figure:
    """Mean time of the successful episodes against delay."""
    figure, (ax,) = subplots(3.4)
    grid(ax)
    for row, figures in strategies.items():
        points = [
            (d, time)
            for d, time in zip(figures["delay"], figures["seconds"], strict=True)
            if time is not None
        ]
        if points:
            colour, mark, line = LOOK[row]
            ax.plot(*zip(*points, strict=True), line, color=colour, marker=mark, markersize=5,
                    label=row, zorder=_height(row))  # fmt: skip
    ax.set_ylim(bottom=0)
    ax.set_ylabel("time to success [s]")
    _finish(ax)
    return figure


def _height(row: str) -> float:
    """The prefix student lies on top: it is what the others are compared with."""
    return 3.0 if row == "prefix" else 2.0


def _finish(ax: Axes) -> None:
    ax.set_xlabel("injected delay [control ticks of 50 ms]")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, borderaxespad=0.2)
