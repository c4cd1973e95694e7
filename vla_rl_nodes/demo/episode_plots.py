"""Figures of one episode: its actions, its use of the limits, and the path of its tool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Axis
from vla_rl_nodes.demo import figure as style
from vla_rl_nodes.demo.figure import drawn, grid, legend_above, subplots
from vla_rl_nodes.demo.measure import EpisodeMeasure
from vla_rl_nodes.demo.ticks import present

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_SEAMS = 60  # beyond it, lines at the seams hide what they mark
_PATH_POINTS = 150


def seams_shown(measure: EpisodeMeasure) -> bool:
    """Whether the action traces mark the seams."""
    return 0 < len(measure.chunks.seams) <= MOST_SEAMS


@drawn
def actions(measure: EpisodeMeasure) -> Figure:
    """Each action axis over time: proposed, executed, and whatever came between."""
    trace, axes_of = measure.trace, measure.contract.action.axes
    figure, panels = subplots(1.3 * len(axes_of) + 0.8, len(axes_of), sharex=True)
    times = trace.times_s
    added = present(trace.residual)
    held = present(trace.intervention)
    period = 1.0 / measure.contract.policy_hz
    for k, (ax, axis) in enumerate(zip(panels, axes_of, strict=True)):
        scale, unit = _unit(axis)
        grid(ax)
        if seams_shown(measure):
            for number, seam in enumerate(measure.chunks.seams):
                ax.axvline(times[seam], color=style.PALE, linewidth=0.8, zorder=0,
                           label="new chunk" if number == 0 else None)  # fmt: skip
        for number, at in enumerate(times[held]):
            ax.axvspan(at, at + period, color=style.AMBER, alpha=0.25, linewidth=0,
                       label="person" if number == 0 else None)  # fmt: skip
        ax.step(times, scale * trace.proposed[:, k], where="post", color=style.AMBER,
                linewidth=2.6, label="proposed")  # fmt: skip
        ax.step(times, scale * trace.executed[:, k], where="post", color=style.BLUE,
                linewidth=1.0, label="executed")  # fmt: skip
        if added.any():
            ax.bar(times[added], scale * trace.residual[added, k], width=period, align="edge",
                   color=style.PURPLE, alpha=0.4, linewidth=0, label="residual")  # fmt: skip
        for bound in (axis.minimum, axis.maximum):
            ax.axhline(scale * bound, color=style.GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        room = 0.1 * scale * (axis.maximum - axis.minimum)
        ax.set_ylim(scale * axis.minimum - room, scale * axis.maximum + room)
        ax.set_ylabel(f"{axis.name.replace('_', ' ')}\n[{unit}]")
    panels[0].plot([], [], color=style.GREY, linewidth=0.8, linestyle=(0, (4, 3)), label="bounds")
    panels[-1].set_xlabel("time since the start of the episode [s]")
    figure.align_ylabels(panels)
    legend_above(panels[0], 3)
    return figure


def _unit(axis: Axis) -> tuple[float, str]:
    """Factor and unit that an axis is drawn in; all but the gripper's opening are per tick."""
    scale, unit = (1000.0, "mm") if axis.unit == "m" else (1.0, axis.unit)
    return scale, unit if axis.name == "gripper_width" else f"{unit}/tick"


@drawn
def limit_use(measure: EpisodeMeasure) -> Figure:
    """Share of the limits that the joints use over time: each joint, and the greatest of all."""
    figure, panels = subplots(5.2, 4, sharex=True)
    times, safety = measure.limits.commanded.times_s, measure.safety
    for ax, (quantity, scale) in zip(
        panels,
        (("position", None), ("velocity", safety.velocity_scale),
         ("acceleration", safety.acceleration_scale), ("jerk", safety.jerk_scale)),
        strict=True,
    ):  # fmt: skip
        use = 100.0 * measure.limits.use[quantity]
        grid(ax)
        for j in range(use.shape[1]):
            ax.plot(times, use[:, j], color=style.GREY, linewidth=0.6, alpha=0.55,
                    label="each joint" if j == 0 else None)  # fmt: skip
        most = np.where(np.isnan(use), -np.inf, use).max(axis=1, initial=-np.inf)
        ax.plot(times, np.where(np.isfinite(most), most, np.nan), color=style.BLUE, linewidth=1.4,
                label="greatest of all joints")  # fmt: skip
        ax.axhline(100, color=style.VERMILION, linewidth=1.4, label="robot's limit")
        if scale is not None and scale < 1.0:
            ax.axhline(100 * scale, color=style.GREEN, linewidth=1.1, linestyle=":",
                       label="filter's own")  # fmt: skip
        ax.axvline(measure.duration_s, color=style.INK, linewidth=0.9, linestyle=(0, (4, 3)))
        ax.set_ylim(0.0, max(112.0, 1.05 * float(np.nanmax(use, initial=0.0))))
        ax.set_ylabel(f"{quantity}\n[% of limit]")
    panels[-1].set_xlabel("time since the start of the episode [s]; dashed: its end")
    handles, labels = panels[1].get_legend_handles_labels()
    panels[0].legend(
        handles, labels, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, borderaxespad=0.2
    )
    return figure


@drawn
def tool_path(measure: EpisodeMeasure, others: Sequence[EpisodeMeasure]) -> Figure:
    """The commanded tool point from above and from the side, in the workspace box."""
    box = measure.safety.workspace
    lower, upper = _frame(measure) if box is None else (box.lower, box.upper)
    size = upper - lower
    widths = (float(size[0]), float(size[0]))
    height = 0.5 * style.WIDTH * float(max(size[1:]) / size[0]) + 0.2
    figure, panels = subplots(min(height, 4.4), 1, 2, width_ratios=widths)
    for ax, (name, j) in zip(panels, (("from above", 1), ("from the side", 2)), strict=True):
        for other in others:
            points = other.limits.commanded.tool
            points = points[:: max(1, len(points) // _PATH_POINTS)]
            ax.plot(points[:, 0], points[:, j], color=style.PALE, linewidth=0.8)
        _one_path(ax, measure, j)
        if box is not None:
            x, y = (lower[0], upper[0]), (lower[j], upper[j])
            ax.plot([x[0], x[1], x[1], x[0], x[0]], [y[0], y[0], y[1], y[1], y[0]],
                    color=style.VERMILION, linewidth=1.2, linestyle=(0, (5, 2)),
                    label="workspace box")  # fmt: skip
        ax.set_aspect("equal")
        ax.set_xlabel(f"x [m], {name}")
        ax.set_ylabel(f"{'xyz'[j]} [m]")
    if others:
        panels[0].plot([], [], color=style.PALE, linewidth=1.2, label="other episodes")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


def _frame(measure: EpisodeMeasure) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners [3] around the commanded tool points, for a robot that is held to no box."""
    tool = measure.limits.commanded.tool
    margin = 0.05  # m
    return tool.min(axis=0) - margin, tool.max(axis=0) + margin


def _one_path(ax: Axes, measure: EpisodeMeasure, j: int) -> None:
    tool, measured = measure.limits.commanded.tool, measure.limits.measured.tool
    ax.plot(measured[:, 0], measured[:, j], color=style.SKY, linewidth=2.4, label="measured")
    ax.plot(tool[:, 0], tool[:, j], color=style.BLUE, linewidth=1.1, label="commanded")
    for row, marker, label in ((0, "o", "begin"), (-1, "s", "end")):
        if len(tool):
            ax.plot(tool[row, 0], tool[row, j], marker, color=style.INK, markersize=4.5,
                    label=label)  # fmt: skip
