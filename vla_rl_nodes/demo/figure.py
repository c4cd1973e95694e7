"""The look of every figure in the report: sizes, colours, axes, and SVG as bytes."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Given = ParamSpec("Given")

# Okabe and Ito's palette: distinct for the colour-blind, and in grey.
BLUE, VERMILION, GREEN, AMBER = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE = "#56B4E9", "#B85C95"
INK, GREY, PALE = "#1d2733", "#76818d", "#c9d0d7"

OUTCOMES = {
    "success": (GREEN, "o"),
    "failure": (VERMILION, "X"),
    "timeout": (AMBER, "^"),
    "aborted": (GREY, "s"),
}

# Shown at about this many inches, so that 9 pt is 9 pt on a laptop and still readable on a phone.
WIDTH = 5.0

_METADATA = ("Creator", "Date", "Format", "Type")  # what Matplotlib writes unless it is None

_STYLE: Any = {
    "font.size": 9.0,
    "axes.labelsize": 9.0,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 1.6,
    "legend.columnspacing": 1.2,
    "grid.color": "#e6e9ed",
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.3,
    "svg.fonttype": "path",  # the same on every machine, whatever fonts it has
    "svg.hashsalt": "vla_rl_nodes",  # the same bytes for the same figures
}


def drawn(make: Callable[Given, Figure]) -> Callable[Given, bytes]:
    """Makes a function that draws a figure into one that gives it as SVG, in the report's look.

    Matplotlib is imported at the first drawing: it takes longer than everything else here.
    """

    @wraps(make)
    def as_svg(*given: Given.args, **named: Given.kwargs) -> bytes:
        from matplotlib import rc_context

        out = io.BytesIO()
        with rc_context(_STYLE):
            make(*given, **named).savefig(
                out, format="svg", transparent=True, metadata=dict.fromkeys(_METADATA)
            )
        # Without the declaration of its document type, which points to a place elsewhere.
        data = out.getvalue()
        return data[data.index(b"<svg") :]

    return as_svg


def subplots(
    height: float, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of the report's width and so many inches of height, and its axes row by row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False, **options).flat)


def grid(axes: Axes, axis: str = "y") -> None:
    """Thin lines behind the data."""
    axes.grid(True, axis=axis)  # type: ignore[arg-type]
    axes.tick_params(length=0, axis=axis)  # type: ignore[arg-type]


def legend_above(axes: Axes, columns: int) -> None:
    """The legend in rows above the axes, so that it never covers data."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, borderaxespad=0.2,
        handletextpad=0.5,
    )  # fmt: skip
